// The verifier against nonsense: random ops on random values with random attributes. Each is refused in words
// or accepted; what was accepted compiles and runs, under the sanitizers too, without reading or writing
// anywhere it may not.
#include "backend/cpu/run.h"
#include "base/philox.h"
#include "compile/rewrite.h"
#include "ops/functions.h"
#include "session/session.h"
#include "test/check.h"

namespace tendon {
namespace {

class Dice {
 public:
  explicit Dice(uint64_t seed) : seed_(seed) {}
  int64_t below(int64_t n) {
    float u;
    fill_uniform(seed_, 0, next_++, &u, 1);
    return std::min(static_cast<int64_t>(u * static_cast<float>(n)), n - 1);
  }
  bool one_in(int64_t n) { return below(n) == 0; }

 private:
  uint64_t seed_, next_ = 0;
};

int64_t strange_length(Dice& dice) {
  const int64_t lengths[] = {0, -1, -7, int64_t{1} << 31, int64_t{1} << 40, INT64_MAX, INT64_MIN};
  return dice.one_in(40) ? lengths[dice.below(7)] : 1 + dice.below(6);
}

Shape random_shape(Dice& dice, bool batched) {
  Shape shape;
  shape.rank = static_cast<int>(1 + dice.below(5));
  for (int i = 0; i < shape.rank; ++i) shape[i] = strange_length(dice);
  if (batched) shape[0] = dice.one_in(10) ? 2 : 1;
  return shape;
}

// A weight that suits the value, most of the time: products are what nonsense would never hit.
int suitable_weight(Graph& graph, Dice& dice, const std::string& name, int x) {
  const Shape& s = graph.at(x).shape;
  const int64_t c = s.last(), n = 1 + dice.below(9), taps = 1 + dice.below(3);
  Shape shape = name == "linear"             ? Shape({n, c})
                : name == "conv1d"           ? Shape({n, c, taps})
                : name == "conv2d"           ? Shape({n, c, taps, taps})
                : name == "conv_transpose1d" ? Shape({c, n, taps})
                                             : Shape({c});
  if (shape.count() > 4096) return x;
  return graph.constant(shape, std::vector<float>(static_cast<size_t>(shape.count()), 0.1f));
}

// One random graph; counts what was refused.
Graph random_graph(Dice& dice, const std::vector<std::string>& names, int& refused) {
  Graph graph;
  for (int i = 0; i < 3; ++i) {
    try {
      const Stage stages[] = {stage_step, stage_observation, stage_schedule};
      graph.input("in" + std::to_string(i), random_shape(dice, true), stages[i]);
    } catch (const BuildError&) {
      ++refused;
    }
  }
  for (int64_t left = 3 + dice.below(14); left > 0; --left) {
    const auto count = static_cast<int64_t>(graph.nodes().size());
    const std::string& name = names[static_cast<size_t>(dice.below(static_cast<int64_t>(names.size())))];
    std::vector<int> inputs;
    for (int64_t n = dice.below(5); n >= 0 && count > 0; --n)
      inputs.push_back(static_cast<int>(dice.one_in(60) ? dice.below(1000) - 500 : dice.below(count)));
    Attrs attrs;
    for (int64_t n = dice.below(4); n > 0; --n)
      attrs.values.push_back(dice.one_in(30) ? (dice.one_in(2) ? 1e300 : std::nan(""))
                                             : static_cast<double>(dice.below(6) - 1));
    for (int64_t n = dice.below(6); n > 0; --n) attrs.list.push_back(strange_length(dice));
    try {
      if (inputs.size() > 1 && inputs[0] >= 0 && inputs[0] < count && !dice.one_in(4)) {
        inputs[1] = suitable_weight(graph, dice, name, inputs[0]);
        inputs.resize(2);
      }
      graph.add(name, inputs, attrs);
    } catch (const BuildError&) {
      ++refused;
    }
  }
  for (int64_t n = 1 + dice.below(2); n > 0 && !graph.nodes().empty(); --n) {
    try {
      graph.output("out" + std::to_string(n), static_cast<int>(dice.below(graph.nodes().size())));
    } catch (const BuildError&) {
      ++refused;
    }
  }
  return graph;
}

bool is_small(const Graph& graph) {
  int64_t total = 0;
  for (const Node& node : graph.nodes()) {
    if (node.shape.count() > 1 << 16) return false;
    total += node.shape.count();
  }
  return total < 1 << 18;
}

TEST("graph: a hundred thousand random ops are refused in words, or compile and run") {
  std::vector<std::string> names = op_names();
  names.push_back("no such op");
  Dice dice(1);
  int refused = 0, nodes = 0, ran = 0, declined = 0;
  auto pool = std::make_shared<Pool>(2);
  for (int tries = 0; nodes + refused < 100000; ++tries) {
    Graph graph = random_graph(dice, names, refused);
    nodes += static_cast<int>(graph.nodes().size());
    if (!is_small(graph)) continue;
    try {
      ModelOptions options;
      options.pool = pool;
      if (dice.one_in(2)) options.isa = "reference";
      const Precision precisions[] = {Precision::f32, Precision::bf16, Precision::i8};
      options.precision = precisions[dice.below(3)];
      auto session = Session::open(Model::make(graph, options), {static_cast<int>(1 + dice.below(3)), {}});
      std::vector<std::vector<float>> data;
      std::vector<Given> given;
      for (size_t i = 0; i < session->inputs().size(); ++i) {
        data.emplace_back(static_cast<size_t>(session->inputs()[i].shape.count()), 0.5f);
        given.push_back({static_cast<int>(i), data.back().data()});
      }
      std::vector<std::vector<float>> out;
      std::vector<Wanted> wanted;
      for (size_t i = 0; i < session->outputs().size(); ++i) {
        out.emplace_back(static_cast<size_t>(session->outputs()[i].shape.count()));
        wanted.push_back({static_cast<int>(i), out.back().data()});
      }
      const Status status = session->run(given, wanted, nullptr);
      CHECK(status == Status::ok || status == Status::not_finite);
      ++ran;
    } catch (const BuildError& e) {
      ++declined;  // no output, or something the compiler says it does not do
      if (std::string(e.code()) == "internal")
        test::fail(__FILE__, __LINE__, e.what() + ("\n" + print_graph(graph)));
    }
  }
  // Nonsense must be refused often, and graphs must get through often, for this to test anything.
  CHECK(refused > 20000);
  CHECK(ran > 2000);
  CHECK(declined < ran);
}

}  // namespace
}  // namespace tendon
