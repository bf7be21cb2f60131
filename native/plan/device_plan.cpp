#include "plan/device_plan.h"

#include <utility>

#include "plan/ports.h"

namespace tendon {

namespace {

float* output_of(const Executable& program, const std::string& name) {
  const auto& all = program.program().outputs;
  for (size_t i = 0; i < all.size(); ++i)
    if (all[i].name == name) return program.output(i);
  return nullptr;
}

}  // namespace

DevicePlan::DevicePlan(std::shared_ptr<Stream> stream, std::shared_ptr<const LoadedWeights> weights,
                       const WorldModel& model, const PlannerTable& table)
    : stream_(std::static_pointer_cast<CudaStream>(std::move(stream))),
      weights_(std::move(weights)),
      model_(model),
      table_(table) {
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
  staging_ = stream_->allocate(layout_.bytes(), MemoryKind::staging);
  inputs_ = stream_->allocate(layout_.bytes(), MemoryKind::device);

  rollout_ = load(model.rollout);
  const auto input_of = [](const Executable& program, const char* name) -> float* {
    const auto& all = program.program().inputs;
    for (size_t i = 0; i < all.size(); ++i)
      if (all[i].name == name) return program.input(i);
    return nullptr;
  };
  DeviceSearch::Ports ports;
  ports.actions = input_of(*rollout_, "actions");
  ports.tail_noise = input_of(*rollout_, "tail_noise");
  ports.model_noise = input_of(*rollout_, "model_noise");
  if (ports.model_noise != nullptr)
    ports.model_draws = find_port(model.rollout->inputs, "model_noise")->shape.count() / table.rows();
  ports.returns = output_of(*rollout_, "return");
  ports.tail_weight = output_of(*rollout_, "tail_weight");
  if (table.critics > 0) ports.members = output_of(*rollout_, "members");
  if (table.prior > 0) {
    prior_ = load(model.prior);
    ports.prior_noise = input_of(*prior_, "prior_noise");
    ports.prior_model_noise = input_of(*prior_, "prior_model_noise");
  }
  if (!model.critics.empty()) add_critics(ports);
  search_ = std::make_unique<DeviceSearch>(stream_->device_stream(), table, ports);
  stream_->wait();
  captured_ = stream_->capture([this] { put(); });
}

// Its observation inputs are read where they arrive.
std::vector<float*> DevicePlan::given_to(const Program& program) const {
  std::vector<float*> inputs(program.inputs.size());
  for (size_t i = 0; i < inputs.size(); ++i)
    for (const Given& given : given_)
      if (program.inputs[i].stage == stage_observation && given.name == program.inputs[i].name)
        inputs[i] = inputs_.floats() + given.at;
  return inputs;
}

std::unique_ptr<Executable> DevicePlan::load(const std::shared_ptr<const Program>& program) {
  return stream_->load(program, weights_, given_to(*program));
}

void DevicePlan::add_critics(DeviceSearch::Ports& ports) {
  const std::shared_ptr<const Program>& program = model_.critics.front().program;
  std::vector<std::vector<WeightPart>> all;
  for (const Critic& critic : model_.critics) {
    if (critic.program != program)
      throw BuildError("unsupported", format("planner: a device needs critics that are alike but for their "
                                             "weights; critic %zu differs from critic 0: run on the CPU",
                                             all.size()));
    all.push_back(critic.weights);
  }
  // The end of the rollout is read where it lies.
  std::vector<float*> inputs = given_to(*program);
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (program->inputs[i].name == "critic_latent") inputs[i] = output_of(*rollout_, "tail_latent");
    if (program->inputs[i].name == "critic_action") inputs[i] = output_of(*rollout_, "tail_action");
  }
  critics_ =
      std::make_unique<DeviceChoice>(stream_->device_stream(), program, all,
                                     static_cast<const DeviceWeights&>(*weights_), table_.drawn, inputs);
  for (const auto& place : critics_->places()) ports.values.push_back(place->output(0));
}

float* DevicePlan::place_of(const std::string& input) const {
  for (const Given& given : given_)
    if (given.name == input) return staging_.floats() + given.at;
  return nullptr;
}

void DevicePlan::put() const {
  stream_->copy(inputs_.data(), staging_.data(), inputs_.bytes());
  search_->put_begin();
  stream_->enqueue(*rollout_, List::observation, 0);
  if (prior_) {
    for (const List list : {List::observation, List::step}) stream_->enqueue(*prior_, list, 0);
    stream_->copy(search_->actions(), output_of(*prior_, "prior_actions"),
                  static_cast<size_t>(table_.prior * table_.row()) * sizeof(float));
  }
  for (int i = 0; i < table_.iterations; ++i) {
    search_->put_propose(i);
    stream_->enqueue(*rollout_, List::step, 0);
    if (critics_) critics_->enqueue(search_->asked(i));
    search_->put_update(i);
  }
  search_->put_answer();
}

DevicePlan::Result DevicePlan::plan(const PlanTape& tape, const float* centre, bool explore, Search& search,
                                    float* out, double* device_ns) {
  search_->bring(tape, centre, explore);
  const Replayed replayed = stream_->replay(*captured_, nullptr);
  *device_ns = static_cast<double>(replayed.device_ns);
  if (replayed.status != Status::ok) return Result::failed;
  return search_->take(search, out) ? Result::found : Result::not_finite;
}

}  // namespace tendon
