// Whole inferences and whole plans on a CUDA device, by its own clock: medians over many, upload and result
// included. Beside inferences the rate at which weights were read, and the longest instructions of a step.
// One line per network: `name precision batch: …`. Usage: tendon_cuda_bench [device] [--small] (small
// networks, for a try).
#include <algorithm>
#include <cstdio>
#include <cstring>
#include <map>
#include <string>
#include <vector>

#include "backend/cuda/device.h"
#include "base/philox.h"
#include "session/session.h"
#include "test/networks.h"

namespace {

using namespace tendon;

struct Work {
  const char* name;
  int steps;
  Graph (*make)(bool small);
};

Graph unet(bool small) {
  test::UnetShape s;
  if (small) s.down = {8, 16};
  return test::make_unet(s, 1);
}
Graph transformer(bool small) {
  test::ScoreShape s;
  if (small) s.width = 24, s.layers = 1;
  return test::make_score_transformer(s, 1);
}

constexpr Work works[] = {{"unet-251m, 10 steps of DDIM", 10, unet},
                          {"score transformer 9.4m, 3 steps", 3, transformer}};

std::vector<float> normal(uint64_t stream, int64_t count) {
  std::vector<float> x(static_cast<size_t>(count));
  fill_normal(3, stream, 0, x.data(), count);
  return x;
}

double at(std::vector<double> times, double share) {
  std::sort(times.begin(), times.end());
  return times[static_cast<size_t>(share * static_cast<double>(times.size() - 1))];
}

void measure(const Work& work, int steps, const std::shared_ptr<Model>& model, int batch, int rounds) {
  const auto session = Session::open(model, {batch, {}});
  SamplerTable table;
  table.rows.resize(static_cast<size_t>(steps));
  // DDIM's form: an estimate of the clean sample from x and ε, clipped, then a step towards it.
  for (SamplerRow& row : table.rows)
    row.a_x = 1.1f, row.a_f = -0.4f, row.clip = 1, row.w_x = 0.8f, row.w_d = 0.2f;
  std::map<std::string, std::vector<float>> schedule;
  std::vector<std::vector<float>> data;
  DenoiseRequest args;
  for (size_t i = 0; i < session->inputs().size(); ++i) {
    const Port& port = session->inputs()[i];
    if (port.stage == stage_schedule) schedule[port.name] = normal(i, port.shape.count() * steps);
    if (port.stage != stage_observation) continue;
    data.push_back(normal(i, port.shape.count()));
    args.inputs.push_back({static_cast<int>(i), data.back().data()});
  }
  session->set_table(table, schedule);
  const SampleShape shape = session->sample_shape();
  const std::vector<float> start = normal(99, shape.count);
  std::vector<float> out(start.size());
  args.start = start.data();
  args.out = out.data();
  std::vector<double> device_us, wall_us;
  const int warm = rounds / 10;
  for (int i = 0; i < rounds + warm; ++i) {
    InferStats stats;
    const Status status = session->denoise(args, &stats);
    if (status != Status::ok) {
      std::printf("%s: %s\n", work.name, status_text(status));
      return;
    }
    if (i < warm) continue;  // clocks rise, caches fill
    device_us.push_back(static_cast<double>(stats.device_ns) / 1e3);
    wall_us.push_back(static_cast<double>(stats.observe_ns + stats.denoise_ns) / 1e3);
  }
  double weights = 0;
  for (const StageReport& stage : session->stages())
    weights += stage.weight_bytes * (stage.name == "step" ? steps : stage.name == "schedule" ? 0 : 1);
  const char* precisions[] = {"f32", "bf16", "int8", "auto"};
  std::printf(
      "%s, %s, batch %d: device median %.1f us, p99 %.1f, worst %.1f; the caller waited %.1f (p99 %.1f); "
      "weights "
      "read %.0f MB, %.2f TB/s\n",
      work.name, precisions[static_cast<int>(model->report().precision)], batch, at(device_us, 0.5),
      at(device_us, 0.99), at(device_us, 1), at(wall_us, 0.5), at(wall_us, 0.99), weights / 1e6,
      weights / at(device_us, 0.5) / 1e6);
  if (batch != 1) return;
  // Where it goes: each instruction of a step alone, back to back.
  std::vector<InstructionReport> reports = session->profile(rounds < 5 ? rounds : 5);
  std::erase_if(reports, [](const InstructionReport& r) { return r.stage != "step"; });
  double total = 0;
  for (const InstructionReport& r : reports) total += r.ns;
  std::printf("  one step: %zu instructions, %.1f us when run one by one; the longest:\n", reports.size(),
              total / 1e3);
  std::sort(reports.begin(), reports.end(), [](const auto& a, const auto& b) { return a.ns > b.ns; });
  for (size_t i = 0; i < reports.size() && i < 8; ++i)
    std::printf("  %8.2f us  %6.0f GB/s of weights  %s\n", reports[i].ns / 1e3,
                reports[i].weight_bytes / std::max(reports[i].ns, 1.0), reports[i].label.c_str());
}

// TD-MPC2's search with its own numbers: a plan is one recording.
void measure_plan(const std::shared_ptr<Model>& model, const test::WorldShape& shape, bool small,
                  int rounds) {
  PlannerTable t;
  t.horizon = shape.horizon, t.action_dim = static_cast<int>(shape.action_dim);
  t.samples = small ? 40 : 488, t.prior = small ? 8 : 24, t.iterations = small ? 2 : 6;
  t.elites = small ? 8 : 64;
  t.initial_std = t.max_std = 2, t.min_std = 0.05f, t.temperature = 0.5f;
  t.critics = shape.critics, t.drawn = 2, t.pick = Pick::sampled;
  const auto planner = Planner::open(model, t);
  const std::vector<float> latent = normal(1, shape.latent);
  std::vector<float> out(static_cast<size_t>(t.row()));
  PlanArgs args;
  args.inputs = {{0, latent.data()}};
  std::vector<double> device_us, wall_us;
  const int warm = rounds / 10;
  for (int i = 0; i < rounds + warm; ++i) {
    PlanStats stats;
    const Status status = planner->plan(args, out.data(), &stats);
    if (status != Status::ok) {
      std::printf("tdmpc2-5m, a plan: %s\n", status_text(status));
      return;
    }
    if (i < warm) continue;
    device_us.push_back(static_cast<double>(stats.device_ns) / 1e3);
    wall_us.push_back(static_cast<double>(stats.total_ns) / 1e3);
  }
  const char* precisions[] = {"f32", "bf16", "int8", "auto"};
  std::printf(
      "tdmpc2-5m, a plan of %d iterations, %s: device median %.1f us, p99 %.1f, worst %.1f; the caller "
      "waited "
      "%.1f (p99 %.1f)\n",
      t.iterations, precisions[static_cast<int>(model->report().precision)], at(device_us, 0.5),
      at(device_us, 0.99), at(device_us, 1), at(wall_us, 0.5), at(wall_us, 0.99));
}

}  // namespace

