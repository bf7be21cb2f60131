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
  Loop(int threads, bool parallel) : kernels(reference_kernels()) {
    kernels.unary = square;
    const int64_t count = parallel ? rows * floats : floats;
    const Ref in{Region::input}, out{Region::arena};
    Instruction instruction;
    instruction.args = UnaryArgs{.op = Unary::square, .count = count};
    instruction.refs = {in, out};
    auto program = std::make_shared<Program>();
    program->kernels = &kernels;
    program->arena = count;
    program->lists[static_cast<int>(List::step)].push_back(std::move(instruction));
    program->inputs.push_back({"x", {1, count}, stage_step, in});
    program->outputs.push_back({"F", {1, count}, stage_step, out});
    backend = open_cpu(std::make_shared<Pool>(threads), kernels);
    stream = backend->open_stream();
    executable = stream->load(program, backend->load(nullptr));
    table.rows.resize(rows);
    for (SamplerRow& row : table.rows) row.w_x = 0.9f, row.w_f = -0.1f;
    x = stream->allocate(floats * sizeof(float));
    registers = stream->allocate((2 + rows) * floats * sizeof(float));
    DenoiseWork& d = work.denoise;
    d.program = executable.get(), d.table = &table;
    d.net_in = executable->input(0), d.net_out = executable->output(0);
    d.groups = 1, d.count = floats, d.call = &call, d.x = x.floats(), d.history = registers.floats();
    work.rows = table.rows.data();
    work.out = registers.floats(), work.moved = work.out + floats, work.trajectory = work.moved + floats;
    if (parallel) {
      guess = stream->capture([&] { enqueue_guess(*stream, work); });
      step = stream->capture([&] { enqueue_iteration(*stream, work); });
    } else {
      whole = stream->capture([&] { enqueue_denoise(*stream, work.denoise); });
    }
  }

  // The chunk; how many calls it took goes to `calls`.
  std::vector<float> run(int cancel_at, Status& status, int& calls) {
    cancelled = false, made = 0, at = cancel_at;
    for (int i = 0; i < floats; ++i) x.floats()[i] = 0.1f * static_cast<float>(i);
    if (whole != nullptr) {
      const Replayed replayed = stream->replay(*whole, &cancelled);
      status = replayed.status, calls = replayed.steps;
      return {x.floats(), x.floats() + floats};
    }
    status = stream->replay(*guess).status;
    for (calls = 0; status == Status::ok && calls < rows; ++calls)
      if (status = stream->replay(*step, &cancelled).status; status != Status::ok) break;
    return {work.out, work.out + floats};
  }

  KernelTable kernels;
  std::shared_ptr<Backend> backend;
  std::shared_ptr<Stream> stream;
  std::unique_ptr<Executable> executable;
  SamplerTable table;
  SampleCall call;
  Memory x, registers;
  ParallelWork work{};
  std::unique_ptr<Capture> whole, guess, step;
};

TEST(
    "denoise: cancelled within a step, the loop ends after it, and the next chunk is as it would have been") {
  for (const int threads : {1, 2, 3})
    for (const bool parallel : {false, true}) {
      Loop loop(threads, parallel);
      Status status;
      int calls, whole;
      const std::vector<float> undisturbed = loop.run(0, status, whole);
      CHECK(status == Status::ok && whole > 4 && whole <= rows);
      for (const int step : {1, 2, whole - 1}) {
        loop.run(step, status, calls);
        CHECK(status == Status::cancelled && calls == step && made == step);
        const std::vector<float> after = loop.run(0, status, calls);
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
  DenoiseRequest args;
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
