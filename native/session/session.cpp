// A session on whatever its model runs on (backend/backend.h). Everything that changes from one inference to
// the next lies in one block, which a device gets in one copy; the rest of an inference is captured when the
// table is set, and replayed.
#include "session/session.h"

#include <cmath>
#include <cstring>

#include "backend/layout.h"
#include "base/clock.h"
#include "sample/denoise.h"
#include "session/model.h"

namespace tendon {

namespace {

// Memory that the host writes and the backend reads.
struct Staged {
  Memory host, there;

  Staged() = default;
  Staged(Stream& stream, size_t bytes) : there(stream.allocate(bytes)) {
    host = stream.capabilities().shares_memory ? there : stream.allocate(bytes, MemoryKind::staging);
  }
  // What lies from `at` on, floats.
  void upload(Stream& stream, int64_t at, int64_t count) const {
    stream.copy(there.floats() + at, host.floats() + at, static_cast<size_t>(count) * sizeof(float));
  }
  void write(int64_t at, const void* from, int64_t floats) const {
    std::memcpy(host.floats() + at, from, static_cast<size_t>(floats) * sizeof(float));
  }
};

// An image: (count, height, width, channels), seen once an inference.
bool is_image(const ProgramPort& input) { return input.stage == stage_observation && input.shape.rank == 4; }

bool all_finite(const float* x, int64_t count) {
  bool finite = true;
  for (int64_t i = 0; i < count; ++i) finite &= std::isfinite(x[i]);
  return finite;
}

// All that a table decides. A new one is whole before it takes the place of the one before.
struct Setup {
  SamplerTable table;  // of no rows: for run() alone
  float tolerance = 0;
  std::shared_ptr<const Program> program;
  std::vector<Port> inputs, outputs;
  int step_port = -1;

  // Where the pieces of `given` begin, in floats: a run uploads those before run_end, an inference those
  // before call_end; images are behind.
  std::vector<int64_t> input_at;
  int64_t run_end = 0, call_at = 0, prefix_at = 0, weights_at = 0, rows_at = 0, call_end = 0;
  Staged given;
  Staged noise;  // where it starts, then the draws of the table
  Memory registers;
  std::unique_ptr<Executable> executable;
  // What the host reads: each output, or the sample and how far a parallel one has moved.
  std::vector<const float*> results;
  const float *sample = nullptr, *moved = nullptr;
  Memory read_back;
  std::unique_ptr<Capture> run, denoise, iterate;
  int64_t observed_ns = 0;

  int calls() const { return static_cast<int>(table.rows.size()); }
  SampleShape sample_shape(int batch) const {
    if (table.rows.empty()) return {};
    const Shape& x = inputs[static_cast<size_t>(step_port)].shape;
    return {x.per_batch() * batch, x.per_batch() / x.last(), x.last(), table.noise_draws()};
  }
};

class ModelSession : public Session {
 public:
  ModelSession(std::shared_ptr<PackedModel> model, const SessionOptions& options)
      : model_(std::move(model)), options_(options) {
    if (options.batch < 1 || options.batch > 1 << 16)
      throw BuildError("config_invalid", format("batch: expected 1 to 65536, got %d", options.batch));
    for (const std::string& name : options.outputs) model_->need_output(name);
    stream_ = model_->backend().open_stream();
    setup_ = make_setup({}, {}, 0);
    for (size_t i = 0; i < inputs().size(); ++i) frames_.emplace_back(stream_);
  }

  const std::vector<Port>& inputs() const override { return setup_->inputs; }
  const std::vector<Port>& outputs() const override { return setup_->outputs; }
  std::string print() const override { return print_program(*setup_->program); }
  size_t arena_bytes() const override {
    return setup_->executable->bytes() + setup_->given.there.bytes() + setup_->noise.there.bytes();
  }
  SampleShape sample_shape() const override { return setup_->sample_shape(options_.batch); }

