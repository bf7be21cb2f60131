#include "session/session.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <cstring>
#include <thread>

#include "runtime/run.h"
#include "sample/denoise.h"
#include "session/model.h"

namespace tendon {

namespace {

int64_t now_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

// Work that takes one thread longer than this is shared without asking.
constexpr int64_t worth_sharing_ns = 20'000'000;

class ProgramSession : public Session {
 public:
  ProgramSession(std::shared_ptr<PackedModel> model, const SessionOptions& options)
      : model_(std::move(model)), options_(options) {
    if (options.batch < 1 || options.batch > 1 << 16)
      throw BuildError("config_invalid", format("batch: expected 1 to 65536, got %d", options.batch));
    for (const std::string& name : options.outputs) model_->need_output(name);
    build(1, false);
  }

  const std::vector<Port>& inputs() const override { return inputs_; }
  const std::vector<Port>& outputs() const override { return outputs_; }
  std::string print() const override { return print_program(*program_); }
  size_t arena_bytes() const override { return program_->memory.bytes(); }

  std::vector<InstructionReport> profile(int rounds) override {
    std::vector<InstructionReport> reports;
    profile_program(*program_, *model_->pool(), rounds, "", reports);
    return reports;
  }

  std::vector<StageReport> stages() const override {
    constexpr const char* names[] = {"schedule", "observation", "prepared", "step"};
    std::vector<StageReport> reports;
    for (int l = 0; l < static_cast<int>(List::count); ++l) {
      StageReport report{names[l]};
      for (const Instruction& instruction : program_->lists[l]) {
        ++report.instructions;
        report.flops += instruction.flops;
        report.weight_bytes += instruction.bytes;
        report.matrix_products += std::holds_alternative<GemmArgs>(instruction.args);
      }
      reports.push_back(report);
    }
    return reports;
  }

  void set_table(const SamplerTable& table, const std::map<std::string, std::vector<float>>& schedule,
                 float parallel_tolerance) override {
    if (table.rows.empty()) throw BuildError("config_invalid", "a sampler table needs at least one row");
    const Port* x = step_input();
    if (x == nullptr) throw BuildError("graph_invalid", "denoising needs exactly one step input");
    if (outputs_.empty() || !(outputs_[0].shape == x->shape))
      throw BuildError("graph_invalid",
                       "denoising needs a first output of the shape of the step input " + x->shape.text());
    if (parallel_tolerance > 0 && x->shape[0] != options_.batch)
      throw BuildError("unsupported", "all calls at once are there for one group: without guidance");
    // Checked before anything changes: a refused table leaves the session as it was.
    for (const Port& port : inputs_) {
      if (port.stage != stage_schedule) continue;
      const auto it = schedule.find(port.name);
      const size_t want = static_cast<size_t>(port.shape.count()) * table.rows.size();
      if (it == schedule.end() || it->second.size() != want)
        throw BuildError(
            "input_invalid",
            format("schedule input %s: expected %zu values (%zu calls), got %zu", port.name.c_str(), want,
                   table.rows.size(), it == schedule.end() ? size_t{0} : it->second.size()));
    }
    build(static_cast<int>(table.rows.size()), parallel_tolerance > 0);
    table_ = table;
    tolerance_ = parallel_tolerance;
    for (const Binding& input : program_->inputs) {
      if (input.stage != stage_schedule) continue;
      const std::vector<float>& values = schedule.at(input.name);
      std::memcpy(input.data, values.data(), values.size() * sizeof(float));
    }
    model_->pool()->run([this](const Team& team) { run_list(*program_, List::schedule, team); });
    const int64_t groups = groups_of();
    const int64_t trajectory = tolerance_ > 0 ? static_cast<int64_t>(table.rows.size()) : 0;
    registers_ =
        Block(static_cast<size_t>((5 + trajectory) * step_input()->shape.count() / groups) * sizeof(float));
    alone_ = model_->pool()->size() > 1 && is_quicker_alone();
  }

  SampleShape sample_shape() const override {
    if (table_.rows.empty()) return {};
    const Shape& x = inputs_[step_port_].shape;
    return {x.count() / groups_of(), x.per_batch() / x.last(), x.last(), table_.noise_draws()};
  }

  Status denoise(const DenoiseArgs& args, InferStats* stats) override {
    if (table_.rows.empty()) return Status::not_ready;
    if (args.start == nullptr || args.out == nullptr || (table_.noise_draws() > 0 && args.noise == nullptr) ||
        (args.prefix == nullptr) != (args.prefix_weights == nullptr))
      return Status::bad_argument;
    const int64_t begin = now_ns();
    if (!take(args.inputs, stage_observation)) return Status::bad_argument;
    const DenoiseWork work = work_of(args);
    Status status = Status::ok;
    int calls = 0;
    const int64_t observed = execute(work, alone_, status, calls);
    if (stats != nullptr) *stats = {observed - begin, now_ns() - observed, calls};
    return status;
  }

  Status run(const std::vector<Given>& inputs, const std::vector<Wanted>& outputs,
             InferStats* stats) override {
    const int64_t begin = now_ns();
    if (program_->options.calls != 1 || !take(inputs, stage_schedule | stage_observation | stage_step))
      return Status::bad_argument;
    for (const Wanted& wanted : outputs)
      if (wanted.port < 0 || wanted.port >= static_cast<int>(outputs_.size()) || wanted.data == nullptr)
        return Status::bad_argument;
    const auto job = [&](const Team& team) {
      run_list(*program_, List::schedule, team);
      run_list(*program_, List::observation, team);
      run_list(*program_, List::prepared, team);
      if (team.member == 0) select_call(*program_, 0);
      run_list(*program_, List::step, team);
    };
    model_->pool()->run(std::ref(job));
    bool finite = true;
    for (const Wanted& wanted : outputs) {
      const Binding& output = program_->outputs[wanted.port];
      const int64_t count = output.shape.count();
      std::memcpy(wanted.data, output.data, static_cast<size_t>(count) * sizeof(float));
      for (int64_t i = 0; i < count; ++i) finite &= std::isfinite(wanted.data[i]);
    }
    if (stats != nullptr) *stats = {now_ns() - begin, 0, 1};
    return finite ? Status::ok : Status::not_finite;
  }

