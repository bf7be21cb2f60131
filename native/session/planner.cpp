// The Planner of session.h: programs of one model, by the ports they have, under one search.
#include <cstring>

#include "base/clock.h"
#include "plan/device_plan.h"
#include "plan/rollout.h"
#include "session/model.h"

namespace tendon {

namespace {

class ModelPlanner : public Planner {
 public:
  ModelPlanner(std::shared_ptr<PackedModel> model, const PlannerTable& table)
      : model_(std::move(model)), rollout_(programs(table), table), search_(table, rollout_.actions()) {
    rollout_.for_each_program(
        [&](const Bound& program) { add_observation_ports(program.program(), inputs_); });
    if (model_->on_device())
      there_ = std::make_unique<DevicePlan>(model_->backend().open_stream(), model_->loaded_weights(),
                                            rollout_.model(), table);
  }

  const std::vector<Port>& inputs() const override { return inputs_; }
  void reset(uint64_t seed) override {
    search_.reset(seed);
    if (there_) there_->reset(seed);
  }
  Search& search() override { return search_; }
  int64_t model_draws() const override { return rollout_.model_draws(); }

  std::string print() const override {
    std::string text;
    rollout_.for_each_program([&](const Bound& program) { text += print_program(program.program()) + "\n"; });
    return text;
  }

  std::vector<InstructionReport> profile(int rounds) override {
    if (model_->on_device())
      throw BuildError("unsupported", "a planner's instructions are timed on the CPU alone");
    std::vector<InstructionReport> reports;
    Pool& pool = *model_->pool();
    if (rollout_.prior() != nullptr) profile_program(*rollout_.prior(), pool, rounds, "prior ", reports);
    profile_program(rollout_.rollout(), pool, rounds, "rollout ", reports);
    if (rollout_.critic() != nullptr) profile_program(*rollout_.critic(), pool, rounds, "critic ", reports);
    return reports;
  }

  Status plan(const PlanArgs& args, float* out, PlanStats* stats) override {
    const int64_t begin = monotonic_ns();
    if (!take(args.inputs)) return Status::bad_argument;
    double device_ns = 0;
    const Status status = there_ ? plan_there(args, out, &device_ns) : plan_here(args, out);
    if (stats != nullptr)
      *stats = {monotonic_ns() - begin, search_.worst_count(), search_.best_score(),
                static_cast<int64_t>(device_ns)};
    return status;
  }

 private:
  bool take(const std::vector<Given>& inputs) {
    if (inputs.size() != inputs_.size()) return false;
    for (const Given& given : inputs) {
      if (given.port < 0 || given.port >= static_cast<int>(inputs_.size()) || given.empty()) return false;
      const Port& port = inputs_[given.port];
      if (there_) {
        given.write(there_->place_of(port.name), port.shape.count());
      } else {
        rollout_.for_each_program(
            [&](const Bound& program) { write_observation(program, given, port.name); });
      }
    }
    return true;
  }

  Status plan_here(const PlanArgs& args, float* out) {
    Status status = Status::ok;
    const auto job = [&](const Team& team) {
      status = tendon::plan(search_, rollout_, args.tape, args.centre, args.cancel, team);
    };
    model_->pool()->run(std::ref(job));
    const bool found = search_.finish(args.explore, out);
    return status != Status::ok ? status : found ? Status::ok : Status::not_finite;
  }

  Status plan_there(const PlanArgs& args, float* out, double* device_ns) {
    if (args.cancel != nullptr && args.cancel->load(std::memory_order_relaxed)) return Status::cancelled;
    try {
      switch (there_->plan(args.tape, args.centre, args.explore, search_, out, device_ns)) {
        case DevicePlan::Result::found:
          return Status::ok;
        case DevicePlan::Result::not_finite:
          return Status::not_finite;
        case DevicePlan::Result::failed:
          break;
      }
    } catch (const BuildError&) {  // no memory for a tape, or a fault while it went up
    }
    return Status::device_failed;
  }

  WorldModel programs(const PlannerTable& table) const {
    table.check();
    WorldModel world;
    world.weights = model_->weights();
    if (table.prior > 0) world.prior = model_->program(table.prior, {"prior_actions"});
    std::vector<std::string> outputs;
    bool members = false;
    for (const Output& output : model_->graph().outputs()) {
      for (const char* name : {"return", "tail_weight", "members", "tail_latent", "tail_action"})
        if (output.name == name) outputs.push_back(name);
      members |= output.name == "members";
    }
    world.rollout =
        model_->program(table.rows(), outputs.empty() ? std::vector<std::string>{"return"} : outputs);
    for (int i = 0; i < table.critics && !members; ++i) {
      const auto program = model_->program(table.rows(), {"value_" + std::to_string(i)});
      const bool shared = i > 0 && are_alike(*world.critics[0].program, *program);
      world.critics.push_back({shared ? world.critics[0].program : program, program->weights});
    }
    return world;
  }

  std::shared_ptr<PackedModel> model_;
  std::vector<Port> inputs_;
  Rollout rollout_;
  Search search_;
  std::unique_ptr<DevicePlan> there_;  // null on the CPU, where the two above plan
};

}  // namespace

std::unique_ptr<Planner> Planner::open(std::shared_ptr<Model> model, const PlannerTable& table) {
  return std::make_unique<ModelPlanner>(std::static_pointer_cast<PackedModel>(std::move(model)), table);
}

}  // namespace tendon
