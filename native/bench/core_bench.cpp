// What a build of the core costs where it must not cost much: node native/build.mjs --bench [denormal]
// [jerk] [busy].
#include <time.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <vector>

#include "base/philox.h"
#include "bench/busy_bench.h"
#include "drive/jerk.h"
#include "session/session.h"
#include "test/networks.h"

namespace tendon {
namespace {

double thread_us() {
  timespec t{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return 1e6 * static_cast<double>(t.tv_sec) + 1e-3 * static_cast<double>(t.tv_nsec);
}

// ---- denormal: the same product and attention on ordinary numbers and on ones that are or become denormal
// -------

struct Case {
  const char* name;
  Graph graph;
  float ordinary, denormal;  // what every input is filled with
};

Graph product() {
  test::NetworkBuilder b(1);
  b.graph.output("y", b.linear(b.graph.input("x", {16, 1024}, stage_step), 1024));
  return std::move(b.graph);
}

// Softmax weights of every query but for one key are e^mask.
Graph attention(float mask) {
  test::NetworkBuilder b(2);
  const int x = b.graph.input("x", {1, 256, 256}, stage_step);
  std::vector<float> masks(256 * 256, mask);
  for (size_t i = 0; i < 256; ++i) masks[i * 257] = 0;
  b.graph.output("y", b.op("attention", {x, x, x, b.graph.constant({256, 256}, masks)}, {4}));
  return std::move(b.graph);
}

double milliseconds(Graph graph, float scale, Precision precision) {
  ModelOptions options;
  options.precision = precision;
  options.pool = std::make_shared<Pool>(1);
  const auto session = Session::open(Model::make(std::move(graph), options), {});
  std::vector<float> x(static_cast<size_t>(session->inputs()[0].shape.count()));
  fill_normal(3, 0, 0, x.data(), static_cast<int64_t>(x.size()));
  for (float& value : x) value *= scale;
  std::vector<float> out(static_cast<size_t>(session->outputs()[0].shape.count()));
  double best = 1e30;
  for (int i = 0; i < 20; ++i) {
    const double begin = thread_us();
    if (session->run({{0, x.data()}}, {{0, out.data()}}, nullptr) != Status::ok) std::puts("not ok");
    best = std::min(best, thread_us() - begin);
  }
  return best / 1e3;
}

void denormal() {
  std::puts("denormal            ordinary ms   denormal ms   ratio");
  const auto row = [](const char* name, double ordinary, double small) {
    std::printf("%-18s %12.3f  %12.3f  %6.2f\n", name, ordinary, small, small / ordinary);
  };
  for (const auto& [name, precision] : {std::pair{"product, f32", Precision::f32},
                                        {"product, bf16", Precision::bf16},
                                        {"product, int8", Precision::i8}})
    row(name, milliseconds(product(), 1, precision), milliseconds(product(), 1e-40f, precision));
  row("attention, f32", milliseconds(attention(-1), 1, Precision::f32),
      milliseconds(attention(-95), 1, Precision::f32));
}

// ---- jerk: one period of seven joints under random limits, worst first
// --------------------------------------------

void jerk() {
  constexpr int joints = 7, periods = 4000, repeats = 8;
  std::vector<float> draws;
  uint64_t next = 0;
  const auto between = [&](double low, double high) {
    float u;
    fill_uniform(11, 0, next++, &u, 1);
    return low * std::pow(high / low, static_cast<double>(u));
  };
  double worst = 0, sum = 0;
  int64_t count = 0;
  JointLimits worst_limits{};
  double worst_dt = 0;
  for (int machine = 0; machine < 200; ++machine) {
    const double dt = between(1e-3, 2e-2);
    std::vector<JointLimits> limits;
    std::vector<JointMotion> motions(joints);
    for (int i = 0; i < joints; ++i) {
      const double speed = between(0.05, 10), acceleration = speed * between(0.1, 200);
      limits.push_back({-3, 3, speed, acceleration, acceleration * between(0.1, 1000)});
    }
    std::vector<double> targets(joints);
    for (int period = 0; period < periods; ++period) {
      if (period % 50 == 0)
        for (double& target : targets) target = 3 * std::cos(3.14159 * between(1, 2.7));
      // The same period several times: what is least was not interrupted.
      const std::vector<JointMotion> before = motions;
      double least = 1e9;
      for (int repeat = 0; repeat < repeats; ++repeat) {
        motions = before;
        const double begin = thread_us();
        for (int i = 0; i < joints; ++i)
          jerk_limited_step(motions[static_cast<size_t>(i)], targets[static_cast<size_t>(i)],
                            limits[static_cast<size_t>(i)], dt);
        least = std::min(least, thread_us() - begin);
      }
      sum += least, ++count;
      if (least > worst) worst = least, worst_limits = limits[0], worst_dt = dt;
    }
  }
  std::printf(
      "jerk limits, %d joints, one period, over %lld periods under random limits: mean %.2f us, worst %.2f "
      "us\n",
      joints, static_cast<long long>(count), sum / static_cast<double>(count), worst);
  std::printf("  (worst at dt %.4f s; its first joint: speed %.3g, acceleration %.3g, jerk %.3g)\n", worst_dt,
              worst_limits.speed, worst_limits.acceleration, worst_limits.jerk);
}

}  // namespace
}  // namespace tendon

int main(int argc, char** argv) {
  const auto wanted = [&](const char* name) {
    return argc == 1 ||
           std::any_of(argv + 1, argv + argc, [&](const char* a) { return std::strcmp(a, name) == 0; });
  };
  if (wanted("denormal")) tendon::denormal();
  if (wanted("jerk")) tendon::jerk();
  if (wanted("busy")) tendon::busy();
}
