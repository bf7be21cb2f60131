#include "session/session.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "backend/cpu/run.h"
#include "sample/denoise.h"
#include "session/program_session.h"
#include "backend/cpu/team_choice.h"

namespace tendon {

namespace {

class CpuSession : public ProgramSession {
 public:
  CpuSession(std::shared_ptr<PackedModel> model, const SessionOptions& options)
      : ProgramSession(std::move(model), options) {
    adopt(compiled_for(1, false));
    bound_ = std::make_unique<Bound>(program_, model_->weights());
  }

  size_t arena_bytes() const override { return bound_->bytes(); }

  std::vector<InstructionReport> profile(int rounds) override {
    std::vector<InstructionReport> reports;
    profile_program(*bound_, *model_->pool(), rounds, "", reports);
    return reports;
  }

  void set_table(const SamplerTable& table, const std::map<std::string, std::vector<float>>& schedule,
                 float parallel_tolerance) override {
    // All that may be refused comes before anything changes: the session is left as it was.
    check_table(table, schedule, parallel_tolerance > 0);
    const auto calls = static_cast<int64_t>(table.rows.size());
    const int64_t samples = 5 + (parallel_tolerance > 0 ? calls : 0);
    Block registers(static_cast<size_t>(samples * step_input()->shape.count() / groups_of()) * sizeof(float));
    SamplerTable copy = table;
    Compiled compiled = compiled_for(static_cast<int>(calls), parallel_tolerance > 0);
    auto bound = compiled.program == program_ ? std::move(bound_)
                                              : std::make_unique<Bound>(compiled.program, model_->weights());
    adopt(std::move(compiled));
    bound_ = std::move(bound);
    table_ = std::move(copy);
    registers_ = std::move(registers);
    tolerance_ = parallel_tolerance;
    denoising_ = running_ = {};
    for (size_t i = 0; i < inputs_.size(); ++i) {
      if (inputs_[i].stage != stage_schedule) continue;
      const std::vector<float>& values = schedule.at(inputs_[i].name);
      std::memcpy(bound_->input(i), values.data(), values.size() * sizeof(float));
    }
    model_->pool()->run([this](const Team& team) { run_list(*bound_, List::schedule, team); });
  }

  Status denoise(const DenoiseArgs& args, InferStats* stats) override {
    if (table_.rows.empty()) return Status::not_ready;
    if (!has_all(args)) return Status::bad_argument;
    const int64_t begin = now_ns();
    if (!take(args.inputs, stage_observation)) return Status::bad_argument;
    const DenoiseWork work = work_of(args);
    Status status = Status::ok;
    int calls = 0;
    int64_t observed = begin;
    const auto job = [&](const Team& team) {
      run_list(*bound_, List::observation, team);
      run_list(*bound_, List::prepared, team);
      observed = now_ns();
      status = tolerance_ > 0 ? denoise_parallel(work, tolerance_, team, &calls)
                              : tendon::denoise(work, team, &calls);
    };
    denoising_.run(*model_->pool(), std::ref(job));
    if (stats != nullptr) *stats = {observed - begin, now_ns() - observed, calls};
    return status;
  }

  Status run(const std::vector<Given>& inputs, const std::vector<Wanted>& outputs,
             InferStats* stats) override {
    const int64_t begin = now_ns();
    if (program_->options.calls != 1 || !has_all(outputs) ||
        !take(inputs, stage_schedule | stage_observation | stage_step))
      return Status::bad_argument;
    const auto job = [&](const Team& team) { run_once(*bound_, team); };
    running_.run(*model_->pool(), std::ref(job));
    bool finite = true;
    for (const Wanted& wanted : outputs) {
      const int64_t count = program_->outputs[wanted.port].shape.count();
      std::memcpy(wanted.data, bound_->output(wanted.port), static_cast<size_t>(count) * sizeof(float));
      for (int64_t i = 0; i < count; ++i) finite &= std::isfinite(wanted.data[i]);
    }
    if (stats != nullptr) *stats = {now_ns() - begin, 0, 1};
    return finite ? Status::ok : Status::not_finite;
  }

 private:
  float* place_of(int port) const override { return bound_->input(port); }

  DenoiseWork work_of(const DenoiseArgs& args) const {
    const Shape& x = inputs_[step_port_].shape;
    DenoiseWork work{};
    work.program = bound_.get();
    work.table = &table_;
    work.net_in = bound_->input(step_port_);
    work.net_out = bound_->output(0);
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

  std::unique_ptr<Bound> bound_;
  float tolerance_ = 0;  // of all calls at once; 0: one after the other
  TeamChoice denoising_, running_;
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
  auto packed = std::static_pointer_cast<PackedModel>(std::move(model));
  if (packed->device() != nullptr) return open_device_session(std::move(packed), options);
  return std::make_unique<CpuSession>(std::move(packed), options);
}

}  // namespace tendon