  std::vector<StageReport> stages() const override {
    std::vector<StageReport> reports;
    for (const List list : all_lists) {
      StageReport report{list_name(list)};
      for (const Instruction& instruction : setup_->program->list(list)) {
        ++report.instructions;
        report.flops += instruction.flops;
        report.weight_bytes += instruction.bytes;
        report.matrix_products += std::holds_alternative<GemmArgs>(instruction.args);
      }
      reports.push_back(report);
    }
    return reports;
  }

  std::vector<InstructionReport> profile(int rounds) override {
    std::vector<InstructionReport> reports;
    profile_program(*stream_, *setup_->executable, rounds, "", reports);
    return reports;
  }

  void set_table(const SamplerTable& table, const std::map<std::string, std::vector<float>>& schedule,
                 float parallel_tolerance) override {
    if (table.rows.empty()) throw BuildError("config_invalid", "a sampler table needs at least one row");
    setup_ = make_setup(table, schedule, parallel_tolerance);
  }

  Status denoise(const DenoiseRequest& request, InferStats* stats) override {
    Setup& s = *setup_;
    if (s.denoise == nullptr) return Status::not_ready;
    if (!has_all(request)) return Status::bad_argument;
    const int64_t begin = monotonic_ns();
    if (const Status status = take(request.inputs, stage_observation); status != Status::ok) return status;
    const SampleShape shape = sample_shape();
    SampleCall call{request.guidance, request.prefix != nullptr ? 1 : 0};
    std::memcpy(s.given.host.floats() + s.call_at, &call, sizeof call);
    if (request.prefix != nullptr) {
      s.given.write(s.prefix_at, request.prefix, shape.horizon * shape.action_dim);
      s.given.write(s.weights_at, request.prefix_weights, shape.horizon);
    }
    take(request.start, 0, shape.count);
    take(request.noise, shape.count, shape.count * shape.noise_draws);
    const int64_t ready = s.observed_ns = monotonic_ns();
    Replayed replayed = stream_->replay(*s.denoise, request.cancel);
    if (s.iterate != nullptr && replayed.status == Status::ok) replayed = iterate(request.cancel);
    const int64_t end = monotonic_ns();
    const int64_t observed = std::max(ready, s.observed_ns);
    if (stats != nullptr) *stats = {observed - begin, end - observed, replayed.steps, replayed.device_ns};
    if (replayed.status != Status::ok) return replayed.status;
    std::memcpy(request.out, s.sample, static_cast<size_t>(shape.count) * sizeof(float));
    return all_finite(request.out, shape.count) ? Status::ok : Status::not_finite;
  }

  Status run(const std::vector<Given>& inputs, const std::vector<Wanted>& outputs,
             InferStats* stats) override {
    const Setup& s = *setup_;
    const int64_t begin = monotonic_ns();
    if (s.run == nullptr || !has_all(outputs)) return Status::bad_argument;
    const Status taken = take(inputs, stage_schedule | stage_observation | stage_step);
    if (taken != Status::ok) return taken;
    const Replayed replayed = stream_->replay(*s.run);
    if (replayed.status != Status::ok) return replayed.status;
    bool finite = true;
    for (const Wanted& wanted : outputs) {
      const int64_t count = s.outputs[static_cast<size_t>(wanted.port)].shape.count();
      const float* result = s.results[static_cast<size_t>(wanted.port)];
      std::memcpy(wanted.data, result, static_cast<size_t>(count) * sizeof(float));
      finite &= all_finite(wanted.data, count);
    }
    if (stats != nullptr) *stats = {monotonic_ns() - begin, 0, 1, replayed.device_ns};
    return finite ? Status::ok : Status::not_finite;
  }

 private:
  // ---- While a table is set
  // --------------------------------------------------------------------------------

