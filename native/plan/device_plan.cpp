#include "plan/device_plan.h"

#include <utility>

#include "plan/ports.h"

namespace tendon {

namespace {

// A port's memory on the device, null where the program has none of that name.
float* there(const DeviceProgram& program, const std::vector<Binding>& ports, const char* name) {
  const Binding* port = find_port(ports, name);
  return port == nullptr ? nullptr : program.at(port->data);
}

}  // namespace

DevicePlan::DevicePlan(std::shared_ptr<const Device> device, std::shared_ptr<const DeviceWeights> weights,
                       const WorldModel& model, const PlannerTable& table)
    : queue_(std::make_shared<DeviceQueue>(std::move(device))), model_(model), table_(table) {
  const auto need_piece = [this](const Program& program) {
    for (const Binding& input : program.inputs) {
      if (input.stage != stage_observation) continue;
      bool known = false;
      for (const Given& given : given_) known |= given.name == input.name;
      if (!known) given_.push_back({input.name, input.shape.count(), layout_.add(input.shape.count())});
    }
  };
  need_piece(*model.rollout);
  if (model.prior) need_piece(*model.prior);
  for (const auto& critic : model.critics) need_piece(*critic);
  below_ = DeviceBlock(queue_, layout_.bytes(), DeviceBlock::Kind::pinned);
  above_ = DeviceBlock(queue_, layout_.bytes());

  rollout_ = std::make_unique<DeviceProgram>(queue_, *model.rollout, weights);
  take(*rollout_);
  DeviceSearch::Ports ports;
  const Program& main = *model.rollout;
  ports.actions = there(*rollout_, main.inputs, "actions");
  ports.tail_noise = there(*rollout_, main.inputs, "tail_noise");
  ports.model_noise = there(*rollout_, main.inputs, "model_noise");
  if (ports.model_noise != nullptr)
    ports.model_draws = find_port(main.inputs, "model_noise")->shape.count() / table.rows();
  ports.returns = there(*rollout_, main.outputs, "return");
  ports.tail_weight = there(*rollout_, main.outputs, "tail_weight");
  if (table.critics > 0) ports.members = there(*rollout_, main.outputs, "members");
  if (table.prior > 0) {
    prior_ = std::make_unique<DeviceProgram>(queue_, *model.prior, weights);
    take(*prior_);
    ports.prior_noise = there(*prior_, model.prior->inputs, "prior_noise");
    ports.prior_model_noise = there(*prior_, model.prior->inputs, "prior_model_noise");
  }
  if (!model.critics.empty()) {
    critics_ = std::make_unique<DeviceChoice>(queue_, model.critics, weights, table.drawn);
    // The end of the rollout is read where it lies.
    const std::pair<const char*, const char*> bound[] = {{"critic_latent", "tail_latent"},
                                                         {"critic_action", "tail_action"}};
    const Program& first = *model.critics.front();
    for (const auto& place : critics_->places()) {
      take(*place);
      for (const auto& [input, output] : bound) {
        const Binding* to = find_port(first.inputs, input);
        place->replace(to->data, to->shape.count(), there(*rollout_, main.outputs, output));
      }
      ports.values.push_back(there(*place, first.outputs, "value_0"));
    }
  }
  search_ = std::make_unique<DeviceSearch>(queue_, table, ports);
  queue_->wait();
  recording_ = std::make_unique<DeviceRecording>(queue_, [this] { put(); });
}

// Its observation inputs are read where they arrive.
void DevicePlan::take(DeviceProgram& program) {
  for (const Binding& input : program.program().inputs)
    for (const Given& given : given_)
      if (input.stage == stage_observation && given.name == input.name)
        program.replace(input.data, given.count, above_.floats() + given.at);
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
    copy(there(*rollout_, model_.rollout->inputs, "actions"),
         there(*prior_, model_.prior->outputs, "prior_actions"),
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
