// One body for every device: each op of the op table, whole networks and the denoising loop, run through the
// session on the reference, the CPU, the emulated CUDA kernels and the CUDA device, and compared with the
// reference. Where there is no device its cases are counted as not run, with the reason.
#include <cmath>
#include <cstring>
#include <functional>
#include <set>
#include <string>
#include <vector>

#include "backend/cuda/bf16_copies.h"
#include "compile/program.h"
#include "compile/rewrite.h"
#include "kernels/cuda/table.h"
#include "test/check.h"
#include "test/devices.h"
#include "test/networks.h"

namespace tendon {
namespace {

using test::make_score_transformer;
using test::make_unet;
using test::model_on;
using test::NetworkBuilder;
using test::reference;
using test::Target;
using test::targets;

// Every output for inputs drawn by their index.
std::vector<float> run_all(const Target& target, Graph graph, Precision precision, int batch) {
  const auto session = Session::open(model_on(target, std::move(graph), precision), {batch, {}});
  std::vector<std::vector<float>> data, results;
  std::vector<Given> given;
  std::vector<Wanted> wanted;
  for (const Port& port : session->inputs()) {
    data.emplace_back(static_cast<size_t>(port.shape.count()));
    fill_normal(21, data.size(), 0, data.back().data(), port.shape.count());
    if (port.name == "index")
      for (float& x : data.back()) x = std::fabs(x) * 3;
  }
  for (size_t i = 0; i < data.size(); ++i) given.push_back({static_cast<int>(i), data[i].data()});
  for (const Port& port : session->outputs()) results.emplace_back(static_cast<size_t>(port.shape.count()));
  for (size_t i = 0; i < results.size(); ++i) wanted.push_back({static_cast<int>(i), results[i].data()});
  const Status status = session->run(given, wanted, nullptr);
  CHECK(status == Status::ok || status == Status::not_finite);
  std::vector<float> all;
  for (const auto& result : results) all.insert(all.end(), result.begin(), result.end());
  return all;
}

void compare(const std::string& label, const std::vector<float>& got, const std::vector<float>& want,
             double tolerance) {
  CHECK(got.size() == want.size());
  CHECK_NEAR(label.c_str(), got.data(), want.data(), static_cast<int64_t>(want.size()), tolerance, 1.0);
}

// ---- Every op --------------------------------------------------------------------------------------------

struct OpCase {
  std::string op;
  std::function<void(NetworkBuilder&)> build;
};

int input(NetworkBuilder& b, const Shape& shape) { return b.graph.input("x", shape, stage_step); }

std::vector<OpCase> op_cases() {
  std::vector<OpCase> cases;
  const auto add = [&](const char* op, std::function<int(NetworkBuilder&)> build) {
    cases.push_back({op, [build](NetworkBuilder& b) { b.graph.output("out", build(b)); }});
  };
  add("linear", [](auto& b) { return b.linear(input(b, {1, 5, 37}), 67); });
  // Long enough that k is split over blocks, with a residual behind the sums.
  add("linear", [](auto& b) {
    const int x = input(b, {1, 3, 1501});
    return b.op("add", {b.op("silu", {b.linear(x, 70)}), b.slice(x, 2, 100, 70)});
  });
  add("conv1d", [](auto& b) { return b.conv1d(input(b, {1, 17, 5}), 33, 3, 2, 1); });
  add("conv1d", [](auto& b) {
    return b.op("mish", {b.group_norm(b.conv1d(input(b, {1, 16, 48}), 96, 5, 1, 2), 8)});
  });
  add("conv_transpose1d", [](auto& b) { return b.upsample1d(input(b, {1, 9, 7})); });
  add("conv2d", [](auto& b) {
    return b.op("conv2d", {input(b, {1, 11, 13, 3}), b.random({21, 3, 3, 3}, 0.2f)}, {2, 1});
  });
  add("batch_norm", [](auto& b) {
    return b.op("batch_norm", {input(b, {1, 6, 5}), b.random({5}, 0.1f, 1), b.random({5}, 0.1f),
                               b.random({5}, 0.1f), b.random({5}, 0.01f, 1)});
  });
  add("group_norm", [](auto& b) { return b.group_norm(input(b, {1, 7, 24}), 4); });
  add("layer_norm", [](auto& b) { return b.layer_norm(input(b, {1, 3, 131})); });
  add("rms_norm", [](auto& b) {
    return b.op("rms_norm", {input(b, {1, 3, 131}), b.random({131}, 0.1f, 1)});
  });
  add("max_pool2d", [](auto& b) { return b.op("max_pool2d", {input(b, {1, 9, 7, 5})}, {3, 2, 1}); });
  add("affine", [](auto& b) { return b.op("affine", {input(b, {1, 131})}, {1.5, -0.25}); });
  add("concat", [](auto& b) {
    const int x = input(b, {1, 5, 6});
    return b.op("concat", {x, b.random({1, 5, 3}, 1), b.op("tanh", {x})}, {2});
  });
  add("slice", [](auto& b) { return b.op("tanh", {b.slice(input(b, {1, 5, 9}), 1, 2, 3)}); });
  add("reshape", [](auto& b) {
    return b.op("tanh", {b.op("reshape", {b.slice(input(b, {1, 4, 6}), 2, 1, 4)}, {}, {1, 16})});
  });
  add("permute", [](auto& b) {
    return b.op("tanh", {b.op("permute", {input(b, {1, 3, 4, 5})}, {}, {0, 3, 1, 2})});
  });
  add("expand", [](auto& b) {
    return b.op("mul", {b.op("expand", {input(b, {1, 1, 7})}, {}, {1, 5, 7}), b.random({1, 5, 7}, 1)});
  });
  add("softmax", [](auto& b) { return b.op("softmax", {input(b, {1, 3, 131})}); });
  add("attention", [](auto& b) {
    const int x = input(b, {1, 131, 24});
    return b.op("attention", {b.slice(x, 1, 3, 2), b.op("tanh", {x}), b.op("sin", {x})}, {3});
  });
  add("matmul", [](auto& b) {
    const int x = input(b, {1, 5, 7});
    return b.op("matmul", {x, b.op("permute", {b.op("tanh", {x})}, {}, {0, 2, 1})});
  });
  for (const double axis : {1.0, 2.0})
    for (const char* f : {"sum", "mean", "max", "min", "variance"})
      add(f, [=](auto& b) { return b.op(f, {input(b, {1, 9, 11})}, {axis}); });
  add("rope", [](auto& b) {
    const int x = input(b, {1, 5, 12});
    const int halves = b.graph.constant({1, 5}, {0, 1, 2, 3.5f, 900});
    return b.op("add", {b.op("rope", {x, halves}, {2}),
                        b.op("rope", {x, b.graph.input("at", {1, 5}, stage_step)}, {1, 500})});
  });
  add("gather", [](auto& b) {
    return b.op("gather", {b.random({6, 5}, 1), b.graph.input("index", {1, 4}, stage_step)});
  });
  for (const std::string& name : op_names()) {
    const OpInfo& info = *find_op(name);
    if (info.op == Op::unary)
      cases.push_back({name, [name](NetworkBuilder& b) {
                         // Positive, so that logarithms and roots are numbers.
                         const int x = b.op("affine", {b.op("square", {input(b, {1, 131})})}, {1, 0.1});
                         b.graph.output("out", b.op(name.c_str(), {x}));
                         b.graph.output("half", b.op(name.c_str(), {b.op("affine", {x}, {0.5, 0})}));
                       }});
    if (info.op == Op::binary)
      cases.push_back({name, [name](NetworkBuilder& b) {
                         const int x = input(b, {1, 5, 7});
                         b.graph.output("vector", b.op(name.c_str(), {x, b.random({7}, 0.2f, 2)}));
                         b.graph.output("row", b.op(name.c_str(), {x, b.random({1, 1, 7}, 0.2f, 2)}));
                       }});
  }
  return cases;
}

TEST("cuda: every op of the table has a case") {
  std::set<std::string> known;
  for (const OpCase& op : op_cases()) known.insert(op.op);
  for (const std::string& name : op_names())
    if (known.count(name) == 0) test::fail(__FILE__, __LINE__, "no case runs " + name);
}

TEST("cuda: every op on every device") {
  const std::vector<OpCase> cases = op_cases();
  for (const Target& target : targets(2 * static_cast<int>(cases.size())))
    for (const OpCase& op : cases)
      for (const int batch : {1, 3}) {
        const auto graph = [&] {
          NetworkBuilder b(5);
          op.build(b);
          return std::move(b.graph);
        };
        // f32 sums of up to 1501 terms in another order, and functions that differ by a few units in the last
        // place; docs/numerics.md.
        compare(target.name + " " + op.op, run_all(target, graph(), Precision::f32, batch),
                run_all(reference, graph(), Precision::f32, batch), 1e-4);
      }
}

// ---- Networks --------------------------------------------------------------------------------------------

test::UnetShape small_unet() {
  test::UnetShape s;
  s.down = {16, 32, 64};
  s.cond_dim = 20, s.step_dim = 16, s.action_dim = 3;
  return s;
}
test::ScoreShape small_transformer() {
  test::ScoreShape s;
  s.width = 48, s.heads = 4, s.layers = 2;
  return s;
}

TEST("cuda: networks in every precision on every device") {
  struct Case {
    Precision precision;
    double tolerance;
  };
  // bf16 and int8: the reference rounds the weights alone, a device also the activations, by 2⁻⁹ of each.
  const Case cases[] = {{Precision::f32, 1e-4}, {Precision::bf16, 2e-2}, {Precision::i8, 2e-2}};
  for (const Target& target : targets(2 * 3))
    for (const Case& c : cases) {
      // The CPU's int8 rounds activations to bytes, which is measured elsewhere (kernels_gemm_test.cpp).
      if (!target.is_device && c.precision == Precision::i8) continue;
      compare(target.name + " unet", run_all(target, make_unet(small_unet(), 1), c.precision, 2),
              run_all(reference, make_unet(small_unet(), 1), c.precision, 2), c.tolerance);
      compare(target.name + " transformer",
              run_all(target, make_score_transformer(small_transformer(), 2), c.precision, 2),
              run_all(reference, make_score_transformer(small_transformer(), 2), c.precision, 2),
              c.tolerance);
    }
}

TEST("cuda: products of many rows hand on copies in bf16, and compute what they did") {
  const auto graph = [] {
    test::UnetShape shape = small_unet();
    shape.down = {64, 128};  // large enough that a lower precision is worth it
    return make_unet(shape, 1);
  };
  for (const int batch : {1, 5}) {
    const Graph packed = rewrite(graph());
    CompileOptions options;
    options.batch = batch;
    const KernelTable& kernels = cuda::emulated_kernels();
    const auto program = compile(packed, Weights(packed, kernels, WeightFormat::bf16), kernels, options);
    int reads = 0, writes = 0;
    for (const auto& [instruction, use] : find_bf16_copies(program->list(List::step)))
      reads += use.reads, writes += use.writes;
    // At batch 1 no product has more than 16 rows; at 5 those of the first level have 80, of the second 40.
    CHECK(batch == 1 ? reads == 0 && writes == 0 : reads >= 8 && writes >= 8);
  }
  for (const Target& target : targets(2))
    for (const Precision precision : {Precision::bf16, Precision::i8}) {
      if (!target.is_device) continue;
      compare(target.name + " unet", run_all(target, graph(), precision, 5),
              run_all(reference, graph(), precision, 5), 2e-2);
    }
}

// ---- Cameras ---------------------------------------------------------------------------------------------

struct FrameCase {
  FrameOptions options;
  const char* name;
};

// Cut out, reduced, enlarged, both; of the network's one size, 2 × 12 × 10 × 3.
std::vector<FrameCase> frame_cases() {
  const auto frames = [](int64_t height, int64_t width) {
    FrameOptions o;
    o.count = 2, o.height = height, o.width = width, o.channels = 3;
    return o;
  };
  FrameOptions whole = frames(12, 10), cut = frames(17, 31), reduced = frames(31, 23),
               enlarged = frames(7, 9), both = frames(40, 37);
  cut.top = 3, cut.left = 20, cut.rows = 12, cut.columns = 10;
  reduced.resized_height = enlarged.resized_height = 12, reduced.resized_width = enlarged.resized_width = 10;
  both.resized_height = 20, both.resized_width = 13;
  both.top = 8, both.left = 3, both.rows = 12, both.columns = 10;
  return {{whole, "whole"}, {cut, "cut out"}, {reduced, "reduced"}, {enlarged, "enlarged"}, {both, "both"}};
}

// A session sees every kind of frame in turn, then numbers: what each makes of it.
std::vector<float> seen(const Target& target) {
  NetworkBuilder b(7);
  const int x = b.graph.input("image", {2, 12, 10, 3}, stage_observation);
  b.graph.output("out", b.op("conv2d", {x, b.random({5, 3, 3, 3}, 0.2f)}, {2, 1}));
  b.graph.output("itself", b.op("affine", {x}, {1, 0}));
  const auto session = Session::open(model_on(target, std::move(b.graph), Precision::f32), {1, {}});
  std::vector<float> all;
  const auto run = [&](const Given& given) {
    std::vector<std::vector<float>> results;
    std::vector<Wanted> wanted;
    for (const Port& port : session->outputs()) results.emplace_back(static_cast<size_t>(port.shape.count()));
    for (size_t i = 0; i < results.size(); ++i) wanted.push_back({static_cast<int>(i), results[i].data()});
    CHECK(session->run({given}, wanted, nullptr) == Status::ok);
    for (const auto& result : results) all.insert(all.end(), result.begin(), result.end());
  };
  uint64_t stream = 0;
  for (const FrameCase& c : frame_cases()) {
    const int64_t count = c.options.count * c.options.height * c.options.width * c.options.channels;
    std::vector<float> drawn(static_cast<size_t>(count)), values(3 * 256);
    fill_uniform(4, stream++, 0, drawn.data(), count);
    fill_normal(4, stream++, 0, values.data(), static_cast<int64_t>(values.size()));
    std::vector<uint8_t> pixels(drawn.size());
    for (size_t i = 0; i < drawn.size(); ++i) pixels[i] = static_cast<uint8_t>(drawn[i] * 256);
    Frames frames(c.options, std::move(pixels), std::move(values));
    run({0, nullptr, &frames});
  }
  std::vector<float> numbers(2 * 12 * 10 * 3);
  fill_normal(4, stream, 0, numbers.data(), static_cast<int64_t>(numbers.size()));
  run({0, numbers.data()});
  return all;
}

TEST("cuda: camera frames are cut, resized and normalised on every device") {
  // Sums of up to 25 products, fused on a device, in the same order.
  for (const Target& target : targets(static_cast<int>(frame_cases().size())))
    compare(target.name + " frames", seen(target), seen(test::reference), 1e-5);
}

// ---- The denoising loop ----------------------------------------------------------------------------------

// Whatever a row may hold: noise before and after, a clip, history, a saved sample, a prefix.
SamplerTable full_table() {
  SamplerTable table;
  table.rows.resize(6);
  for (size_t i = 0; i < table.rows.size(); ++i) {
    SamplerRow& row = table.rows[i];
    row.c_in = 0.9f, row.a_x = 0.2f, row.a_f = 0.5f, row.clip = 1.5f, row.guide = 0.5f;
    row.w_x = 0.9f, row.w_d = 0.05f, row.w_f = 0.02f, row.push = 1, row.h_d = 1, row.h_x = 0.1f;
    row.w_noise = i % 2 == 0 ? 0.1f : 0.0f;
    row.pre_noise = i == 3 ? 0.2f : 0.0f;
    row.save = i == 1 ? 1.0f : 0.0f;
    if (i > 1) row.w_h1 = -0.02f, row.w_s = 0.02f;
    if (i > 2) row.w_h2 = 0.01f, row.w_h3 = i > 3 ? -0.01f : 0.0f;
  }
  return table;
}

// A network for two guidance groups: rows with the condition, then rows without.
Graph make_guided(const test::UnetShape& s) {
  NetworkBuilder b(6);
  const int x = b.graph.input("x", {2, s.horizon, s.action_dim}, stage_step);
  const int emb = b.graph.input("step_embedding", {1, s.step_dim}, stage_schedule);
  const int cond = b.graph.input("cond", {2, s.cond_dim}, stage_observation);
  const int known = b.op("mish", {b.op("add", {b.linear(cond, 32), b.linear(emb, 32)})});
  const int h = b.op("add", {b.linear(x, 32), b.op("reshape", {known}, {}, {2, 1, 32})});
  b.graph.output("out", b.linear(b.op("silu", {h}), s.action_dim));
  return std::move(b.graph);
}

std::vector<float> denoised(const Target& target, int batch, bool prefixed, bool guided,
                            float tolerance = 0) {
  test::UnetShape shape = small_unet();
  shape.down = {8, 16};  // the network is not what is tried here
  const auto session = Session::open(
      model_on(target, guided ? make_guided(shape) : make_unet(shape, 4), Precision::f32), {batch, {}});
  const SamplerTable table = full_table();
  const auto calls = static_cast<int64_t>(table.rows.size());
  std::vector<float> emb(static_cast<size_t>(calls * shape.step_dim)),
      cond(static_cast<size_t>(guided ? 2 * shape.cond_dim : shape.cond_dim));
  fill_normal(1, 1, 0, emb.data(), calls * shape.step_dim);
  fill_normal(1, 2, 0, cond.data(), static_cast<int64_t>(cond.size()));
  session->set_table(table, {{"step_embedding", emb}}, tolerance);
  const int64_t row = shape.horizon * shape.action_dim, count = batch * row;
  std::vector<float> x(static_cast<size_t>(count)), out(x), prefix(static_cast<size_t>(row)),
      weights(static_cast<size_t>(shape.horizon)), noise(static_cast<size_t>(count * table.noise_draws()));
  fill_normal(1, 3, 0, x.data(), count);
  fill_normal(1, 4, 0, noise.data(), static_cast<int64_t>(noise.size()));
  fill_normal(1, 5, 0, prefix.data(), row);
  for (size_t i = 0; i < weights.size(); ++i) weights[i] = 1.0f / static_cast<float>(1 + i);
  DenoiseRequest args;
  args.inputs = {{2, cond.data()}};
  args.start = x.data();
  args.noise = noise.data();
  args.out = out.data();
  args.guidance = 1.7f;
  if (prefixed) args.prefix = prefix.data(), args.prefix_weights = weights.data();
  InferStats stats;
  // Twice: nothing of the first may be left in the second.
  CHECK(session->denoise(args, &stats) == Status::ok);
  const std::vector<float> first = out;
  CHECK(session->denoise(args, &stats) == Status::ok);
  CHECK(std::memcmp(first.data(), out.data(), out.size() * sizeof(float)) == 0);
  CHECK(tolerance > 0 ? stats.calls > 1 && stats.calls <= calls : stats.calls == calls);
  // Drawn where they are used they are the same.
  args.start = Draws{1, 3, 0};
  args.noise = Draws{1, 4, 0};
  CHECK(session->denoise(args, &stats) == Status::ok);
  CHECK_NEAR("drawn", out.data(), first.data(), count, 1e-5, 1);
  if (!target.is_device) CHECK(first == out);
  args.start = x.data(), args.noise = noise.data();
  std::atomic<bool> cancel{true};
  args.cancel = &cancel;
  CHECK(session->denoise(args, nullptr) == Status::cancelled);
  args.cancel = nullptr, args.inputs.clear();
  CHECK(session->denoise(args, nullptr) == Status::bad_argument);
  return out;
}

TEST("cuda: the denoising loop on every device") {
  struct Case {
    int batch;
    bool prefixed, guided;
    float tolerance = 0;  // of all calls at once
  };
  const Case cases[] = {{1, false, false}, {3, true, false},         {1, false, true},
                        {3, true, true},   {1, false, false, 1e-6f}, {3, true, false, 1e-6f}};
  for (const Target& target : targets(6))
    for (const Case& c : cases)
      compare(target.name + " denoise", denoised(target, c.batch, c.prefixed, c.guided, c.tolerance),
              denoised(reference, c.batch, c.prefixed, c.guided), 1e-4);
}

TEST("cuda: random draws are those of the CPU") {
  for (const Target& target : targets(1)) {
    if (!target.is_device) continue;
    const auto stream = open_cuda(target.name)->open_stream();
    constexpr int64_t count = 4099;
    const Memory drawn = stream->allocate(count * sizeof(float));
    std::vector<float> got(count), want(count);
    stream->enqueue(DrawArgs{7, 9, 3, 1, drawn.floats(), count});
    stream->copy(got.data(), drawn.data(), count * sizeof(float));
    stream->wait();
    fill_normal(7, 9, 3, want.data(), count);
    // Both in double, then rounded: a unit in the last place where the two libms fall on either side.
    CHECK_NEAR(target.name.c_str(), got.data(), want.data(), count, 1.2e-7, 1e-30);
  }
}

TEST("cuda: a device that is not there is named with what to do") {
  CHECK_THROWS(Device::open("gpu"), "config_invalid");
  CHECK_THROWS(Device::open("cuda:"), "config_invalid");
  CHECK_THROWS(Device::open("cuda:1x"), "config_invalid");
  CHECK_THROWS(Device::open("cuda:99"), "native_unavailable");
}

}  // namespace
}  // namespace tendon