  std::unique_ptr<Setup> make_setup(const SamplerTable& table,
                                    const std::map<std::string, std::vector<float>>& schedule,
                                    float tolerance) {
    auto setup = std::make_unique<Setup>();
    setup->table = table;
    setup->tolerance = tolerance;
    compile_for(*setup);
    if (!table.rows.empty()) check_table(*setup, schedule);
    lay_out(*setup);
    for (size_t i = 0; i < setup->inputs.size(); ++i) {
      if (setup->inputs[i].stage != stage_schedule || table.rows.empty()) continue;
      const std::vector<float>& values = schedule.at(setup->inputs[i].name);
      setup->given.write(setup->input_at[i], values.data(), static_cast<int64_t>(values.size()));
    }
    if (tolerance > 0)
      std::memcpy(setup->given.host.floats() + setup->rows_at, table.rows.data(),
                  table.rows.size() * sizeof(SamplerRow));
    capture(*setup);
    return setup;
  }

  void compile_for(Setup& s) const {
    CompileOptions options;
    options.batch = options_.batch;
    options.outputs = options_.outputs;
    options.calls = std::max(s.calls(), 1);
    options.parallel = s.tolerance > 0;
    s.program = model_->program(options);
    for (const ProgramPort& input : s.program->inputs) {
      Shape shape = input.shape;
      if (input.stage == stage_schedule || (options.parallel && input.stage & stage_step))
        shape[0] /= options.calls;
      if (input.stage == stage_step) s.step_port = s.step_port == -1 ? static_cast<int>(s.inputs.size()) : -2;
      s.inputs.push_back({input.name, shape, input.stage});
    }
    for (const ProgramPort& output : s.program->outputs) {
      Shape shape = output.shape;
      if (options.parallel && output.stage & stage_step) shape[0] /= options.calls;
      s.outputs.push_back({output.name, shape, output.stage});
    }
  }

  // Throws BuildError for a table or schedule that the network cannot be denoised with.
  void check_table(const Setup& s, const std::map<std::string, std::vector<float>>& schedule) const {
    if (s.step_port < 0) throw BuildError("graph_invalid", "denoising needs exactly one step input");
    const Shape& x = s.inputs[static_cast<size_t>(s.step_port)].shape;
    if (s.outputs.empty() || !(s.outputs[0].shape == x))
      throw BuildError("graph_invalid",
                       "denoising needs a first output of the shape of the step input " + x.text());
    if (s.tolerance > 0 && x[0] != options_.batch)
      throw BuildError("unsupported", "all calls at once are there for one group: without guidance");
    for (const Port& port : s.inputs) {
      if (port.stage != stage_schedule) continue;
      const auto it = schedule.find(port.name);
      const size_t want = static_cast<size_t>(port.shape.count()) * s.table.rows.size();
      if (it == schedule.end() || it->second.size() != want)
        throw BuildError(
            "input_invalid",
            format("schedule input %s: expected %zu values (%zu calls), got %zu", port.name.c_str(), want,
                   s.table.rows.size(), it == schedule.end() ? size_t{0} : it->second.size()));
    }
  }

  void lay_out(Setup& s) const {
    const std::vector<ProgramPort>& inputs = s.program->inputs;
    const SampleShape shape = s.sample_shape(options_.batch);
    Layout given;
    s.input_at.assign(inputs.size(), 0);
    const auto place = [&](bool images) {
      for (size_t i = 0; i < inputs.size(); ++i)
        if (is_image(inputs[i]) == images) s.input_at[i] = given.add(inputs[i].shape.count());
    };
    place(false);
    s.run_end = given.size();
    s.call_at = given.add_bytes_of<SampleCall>();
    s.prefix_at = given.add(shape.horizon * shape.action_dim);
    s.weights_at = given.add(shape.horizon);
    s.rows_at = given.add_bytes_of<SamplerRow>(s.tolerance > 0 ? s.calls() : 0);
    s.call_end = given.size();
    place(true);
    s.given = Staged(*stream_, given.bytes());
    s.noise = Staged(*stream_, static_cast<size_t>(shape.count * (1 + shape.noise_draws)) * sizeof(float));
    const int64_t registers = shape.count * (s.tolerance > 0 ? s.calls() + 2 : 4);
    s.registers = stream_->allocate(static_cast<size_t>(registers) * sizeof(float));
    std::vector<float*> at;
    for (const int64_t offset : s.input_at) at.push_back(s.given.there.floats() + offset);
    s.executable = stream_->load(s.program, model_->loaded_weights(), at);
  }

