// The compiler may move work between stages but never change the function: every network is compared with
// itself flattened into one stage, and the step list must be free of what does not change from step to step.
#include <cstring>

#include "backend/cpu/run.h"
#include "backend/cpu/team_choice.h"
#include "compile/program.h"
#include "compile/rewrite.h"
#include "session/session.h"
#include "test/check.h"
#include "test/networks.h"

namespace tendon {
namespace {

using test::make_score_transformer;
using test::make_unet;

std::shared_ptr<Model> model_of(Graph graph, const char* isa, Precision precision, int threads) {
  ModelOptions options;
  options.isa = isa;
  options.precision = precision;
  options.pool = std::make_shared<Pool>(threads);
  return Model::make(std::move(graph), options);
}

// Runs every input with the draws of (seed, its index); rows of the batch repeat for inputs that have one
// row.
std::vector<float> run_once(Session& session, uint64_t seed) {
  std::vector<std::vector<float>> data;
  std::vector<Given> given;
  for (size_t i = 0; i < session.inputs().size(); ++i) {
    data.emplace_back(static_cast<size_t>(session.inputs()[i].shape.count()));
    fill_normal(seed, i, 0, data.back().data(), session.inputs()[i].shape.count());
    given.push_back({static_cast<int>(i), data.back().data()});
  }
  std::vector<float> out(static_cast<size_t>(session.outputs()[0].shape.count()));
  CHECK(session.run(given, {{0, out.data()}}, nullptr) == Status::ok);
  return out;
}

void check_same_function(const char* label, Graph staged, Graph flat, double tolerance) {
  auto a = Session::open(model_of(std::move(staged), "reference", Precision::f32, 1), {});
  auto b = Session::open(model_of(std::move(flat), "reference", Precision::f32, 1), {});
  const std::vector<float> x = run_once(*a, 7), y = run_once(*b, 7);
  CHECK_NEAR(label, x.data(), y.data(), static_cast<int64_t>(x.size()), tolerance, 1.0);
}

test::UnetShape small_unet() {
  test::UnetShape s;
  s.down = {16, 32, 64};
  s.cond_dim = 20;
  s.step_dim = 16;
  s.action_dim = 3;
  return s;
}

TEST("compile: a staged UNet is the flat UNet") {
  // Splitting a product reorders its sums: a few units in the last place of values near 1.
  check_same_function("unet", make_unet(small_unet(), 1, true), make_unet(small_unet(), 1, false), 2e-5);
}

TEST("compile: a staged score transformer is the flat one") {
  test::ScoreShape s;
  s.width = 48, s.heads = 4, s.layers = 2;
  check_same_function("transformer", make_score_transformer(s, 2, true), make_score_transformer(s, 2, false),
                      2e-5);
}

TEST("compile: the step of a UNet keeps no product that the schedule or the observation decides") {
  const Graph g = rewrite(make_unet(small_unet(), 1));
  for (const Node& node : g.nodes())
    if (node.op == Op::linear) CHECK((node.stage & stage_step) == 0);
  int step_linears = 0, conditioned = 0;
  for (const Node& node : g.nodes()) {
    if (node.op != Op::linear) continue;
    step_linears += (node.stage & stage_step) != 0;
    conditioned += node.stage == stage_observation;
  }
  CHECK(step_linears == 0);
  CHECK(conditioned > 0);
}

TEST("compile: only the noisy token of a causal transformer is left for the step") {
  test::ScoreShape s;
  s.width = 48, s.heads = 4, s.layers = 2;
  const Graph g = rewrite(make_score_transformer(s, 2));
  for (const Node& node : g.nodes())
    if (node.op == Op::linear && (node.stage & stage_step)) CHECK(node.shape[1] == 1);
}

TEST("compile: what a product makes of constants beside its input is computed once") {
  // As a task's embedding beside a state: split by stage, a product has no input that is not the model's.
  std::vector<float> weight(6 * 7), beside(4);
  fill_normal(3, 0, 0, weight.data(), 42);
  fill_normal(3, 1, 0, beside.data(), 4);
  const auto make = [&](bool apart) {
    Graph g;
    const int x = g.input("x", {1, 3}, stage_step);
    const int constant = apart ? g.constant({1, 4}, beside) : g.input("beside", {1, 4}, stage_step);
    const int w = g.constant({6, 7}, weight);
    const int h = g.add("linear", {g.add("concat", {x, constant}, {{1}, {}}), w}, {});
    g.output("y", g.add("silu", {h}, {}));
    return g;
  };
  const Graph g = rewrite(make(true));
  int products = 0;
  for (const Node& node : g.nodes()) {
    products += node.op == Op::linear;
    if (node.stage == stage_model) CHECK(node.data != nullptr);
  }
  CHECK(products == 1);
  auto a = Session::open(model_of(make(true), "reference", Precision::f32, 1), {});
  auto b = Session::open(model_of(make(false), "reference", Precision::f32, 1), {});
  const std::vector<float> x = {0.3f, -1.2f, 0.7f};
  std::vector<float> got(6), want(6);
  CHECK(a->run({{0, x.data()}}, {{0, got.data()}}, nullptr) == Status::ok);
  CHECK(b->run({{0, x.data()}, {1, beside.data()}}, {{0, want.data()}}, nullptr) == Status::ok);
  CHECK_NEAR("constants beside", got.data(), want.data(), 6, 1e-6, 1.0);
}

TEST("session: batch rows and threads do not change a row") {
  auto one = Session::open(model_of(make_unet(small_unet(), 3), "reference", Precision::f32, 1), {});
  for (const int threads : {1, 2, 3}) {
    auto many =
        Session::open(model_of(make_unet(small_unet(), 3), "reference", Precision::f32, threads), {5, {}});
    const auto& ports = many->inputs();
    std::vector<std::vector<float>> data;
    std::vector<Given> given;
    for (size_t i = 0; i < ports.size(); ++i) {
      const int64_t one_count = one->inputs()[i].shape.count();
      std::vector<float> v(static_cast<size_t>(ports[i].shape.count()));
      for (int64_t at = 0; at < ports[i].shape.count(); at += one_count)
        fill_normal(9, i, 0, v.data() + at, one_count);
      data.push_back(std::move(v));
      given.push_back({static_cast<int>(i), data.back().data()});
    }
    std::vector<float> out(static_cast<size_t>(many->outputs()[0].shape.count()));
    CHECK(many->run(given, {{0, out.data()}}, nullptr) == Status::ok);
    const std::vector<float> want = run_once(*one, 9);
    for (size_t row = 0; row < 5; ++row)
      CHECK(std::memcmp(out.data() + row * want.size(), want.data(), want.size() * sizeof(float)) == 0);
  }
}

TEST("session: the denoising loop follows its table") {
  const test::UnetShape shape = small_unet();
  auto session = Session::open(model_of(make_unet(shape, 4), "reference", Precision::f32, 2), {2, {}});
  auto once = Session::open(model_of(make_unet(shape, 4), "reference", Precision::f32, 1), {2, {}});
  // Two Euler steps of dx = F from σ 1 to 0.5 to 0, followed by hand below.
  SamplerTable table;
  table.rows.resize(2);
  for (SamplerRow& row : table.rows) row.w_x = 1, row.w_f = -0.5f, row.c_in = 0.8f;
  std::map<std::string, std::vector<float>> schedule;
  std::vector<float> emb(static_cast<size_t>(2 * shape.step_dim));
  fill_normal(1, 1, 0, emb.data(), static_cast<int64_t>(emb.size()));
  schedule["step_embedding"] = emb;
  session->set_table(table, schedule);
  std::vector<float> cond(static_cast<size_t>(shape.cond_dim)),
      x(static_cast<size_t>(2 * shape.horizon * shape.action_dim));
  fill_normal(1, 2, 0, cond.data(), static_cast<int64_t>(cond.size()));
  fill_normal(1, 3, 0, x.data(), static_cast<int64_t>(x.size()));
  std::vector<float> got(x.size());
  DenoiseRequest args;
  args.inputs = {{2, cond.data()}};
  args.start = x.data();
  args.out = got.data();
  InferStats stats;
  CHECK(session->denoise(args, &stats) == Status::ok);
  CHECK(stats.calls == 2);
  for (int step = 0; step < 2; ++step) {
    std::vector<float> in(x.size()), f(x.size());
    for (size_t i = 0; i < x.size(); ++i) in[i] = 0.8f * x[i];
    CHECK(once->run({{0, in.data()}, {1, emb.data() + step * shape.step_dim}, {2, cond.data()}},
                    {{0, f.data()}}, nullptr) == Status::ok);
    for (size_t i = 0; i < x.size(); ++i) x[i] -= 0.5f * f[i];
  }
  // The schedule stage runs its calls as rows of one product; the sums are the same.
  CHECK_NEAR("two steps", got.data(), x.data(), static_cast<int64_t>(x.size()), 1e-5, 1.0);
  std::atomic<bool> cancel{true};
  args.cancel = &cancel;
  CHECK(session->denoise(args, nullptr) == Status::cancelled);
  args.cancel = nullptr;
  args.inputs.clear();
  CHECK(session->denoise(args, nullptr) == Status::bad_argument);
}

TEST("session: all calls at once arrive where one after the other does") {
  const test::UnetShape shape = small_unet();
  // Six steps with noise, a clip, history and a saved sample: whatever a row may hold.
  SamplerTable table;
  table.rows.resize(6);
  for (size_t i = 0; i < table.rows.size(); ++i) {
    SamplerRow& row = table.rows[i];
    row.c_in = 0.9f, row.a_x = 0.2f, row.a_f = 0.5f, row.clip = 1.5f;
    row.w_x = 0.9f, row.w_d = 0.05f, row.push = 1, row.h_d = 1;
    row.w_noise = i % 2 == 0 ? 0.1f : 0.0f;
    row.save = i == 1 ? 1.0f : 0.0f;
    if (i > 1) row.w_h1 = -0.02f, row.w_s = 0.02f;
  }
  std::map<std::string, std::vector<float>> schedule;
  schedule["step_embedding"].resize(static_cast<size_t>(6 * shape.step_dim));
  fill_normal(1, 1, 0, schedule["step_embedding"].data(), 6 * shape.step_dim);
  const int64_t count = 2 * shape.horizon * shape.action_dim;
  std::vector<float> cond(static_cast<size_t>(shape.cond_dim)), x(static_cast<size_t>(count)),
      noise(static_cast<size_t>(3 * count)), want(x.size()), got(x.size());
  fill_normal(1, 2, 0, cond.data(), shape.cond_dim);
  fill_normal(1, 3, 0, x.data(), count);
  fill_normal(1, 4, 0, noise.data(), 3 * count);
  auto model = model_of(make_unet(shape, 4), "reference", Precision::f32, 2);
  auto session = Session::open(model, {2, {}});
  DenoiseRequest args;
  args.inputs = {{2, cond.data()}};
  args.start = x.data();
  args.noise = noise.data();
  InferStats stats;
  session->set_table(table, schedule);
  args.out = want.data();
  CHECK(session->denoise(args, &stats) == Status::ok);
  CHECK(stats.calls == 6);
  args.out = got.data();
  // A tolerance that nothing meets: after as many iterations as there are calls every sample is exact.
  session->set_table(table, schedule, 1e-30f);
  CHECK(session->sample_shape().count == count);
  CHECK(session->denoise(args, &stats) == Status::ok);
  CHECK(stats.calls <= 6);
  CHECK_NEAR("to the end", got.data(), want.data(), count, 1e-6, 1.0);
  // The last move was at most the tolerance; what is left is less while the iteration contracts.
  session->set_table(table, schedule, 1e-3f);
  CHECK(session->denoise(args, &stats) == Status::ok);
  CHECK(stats.calls < 6);
  CHECK_NEAR("within the tolerance", got.data(), want.data(), count, 1e-3, 1.0);
  session->set_table(table, schedule);
  CHECK(session->denoise(args, &stats) == Status::ok);
  CHECK(got == want);
}

// An additive skip behind an up-convolution, as in a U-Net whose skips are added.
TEST("compile: what is added to a strided transposed convolution is added behind it") {
  for (const double stride : {1.0, 2.0, 3.0}) {
    const auto whole = [&](bool skip) {
      test::NetworkBuilder b(5);
      const int x = b.graph.input("x", {1, 6, 8}, stage_step);
      const int up =
          b.op("conv_transpose1d", {x, b.random({8, 8, 4}, 0.2f), b.random({8}, 0.1f)}, {stride, 1});
      const int y = b.graph.input("y", b.graph.at(up).shape, stage_step);
      b.graph.output("f", skip ? b.op("silu", {b.op("add", {up, y})}) : up);
      if (!skip) b.graph.output("y", b.op("silu", {y}));
      return std::move(b.graph);
    };
    for (const char* isa : {"reference", ""}) {
      const auto session = Session::open(model_of(whole(true), isa, Precision::f32, 2), {});
      const auto apart = Session::open(model_of(whole(false), isa, Precision::f32, 2), {});
      const std::vector<float> got = run_once(*session, 3), up = run_once(*apart, 3);
      std::vector<float> y(got.size()), want(got.size());
      fill_normal(3, session->inputs()[0].name == "y" ? 0 : 1, 0, y.data(), static_cast<int64_t>(y.size()));
      for (size_t i = 0; i < y.size(); ++i) {
        const float sum = up[i] + y[i];
        want[i] = sum / (1 + std::exp(-sum));
      }
      CHECK_NEAR("skip", got.data(), want.data(), static_cast<int64_t>(want.size()), 1e-5, 1.0);
    }
  }
}

TEST("graph: mistakes are named where they are made") {
  Graph g;
  const int x = g.input("x", {1, 4, 8}, stage_step);
  CHECK_THROWS(g.add("linear", {x, g.constant({3, 7}, std::vector<float>(21))}, {}), "graph_invalid");
  CHECK_THROWS(g.add("no_such_op", {x}, {}), "graph_invalid");
  CHECK_THROWS(g.add("concat", {x, x}, {{0}, {}}), "graph_invalid");
  CHECK_THROWS(g.add("permute", {x}, {{}, {1, 0, 2}}), "graph_invalid");
  CHECK_THROWS(g.add("slice", {x}, {{1, 3, 2}, {}}), "graph_invalid");
  CHECK_THROWS(g.add("reshape", {x}, {{}, {8, 4}}), "graph_invalid");
  CHECK_THROWS(g.add("group_norm", {x, x, x}, {{3}, {}}), "graph_invalid");
  CHECK_THROWS(g.add("silu", {99}, {}), "graph_invalid");
  // (2^34)·2^30 positions would overflow before they are looked at.
  Graph huge;
  const int long_x = huge.input("x", {1, (int64_t{1} << 34) + 1, 1}, stage_step);
  CHECK_THROWS(
      huge.add("conv_transpose1d", {long_x, huge.constant({1, 1, 3}, {1, 1, 1})}, {{1 << 30, 0}, {}}),
      "graph_invalid");
  CHECK_THROWS(g.verify(), "graph_invalid");
  CHECK(g.at(g.add("reshape", {x}, {{}, {1, -1}})).shape == Shape({1, 32}));
}

TEST("compile: an instruction is shared for its work or for the weights that it reads") {
  // Of one row: 2·n·k operations over 4·n·k bytes.
  for (const int64_t width : {64, 320}) {
    Graph graph;
    const int w =
        graph.constant({width, width}, std::vector<float>(static_cast<size_t>(width * width), 0.1f));
    graph.output("F", graph.add("linear", {graph.input("x", {1, width}, stage_step), w}, {}));
    CompileOptions options;
    options.threads = 2;
    const auto program =
        compile(graph, Weights(graph, reference_kernels(), WeightFormat::f32), reference_kernels(), options);
    const Instruction& product = program->list(List::step).front();
    CHECK(product.flops < 400000);
    CHECK((product.pieces == 1) == (width == 64));
  }
}

TEST("compile: programs that differ in their weights alone are alike, and one runs with the other's") {
  Graph graph;
  const int x = graph.input("x", {1, 3}, stage_step);
  const auto branch = [&](const char* name, int64_t n, float value) {
    const int w = graph.constant({n, 3}, std::vector<float>(static_cast<size_t>(3 * n), value));
    graph.output(name, graph.add("linear", {x, w}, {}));
  };
  branch("a", 5, 1), branch("b", 5, 2), branch("wide", 6, 3);
  const auto weights = std::make_shared<Weights>(graph, reference_kernels(), WeightFormat::f32);
  const auto program = [&](const char* name) {
    CompileOptions options;
    options.outputs = {name};
    return compile(graph, *weights, reference_kernels(), options);
  };
  const auto a = program("a"), b = program("b");
  CHECK(are_alike(*a, *b) && !are_alike(*a, *program("wide")));
  const Bound bound(a, weights, b->weights);
  std::fill_n(bound.input(size_t{0}), 3, 1.0f);
  run_once(bound, Team());
  for (int i = 0; i < 5; ++i) CHECK(bound.output(size_t{0})[i] == 6);
}

TEST("session: a call goes the way that is quicker at the time, and never for good") {
  // Of 400 calls: how many of the last 100 went alone, when the ways take so long. `told` is what a shared
  // call says of its caller alone.
  TeamChoice choice;
  const auto went_alone = [&](int64_t shared, int64_t alone, int64_t told) {
    int count = 0;
    for (int i = 0; i < 400; ++i) {
      const bool by_itself = choice.next();
      choice.took(by_itself, by_itself ? JobTimes{alone, alone} : JobTimes{shared, told});
      if (i >= 300) count += by_itself;
    }
    return count;
  };
  CHECK(went_alone(400, 800, 800) <= 2);
  CHECK(went_alone(900, 800, 300) >= 95);  // the helpers have lost their cores
  CHECK(went_alone(400, 800, 800) <= 2);   // and have them again
  // A shared call that thinks too well of its caller is not believed for long.
  CHECK(went_alone(400, 800, 200) <= 15);
  // Alike: it stays as it is, and seldom tries the other.
  TeamChoice alike;
  int tried = 0;
  for (int i = 0; i < 1000; ++i) {
    const bool by_itself = alike.next();
    tried += by_itself;
    alike.took(by_itself, {400, 400});
  }
  CHECK(tried > 0 && tried < 20);
}

// Numbers of a product's matrices by the reference kernels, whose f32 packing is (k, n).
std::vector<std::vector<float>> packed_rows(const Graph& graph, int product, Packing packing) {
  const Weights weights(graph, reference_kernels(), WeightFormat::f32, packing);
  PackingStream stream(graph, reference_kernels(), weights);
  const auto& matrices = packing == Packing::now ? weights.matrices(product) : stream.matrices(product);
  std::vector<std::vector<float>> rows;
  for (const PackedMatrix& m : matrices) {
    rows.emplace_back(static_cast<size_t>(m.n * m.k));
    for (int64_t n = 0; n < m.n; ++n)
      for (int64_t k = 0; k < m.k; ++k)
        rows.back()[n * m.k + k] = reinterpret_cast<const float*>(m.data)[k * m.n + n];
  }
  return rows;
}

TEST("compile: what is done once for all steps, and convolutions that are to be exact, stay f32") {
  const auto format = [](const Graph& graph, int product) {
    return describe_product(graph, graph.at(product), reference_kernels(), WeightFormat::i8,
                            is_mostly_looped(graph))
        .at(0)
        .format;
  };
  for (const int64_t width : {256, 1024}) {  // of what is done once; the loop has 512
    Graph graph;
    const auto matrix = [&](int64_t n, int64_t k) {
      return graph.constant({n, k}, std::vector<float>(static_cast<size_t>(n * k)));
    };
    const int once =
        graph.add("linear", {graph.input("o", {1, width}, stage_observation), matrix(512, width)}, {});
    const int looped = graph.add("linear", {graph.input("x", {1, 512}, stage_step), matrix(512, 512)}, {});
    graph.output("F", graph.add("add", {once, looped}, {}));
    CHECK((format(graph, once) == WeightFormat::f32) == (width < 512));
    CHECK(format(graph, looped) == WeightFormat::i8);
  }
  for (const double exact : {0.0, 1.0}) {
    Graph graph;
    const int w = graph.constant({64, 64, 3, 3}, std::vector<float>(64 * 64 * 9));
    Attrs attrs;
    attrs.values = {1, 1, exact};
    const int product = graph.add("conv2d", {graph.input("x", {1, 32, 32, 64}, stage_step), w}, attrs);
    CHECK((format(graph, product) == WeightFormat::f32) == (exact != 0));
  }
}

TEST("compile: weights larger than what is read at once are packed whole, at once and when needed") {
  // Two million numbers and more, in dims that divide by nothing.
  struct Case {
    Shape weight;
    const char* op;
    int64_t stride, pad;
  };
  const Case cases[] = {{{1031, 2053}, "linear", 0, 0},
                        {{701, 613, 5}, "conv1d", 1, 2},
                        {{1021, 509, 4}, "conv_transpose1d", 2, 1}};
  for (const Case& c : cases) {
    const bool linear = c.weight.rank == 2, transposed = c.op[4] == '_';
    std::vector<float> w(static_cast<size_t>(c.weight.count()));
    fill_normal(3, 0, 0, w.data(), c.weight.count());
    Graph graph;
    const int64_t in = c.weight[transposed ? 0 : 1], out = c.weight[transposed ? 1 : 0];
    const int x = graph.input("x", linear ? Shape{1, in} : Shape{1, 8, in}, stage_step);
    Attrs attrs;
    if (!linear) attrs.values = {static_cast<double>(c.stride), static_cast<double>(c.pad)};
    const int product = graph.add(c.op, {x, graph.constant(c.weight, w)}, attrs);
    graph.output("F", product);
    const auto now = packed_rows(graph, product, Packing::now);
    CHECK(now == packed_rows(graph, product, Packing::when_needed));
    if (linear) CHECK(now.at(0) == w);
    if (c.op[4] == '1')
      for (int64_t o = 0; o < out; o += 97)
        for (int64_t i = 0; i < in; i += 101)
          for (int64_t t = 0; t < 5; ++t) CHECK(now[0][(o * 5 + t) * in + i] == w[(o * in + i) * 5 + t]);
    // Phase 0 of stride 2 and pad 1 takes taps 3 and 1, phase 1 taps 2 and 0.
    if (transposed)
      for (int64_t phase = 0; phase < 2; ++phase)
        for (int64_t o = 0; o < out; o += 97)
          for (int64_t i = 0; i < in; i += 101)
            for (int64_t j = 0; j < 2; ++j)
              CHECK(now[phase][(o * 2 + j) * in + i] == w[(i * out + o) * 4 + (phase == 0 ? 3 : 2) - 2 * j]);
  }
}

}  // namespace
}  // namespace tendon
