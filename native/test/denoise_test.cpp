// The denoising loop by itself, over a network of one instruction that can look at the loop from inside it:
// what happens when the caller cancels in the middle.
#include "sample/denoise.h"

#include <thread>

#include "session/session.h"
#include "test/check.h"
#include "test/networks.h"

namespace tendon {
namespace {

constexpr int rows = 9, floats = 12;

// Cancels inside the network's call number `at`, the first being 1.
std::atomic<bool> cancelled;
int made, at;
void square(const UnaryArgs& a, Part part) {
  if (part.index == 0 && ++made == at) cancelled.store(true);
  reference_kernels().unary(a, part);
}

struct Loop {
  explicit Loop(bool parallel) : kernels(reference_kernels()), tolerance(parallel ? 1e-30f : 0) {
    kernels.unary = square;
    const int64_t count = parallel ? rows * floats : floats;
    const Ref in{Region::input}, out{Region::arena};
    Instruction instruction;
    instruction.args = UnaryArgs{.op = Unary::square, .count = count};
    instruction.refs = {in, out};
    auto made_of = std::make_shared<Program>();
    made_of->kernels = &kernels;
    made_of->arena = count;
    made_of->lists[static_cast<int>(List::step)].push_back(std::move(instruction));
    made_of->inputs.push_back({"x", {1, count}, stage_step, in});
    made_of->outputs.push_back({"F", {1, count}, stage_step, out});
    program = std::make_unique<Bound>(made_of, nullptr);
    table.rows.resize(rows);
    for (SamplerRow& row : table.rows) row.w_x = 0.9f, row.w_f = -0.1f;
    for (int i = 0; i < floats; ++i) start.push_back(0.1f * static_cast<float>(i));
    registers.resize((5 + rows) * floats);
  }

  // The chunk; how many calls it took goes to `calls`.
  std::vector<float> run(Pool& pool, int cancel_at, Status& status, int& calls) {
    std::vector<float> result(floats);
    DenoiseWork work{};
    work.program = program.get(), work.table = &table;
    work.net_in = program->input(size_t{0}), work.net_out = program->output(size_t{0});
    work.groups = 1, work.count = work.row = work.action_dim = floats;
    work.start = start.data(), work.out = result.data(), work.registers = registers.data();
    work.cancel = &cancelled;
    cancelled = false, made = 0, at = cancel_at;
    pool.run([&](const Team& team) {
      status = tolerance > 0 ? denoise_parallel(work, tolerance, team, &calls) : denoise(work, team, &calls);
    });
    return result;
  }

  KernelTable kernels;
  float tolerance;
  std::unique_ptr<Bound> program;
  SamplerTable table;
  std::vector<float> start, registers;
};

TEST(
    "denoise: cancelled within a step, the loop ends after it, and the next chunk is as it would have been") {
  for (const int threads : {1, 2, 3})
    for (const bool parallel : {false, true}) {
      Pool pool(threads);
      Loop loop(parallel);
      Status status;
      int calls, whole;
      const std::vector<float> undisturbed = loop.run(pool, 0, status, whole);
      CHECK(status == Status::ok && whole > 4 && whole <= rows);
      for (const int step : {1, 2, whole - 1}) {
        loop.run(pool, step, status, calls);
        CHECK(status == Status::cancelled && calls == step && made == step);
        const std::vector<float> after = loop.run(pool, 0, status, calls);
        CHECK(status == Status::ok && calls == whole && after == undisturbed);
      }
    }
}

TEST("session: a chunk is cancelled from another thread while it is being denoised") {
  ModelOptions options;
  options.pool = std::make_shared<Pool>(2);
  test::UnetShape shape;
  shape.down = {64, 128};
  auto session = Session::open(Model::make(test::make_unet(shape, 1), options), {});
  SamplerTable table;
  constexpr int whole = 200;
  table.rows.resize(whole);
  for (SamplerRow& row : table.rows) row.w_x = 0.999f, row.w_f = -0.001f;
  session->set_table(table, {{"step_embedding", std::vector<float>(table.rows.size() * 128, 0.1f)}});
  const std::vector<float> cond(132, 0.3f), x(16 * 2, 0.1f);
  std::vector<float> undisturbed(x.size()), after(x.size());
  std::atomic<bool> cancel{false};
  DenoiseArgs args;
  args.inputs = {{2, cond.data()}};
  args.start = x.data(), args.out = undisturbed.data(), args.cancel = &cancel;
  InferStats stats;
  CHECK(session->denoise(args, &stats) == Status::ok);
  args.out = after.data();
  // Who is first is the system's affair: until the token has come while steps were being made.
  const auto half = std::chrono::nanoseconds((stats.observe_ns + stats.denoise_ns) / 2);
  int calls = 0;
  for (int attempt = 0; attempt < 50 && (calls == 0 || calls == whole); ++attempt) {
    cancel = false;
    std::thread other([&] {
      std::this_thread::sleep_for(half);
      cancel = true;
    });
    const Status status = session->denoise(args, &stats);
    other.join();
    calls = stats.calls;
    CHECK(status == (calls == whole ? Status::ok : Status::cancelled));
  }
  CHECK(calls > 0 && calls < whole);
  cancel = false;
  CHECK(session->denoise(args, &stats) == Status::ok && stats.calls == whole);
  CHECK(after == undisturbed);
}

}  // namespace
}  // namespace tendon