  void capture(Setup& s) const {
    s.given.upload(*stream_, 0, s.call_end);
    stream_->enqueue(*s.executable, List::schedule);
    stream_->wait();
    // What the host reads lies where it was made, or is copied to where it can.
    const SampleShape shape = s.sample_shape(options_.batch);
    Layout layout;
    std::vector<int64_t> result_at;
    for (const ProgramPort& output : s.program->outputs)
      result_at.push_back(layout.add(output.shape.count()));
    const int64_t sample_at = layout.add(shape.count), moved_at = layout.add(shape.count);
    const bool shares = stream_->capabilities().shares_memory;
    if (!shares) s.read_back = stream_->allocate(layout.bytes(), MemoryKind::staging);
    const auto read = [&](const float* there, int64_t at, int64_t count) -> const float* {
      if (shares) return there;
      float* here = s.read_back.floats() + at;
      stream_->copy(here, there, static_cast<size_t>(count) * sizeof(float));
      return here;
    };
    if (s.program->options.calls == 1) {
      s.results.resize(result_at.size());
      s.run = stream_->capture([&] {
        s.given.upload(*stream_, 0, s.run_end);
        for (const List list : all_lists) stream_->enqueue(*s.executable, list);
        for (size_t i = 0; i < result_at.size(); ++i)
          s.results[i] = read(s.executable->output(i), result_at[i], s.program->outputs[i].shape.count());
      });
    }
    if (s.table.rows.empty()) return;
    const ParallelWork work = work_of(s);
    const auto observe = [&] {
      s.given.upload(*stream_, 0, s.call_end);
      stream_->enqueue(*s.executable, List::observation);
      stream_->enqueue(*s.executable, List::prepared);
      stream_->stamp(&s.observed_ns);
    };
    if (s.tolerance > 0) {
      s.denoise = stream_->capture([&] {
        observe();
        enqueue_guess(*stream_, work);
      });
      s.iterate = stream_->capture([&] {
        enqueue_iteration(*stream_, work);
        s.sample = read(work.out, sample_at, shape.count);
        s.moved = read(work.moved, moved_at, shape.count);
      });
    } else {
      s.denoise = stream_->capture([&] {
        observe();
        enqueue_denoise(*stream_, work.denoise);
        s.sample = read(work.denoise.x, sample_at, shape.count);
      });
    }
  }

  ParallelWork work_of(const Setup& s) const {
    const SampleShape shape = s.sample_shape(options_.batch);
    const auto step_port = static_cast<size_t>(s.step_port);
    const float* given = s.given.there.floats();
    ParallelWork work{};
    DenoiseWork& d = work.denoise;
    d.program = s.executable.get();
    d.table = &s.table;
    d.net_in = s.executable->input(step_port);
    d.net_out = s.executable->output(0);
    d.groups = s.inputs[step_port].shape[0] / options_.batch;
    d.count = shape.count;
    d.call = reinterpret_cast<const SampleCall*>(given + s.call_at);
    d.prefix = {given + s.prefix_at, given + s.weights_at, shape.horizon * shape.action_dim,
                shape.action_dim};
    d.x = s.noise.there.floats();
    d.noise = d.x + shape.count;
    d.history = s.registers.floats();
    work.rows = reinterpret_cast<const SamplerRow*>(given + s.rows_at);
    work.out = s.registers.floats();
    work.moved = work.out + shape.count;
    work.trajectory = work.moved + shape.count;
    return work;
  }

  // ---- While it runs
  // ---------------------------------------------------------------------------------------

