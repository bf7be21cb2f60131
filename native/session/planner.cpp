// The Planner of session.h: programs of one model, by the ports they have.
#include "base/clock.h"
#include "plan/plan.h"
#include "session/model.h"

namespace tendon {

namespace {

class ModelPlanner : public Planner {
 public:
  ModelPlanner(std::shared_ptr<PackedModel> model, const PlannerTable& table)
      : model_(std::move(model)),
        plan_(model_->backend().open_stream(), model_->loaded_weights(), programs(table), table) {
    plan_.model().for_each_program([&](const Program& program) { add_observation_ports(program, inputs_); });
  }

  const std::vector<Port>& inputs() const override { return inputs_; }
  void reset(uint64_t seed) override { plan_.reset(seed); }
  Search& search() override { return plan_.shown(); }
  int64_t model_draws() const override { return plan_.model_draws(); }

  std::string print() const override {
    std::string text;
    plan_.model().for_each_program([&](const Program& program) { text += print_program(program) + "\n"; });
    return text;
  }

  std::vector<InstructionReport> profile(int rounds) override {
    std::vector<InstructionReport> reports;
    const auto stream = model_->backend().open_stream();
    if (plan_.prior() != nullptr) profile_program(*stream, *plan_.prior(), rounds, "prior ", reports);
    profile_program(*stream, plan_.rollout(), rounds, "rollout ", reports);
    if (plan_.critic() != nullptr) profile_program(*stream, *plan_.critic(), rounds, "critic ", reports);
    return reports;
  }

  Status plan(const PlanArgs& args, float* out, PlanStats* stats) override {
    const int64_t begin = monotonic_ns();
    if (!take(args.inputs)) return Status::bad_argument;
    Plan::Outcome outcome{};
    try {
      outcome = plan_.run(args.tape, args.centre, args.explore, args.cancel, out);
    } catch (const BuildError&) {  // a device has no memory for a tape, or a fault while it was uploaded
      return Status::device_failed;
    }
    const Search& search = plan_.shown();
    if (stats != nullptr)
      *stats = {monotonic_ns() - begin, search.worst_count(), search.best_score(), outcome.device_ns};
    return outcome.status;
  }

 private:
  bool take(const std::vector<Given>& inputs) const {
    if (inputs.size() != inputs_.size()) return false;
    for (const Given& given : inputs) {
      if (given.port < 0 || given.port >= static_cast<int>(inputs_.size()) || given.empty()) return false;
      const Port& port = inputs_[static_cast<size_t>(given.port)];
      given.write(plan_.place_of(port.name), port.shape.count());
    }
    return true;
  }

  WorldModel programs(const PlannerTable& table) const {
    table.check();
    WorldModel world;
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
      world.critics.push_back({shared ? world.critics[0].program : program, program->weights, {}});
    }
    return world;
  }

  std::shared_ptr<PackedModel> model_;
  std::vector<Port> inputs_;
  Plan plan_;
};

}  // namespace

std::unique_ptr<Planner> Planner::open(std::shared_ptr<Model> model, const PlannerTable& table) {
  return std::make_unique<ModelPlanner>(std::static_pointer_cast<PackedModel>(std::move(model)), table);
}

}  // namespace tendon