 private:
  void build(int calls, bool parallel) {
    if (program_ && program_->options.calls == calls && program_->options.parallel == parallel) return;
    CompileOptions options;
    options.batch = options_.batch;
    options.outputs = options_.outputs;
    options.calls = calls;
    options.parallel = parallel;
    options.threads = model_->pool()->size();
    program_ = compile(model_->graph(), model_->weights(), model_->kernels(), options);
    inputs_.clear();
    outputs_.clear();
    step_port_ = -1;
    for (const Binding& input : program_->inputs) {
      Shape shape = input.shape;
      if (input.stage == stage_schedule || (parallel && input.stage & stage_step)) shape[0] /= calls;
      if (input.stage == stage_step) step_port_ = step_port_ == -1 ? static_cast<int>(inputs_.size()) : -2;
      inputs_.push_back({input.name, shape, input.stage});
    }
    for (const Binding& output : program_->outputs) {
      Shape shape = output.shape;
      if (parallel && output.stage & stage_step) shape[0] /= calls;
      outputs_.push_back({output.name, shape, output.stage});
    }
  }

  DenoiseWork work_of(const DenoiseArgs& args) const {
    const Shape& x = inputs_[step_port_].shape;
    DenoiseWork work{};
    work.program = program_.get();
    work.table = &table_;
    work.net_in = program_->inputs[step_port_].data;
    work.net_out = program_->outputs[0].data;
    work.groups = static_cast<int>(groups_of());
    work.count = x.count() / work.groups;
    work.row = x.per_batch();
    work.action_dim = x.last();
    work.guidance = args.guidance;
    work.prefix = {args.prefix, args.prefix_weights};
    work.start = args.start;
    work.noise = args.noise;
    work.out = args.out;
    work.registers = registers_.floats();
    work.cancel = args.cancel;
    return work;
  }

  // Gives the time at which the observation had been worked in.
  int64_t execute(const DenoiseWork& work, bool alone, Status& status, int& calls) {
    int64_t observed = 0;
    bool arrived = false;
    DenoiseWork w = work;
    w.arrived = &arrived;
    const auto job = [&](const Team& team) {
      run_list(*program_, List::observation, team);
      run_list(*program_, List::prepared, team);
      if (team.member == 0) observed = now_ns();
      if (tolerance_ > 0) {
        denoise_parallel(w, tolerance_, team, &status, &calls);
      } else {
        tendon::denoise(w, team, &status, &calls);
      }
    };
    if (alone) {
      model_->pool()->run_alone(std::ref(job));
    } else {
      model_->pool()->run(std::ref(job));
    }
    return observed;
  }

  // A small network is done before others have woken up. Which it is depends on the machine, so it is
  // measured: as in a control loop, with pauses in which the team falls asleep.
  bool is_quicker_alone() {
    const SampleShape shape = sample_shape();
    const std::vector<float> start(static_cast<size_t>(shape.count)),
        noise(static_cast<size_t>(shape.count * shape.noise_draws));
    std::vector<float> out(start.size());
    DenoiseArgs args;
    args.start = start.data();
    args.noise = noise.data();
    args.out = out.data();
    const DenoiseWork work = work_of(args);
    const auto median_ns = [&](bool alone) {
      std::array<int64_t, 5> times;
      for (int64_t& time : times) {
        std::this_thread::sleep_for(std::chrono::milliseconds(2));
        Status status;
        int calls;
        const int64_t begin = now_ns();
        execute(work, alone, status, calls);
        time = now_ns() - begin;
        if (time > worth_sharing_ns) return time;
      }
      std::nth_element(times.begin(), times.begin() + 2, times.end());
      return times[2];
    };
    const int64_t alone = median_ns(true);
    return alone <= worth_sharing_ns && alone <= median_ns(false);
  }

  const Port* step_input() const { return step_port_ >= 0 ? &inputs_[step_port_] : nullptr; }
  int64_t groups_of() const { return inputs_[step_port_].shape[0] / options_.batch; }

  // Copies what is given to the program's inputs; true when every input of `stages` was given.
  bool take(const std::vector<Given>& given, Stage stages) {
    int expected = 0;
    for (const Port& port : inputs_) expected += (port.stage & stages) != 0;
    for (const Given& g : given) {
      if (g.port < 0 || g.port >= static_cast<int>(inputs_.size()) || g.empty()) return false;
      if ((inputs_[g.port].stage & stages) == 0) return false;
      const Binding& input = program_->inputs[g.port];
      if (g.frames != nullptr && !(g.frames->shape() == input.shape)) return false;
      g.write(input.data, input.shape.count());
      --expected;
    }
    return expected == 0;
  }

  std::shared_ptr<PackedModel> model_;
  SessionOptions options_;
  std::unique_ptr<Program> program_;
  std::vector<Port> inputs_, outputs_;
  int step_port_ = -1;
  SamplerTable table_;
  float tolerance_ = 0;  // of all calls at once; 0: one after the other
  bool alone_ = false;   // whether denoising is left to the caller's thread
  Block registers_;
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
  return std::make_unique<ProgramSession>(std::static_pointer_cast<PackedModel>(std::move(model)), options);
}

}  // namespace tendon