  bool has_all(const DenoiseRequest& request) const {
    return !request.start.empty() && request.out != nullptr &&
           (setup_->table.noise_draws() == 0 || !request.noise.empty()) &&
           (request.prefix == nullptr) == (request.prefix_weights == nullptr);
  }

  bool has_all(const std::vector<Wanted>& outputs) const {
    for (const Wanted& wanted : outputs)
      if (wanted.port < 0 || wanted.port >= static_cast<int>(setup_->outputs.size()) ||
          wanted.data == nullptr)
        return false;
    return true;
  }

  // Writes what is given to where each input lies; every input of `stages` must be.
  Status take(const std::vector<Given>& given, Stage stages) {
    int expected = 0;
    for (const Port& port : setup_->inputs) expected += (port.stage & stages) != 0;
    for (const Given& g : given) {
      if (g.port < 0 || g.port >= static_cast<int>(setup_->inputs.size()) || g.empty())
        return Status::bad_argument;
      const ProgramPort& input = setup_->program->inputs[static_cast<size_t>(g.port)];
      if ((setup_->inputs[static_cast<size_t>(g.port)].stage & stages) == 0 ||
          (g.frames != nullptr && !(g.frames->shape() == input.shape)))
        return Status::bad_argument;
      if (!bring(g, input)) return Status::device_failed;
      --expected;
    }
    return expected == 0 ? Status::ok : Status::bad_argument;
  }

  // Images go their own way, before the rest.
  bool bring(const Given& given, const ProgramPort& input) {
    const auto port = static_cast<size_t>(given.port);
    const int64_t at = setup_->input_at[port], count = input.shape.count();
    try {
      if (is_image(input) && given.frames != nullptr) {
        frames_[port].enqueue(*given.frames, setup_->given.there.floats() + at);
      } else {
        given.write(setup_->given.host.floats() + at, count);
        if (is_image(input)) setup_->given.upload(*stream_, at, count);
      }
      return true;
    } catch (const BuildError&) {
      if (stream_->capabilities().shares_memory) throw;  // no memory for frames larger than any before
      return false;
    }
  }

  void take(const Noise& noise, int64_t at, int64_t count) {
    if (count == 0) return;
    const Staged& memory = setup_->noise;
    if (noise.is_drawn) {
      const Draws& d = noise.draws;
      stream_->enqueue(DrawArgs{d.seed, d.stream, d.first, d.scale, memory.there.floats() + at, count});
    } else {
      memory.write(at, noise.numbers, count);
      memory.upload(*stream_, at, count);
    }
  }

  // Iterates until no sample of the trajectory moves any more; `steps` counts iterations.
  Replayed iterate(const std::atomic<bool>* cancel) {
    const Setup& s = *setup_;
    const int64_t count = sample_shape().count;
    Replayed all;
    for (bool arrived = false; !arrived;) {
      const Replayed once = stream_->replay(*s.iterate, cancel);
      all.status = once.status;
      if (once.status != Status::ok) break;
      all.steps += once.steps;
      all.device_ns += once.device_ns;
      float moved = 0;
      for (int64_t i = 0; i < count; ++i) moved = std::max(moved, s.moved[i]);
      arrived = moved <= s.tolerance || all.steps == s.calls();
    }
    return all;
  }

  std::shared_ptr<PackedModel> model_;
  SessionOptions options_;
  std::shared_ptr<Stream> stream_;
  std::vector<FrameLoader> frames_;  // by input
  std::unique_ptr<Setup> setup_;
};

}  // namespace

void Given::write(float* to, int64_t count) const {
  if (frames != nullptr) {
    frames->write(to);
  } else {
    std::memcpy(to, data, static_cast<size_t>(count) * sizeof(float));
  }
}

std::unique_ptr<Session> Session::open(std::shared_ptr<Model> model, const SessionOptions& options) {
  return std::make_unique<ModelSession>(std::static_pointer_cast<PackedModel>(std::move(model)), options);
}

}  // namespace tendon
