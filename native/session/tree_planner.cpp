// The TreePlanner of session.h: programs of one model under one tree.
#include "base/clock.h"
#include "plan/tree_rollout.h"
#include "session/model.h"

namespace tendon {

namespace {

class ModelTreePlanner : public TreePlanner {
 public:
  ModelTreePlanner(std::shared_ptr<PackedModel> model, const TreeTable& table)
      : model_(std::move(model)), rollout_(programs(table), table) {
    for_each_program([&](const Bound& program) { add_observation_ports(program.program(), inputs_); });
  }

  const std::vector<Port>& inputs() const override { return inputs_; }
  void reset(uint64_t seed) override { rollout_.reset(seed); }
  const Tree& tree() const override { return rollout_.tree(); }
  int64_t model_draws() const override { return rollout_.model_draws(); }

  std::string print() const override {
    std::string text;
    for_each_program([&](const Bound& program) { text += print_program(program.program()) + "\n"; });
    return text;
  }

  Status plan(const TreeArgs& args, float* out, PlanStats* stats) override {
    const int64_t begin = monotonic_ns();
    if (args.inputs.size() != inputs_.size()) return Status::bad_argument;
    for (const Given& given : args.inputs) {
      if (given.port < 0 || given.port >= static_cast<int>(inputs_.size()) || given.empty())
        return Status::bad_argument;
      for_each_program(
          [&](const Bound& program) { write_observation(program, given, inputs_[given.port].name); });
    }
    Status status = Status::ok;
    const auto job = [&](const Team& team) {
      status = rollout_.grow(args.tape, args.noise, args.cancel, team);
    };
    model_->pool()->run(std::ref(job));
    const bool found = rollout_.finish(out);
    if (stats != nullptr) {
      const Tree& tree = rollout_.tree();
      *stats = {monotonic_ns() - begin, tree.worst_count(),
                found ? static_cast<float>(tree.value(tree.chosen())) : 0};
    }
    return status != Status::ok ? status : found ? Status::ok : Status::not_finite;
  }

 private:
  TreeModel programs(const TreeTable& table) const {
    table.check();
    std::vector<std::string> outputs = {"next_state", "node_reward", "node_value"};
    for (const Output& output : model_->graph().outputs())
      if (output.name == "node_alive") outputs.push_back(output.name);
    const auto bound = [&](int batch, std::vector<std::string> names) {
      return std::make_unique<Bound>(model_->program(batch, std::move(names)), model_->weights());
    };
    return {bound(1, {"root_state"}), bound(table.batch, outputs),
            bound(table.batch * table.actions, {"sample_action"})};
  }

  template <class Visit>
  void for_each_program(Visit visit) const {
    const TreeModel& programs = rollout_.model();
    visit(*programs.root);
    visit(*programs.expand);
    visit(*programs.sample);
  }

  std::shared_ptr<PackedModel> model_;
  std::vector<Port> inputs_;
  TreeRollout rollout_;
};

}  // namespace

std::unique_ptr<TreePlanner> TreePlanner::open(std::shared_ptr<Model> model, const TreeTable& table) {
  auto packed = std::static_pointer_cast<PackedModel>(std::move(model));
  if (packed->on_device())
    throw BuildError("unsupported", "tree search runs on the CPU: load the model without device " +
                                        packed->backend().capabilities().name);
  return std::make_unique<ModelTreePlanner>(std::move(packed), table);
}

}  // namespace tendon