int main(int argc, char** argv) {
  std::setvbuf(stdout, nullptr, _IOLBF, 0);
  std::string name = "cuda:0";
  bool small = false;
  for (int i = 1; i < argc; ++i) {
    if (std::strcmp(argv[i], "--small") == 0)
      small = true;
    else
      name = argv[i];
  }
  try {
    const auto device = Device::open(name);
    const cuda::Description& d = device->description();
    std::printf("%s: %s, compute capability %d.%d, %d multiprocessors, %.0f GB\n", name.c_str(), d.name,
                d.major, d.minor, d.multiprocessors, static_cast<double>(d.bytes) / 1e9);
    if (small) std::printf("small networks under the names of the real ones: a try of the bench\n");
    for (const Work& work : works)
      for (const Precision precision : {Precision::bf16, Precision::i8, Precision::f32}) {
        ModelOptions options;
        options.device = name;
        options.precision = precision;
        const auto model = Model::make(work.make(small), options);
        for (const int batch : {1, 16}) measure(work, small ? 2 : work.steps, model, batch, small ? 1 : 200);
      }
    test::WorldShape world = test::tdmpc2_5m();
    if (small) world.latent = world.width = 24, world.bins = 5;
    for (const Precision precision : {Precision::bf16, Precision::i8, Precision::f32}) {
      ModelOptions options;
      options.device = name;
      options.precision = precision;
      measure_plan(Model::make(test::make_world_model(world, 1), options), world, small, small ? 1 : 200);
    }
    return 0;
  } catch (const BuildError& e) {
    std::printf("bench not run: %s\n", e.what());
    return 3;
  }
}
