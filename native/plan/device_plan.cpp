#include "plan/device_plan.h"

#include <utility>

#include "plan/ports.h"

namespace tendon {

DevicePlan::DevicePlan(std::shared_ptr<const Device> device, std::shared_ptr<const DeviceWeights> weights,
                       const WorldModel& model, const PlannerTable& table)
    : queue_(std::make_shared<DeviceQueue>(std::move(device))), model_(model), table_(table) {
  const auto need_piece = [this](const Program& program) {
    for (const ProgramPort& input : program.inputs) {
      if (input.stage != stage_observation) continue;
      bool known = false;
      for (const Given& given : given_) known |= given.name == input.name;
      if (!known) given_.push_back({input.name, input.shape.count(), layout_.add(input.shape.count())});
    }
  };
  need_piece(*model.rollout);
  if (model.prior) need_piece(*model.prior);
  for (const Critic& critic : model.critics) need_piece(*critic.program);
  below_ = DeviceBlock(queue_, layout_.bytes(), DeviceBlock::Kind::pinned);
  above_ = DeviceBlock(queue_, layout_.bytes());

  rollout_ = std::make_unique<DeviceProgram>(queue_, model.rollout, weights);
  take(*rollout_);
  DeviceSearch::Ports ports;
  ports.actions = rollout_->input("actions");
  ports.tail_noise = rollout_->input("tail_noise");
  ports.model_noise = rollout_->input("model_noise");
  if (ports.model_noise != nullptr)
    ports.model_draws = find_port(model.rollout->inputs, "model_noise")->shape.count() / table.rows();
  ports.returns = rollout_->output("return");
  ports.tail_weight = rollout_->output("tail_weight");
  if (table.critics > 0) ports.members = rollout_->output("members");
  if (table.prior > 0) {
    prior_ = std::make_unique<DeviceProgram>(queue_, model.prior, weights);
    take(*prior_);
    ports.prior_noise = prior_->input("prior_noise");
    ports.prior_model_noise = prior_->input("prior_model_noise");
  }
  if (!model.critics.empty()) add_critics(std::move(weights), ports);
  search_ = std::make_unique<DeviceSearch>(queue_, table, ports);
  queue_->wait();
  recording_ = std::make_unique<DeviceRecording>(queue_, [this] { put(); });
}

void DevicePlan::add_critics(std::shared_ptr<const DeviceWeights> weights, DeviceSearch::Ports& ports) {
  const std::shared_ptr<const Program>& program = model_.critics.front().program;
  std::vector<std::vector<WeightPart>> all;
  for (const Critic& critic : model_.critics) {
    if (critic.program != program)
      throw BuildError("unsupported", format("planner: a device needs critics that are alike but for their "
                                             "weights; critic %zu differs from critic 0: run on the CPU",
                                             all.size()));
    all.push_back(critic.weights);
  }
  critics_ = std::make_unique<DeviceChoice>(queue_, program, all, std::move(weights), table_.drawn);
  for (const auto& place : critics_->places()) {
    take(*place);
    // The end of the rollout is read where it lies.
    for (size_t i = 0; i < program->inputs.size(); ++i) {
      if (program->inputs[i].name == "critic_latent") place->bind_input(i, rollout_->output("tail_latent"));
      if (program->inputs[i].name == "critic_action") place->bind_input(i, rollout_->output("tail_action"));
    }
    ports.values.push_back(place->output(size_t{0}));
  }
}

// Its observation inputs are read where they arrive.
void DevicePlan::take(DeviceProgram& program) {
  const auto& inputs = program.program().inputs;
  for (size_t i = 0; i < inputs.size(); ++i)
    for (const Given& given : given_)
      if (inputs[i].stage == stage_observation && given.name == inputs[i].name)
        program.bind_input(i, above_.floats() + given.at);
}

float* DevicePlan::place_of(const std::string& input) const {
  for (const Given& given : given_)
    if (given.name == input) return below_.floats() + given.at;
  return nullptr;
}

void DevicePlan::put() const {
  const auto copy = [this](void* to, const void* from, size_t bytes) {
    queue_->device().need(queue_->api().transfer(queue_->get(), to, from, bytes));
  };
  copy(above_.data(), below_.data(), above_.bytes());
  search_->put_begin();
  rollout_->put(List::observation);
  if (prior_) {
    for (const List list : {List::observation, List::step}) prior_->put(list);
    copy(rollout_->input("actions"), prior_->output("prior_actions"),
         static_cast<size_t>(table_.prior * table_.row()) * sizeof(float));
  }
  for (int i = 0; i < table_.iterations; ++i) {
    search_->put_propose(i);
    rollout_->put(List::step);
    if (critics_) critics_->put(search_->asked(i));
    search_->put_update(i);
  }
  search_->put_answer();
}

DevicePlan::Result DevicePlan::plan(const PlanTape& tape, const float* centre, bool explore, Search& search,
                                    float* out, double* device_ns) {
  search_->bring(tape, centre, explore);
  if (!recording_->play_timed(signal_, device_ns)) return Result::failed;
  return search_->take(search, out) ? Result::found : Result::not_finite;
}

}  // namespace tendon
