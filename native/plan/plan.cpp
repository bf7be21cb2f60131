#include "plan/plan.h"

#include <utility>

#include "plan/ports.h"

namespace tendon {

namespace {

int number_of(const std::vector<ProgramPort>& ports, const std::string& name) {
  for (size_t i = 0; i < ports.size(); ++i)
    if (ports[i].name == name) return static_cast<int>(i);
  return -1;
}

// The memory of a port of `count` floats; null when it is optional and not there.
float* input_of(const Executable& e, const std::string& name, int64_t count, bool optional = false) {
  const auto& ports = e.program().inputs;
  return need_port(ports, name, count, optional) ? e.input(static_cast<size_t>(number_of(ports, name)))
                                                 : nullptr;
}
float* output_of(const Executable& e, const std::string& name, int64_t count, bool optional = false) {
  const auto& ports = e.program().outputs;
  return need_port(ports, name, count, optional) ? e.output(static_cast<size_t>(number_of(ports, name)))
                                                 : nullptr;
}

}  // namespace

Plan::Plan(std::shared_ptr<Stream> stream, std::shared_ptr<const LoadedWeights> weights, WorldModel model,
           const PlannerTable& table)
    : stream_(std::move(stream)), weights_(std::move(weights)), model_(std::move(model)), table_(table) {
  table_.check();
  place_inputs();
  load_rollout();
  if (table_.prior > 0) load_prior();
  connect_critics();
  // A search in the host's memory proposes where the rollout reads.
  shown_ = std::make_unique<Search>(table_, stream_->capabilities().shares_memory ? ports_.actions : nullptr);
  search_ = stream_->open_search(*shown_, ports_, model_.critics, weights_);
  stream_->wait();
  captured_ = stream_->capture([this] { enqueue(); });
}

// Each observation input has one place, whichever programs read it.
void Plan::place_inputs() {
  Layout layout;
  model_.for_each_program([&](const Program& program) {
    for (const ProgramPort& input : program.inputs) {
      bool known = input.stage != stage_observation;
      for (const Given& given : given_) known |= given.name == input.name;
      if (!known) given_.push_back({input.name, layout.add(input.shape.count())});
    }
  });
  inputs_ = stream_->allocate(layout.bytes());
  staging_ = stream_->capabilities().shares_memory ? inputs_
                                                   : stream_->allocate(layout.bytes(), MemoryKind::staging);
}

std::vector<float*> Plan::given_to(const Program& program) const {
  std::vector<float*> inputs(program.inputs.size());
  for (size_t i = 0; i < inputs.size(); ++i)
    for (const Given& given : given_)
      if (program.inputs[i].stage == stage_observation && given.name == program.inputs[i].name)
        inputs[i] = inputs_.floats() + given.at;
  return inputs;
}

std::unique_ptr<Executable> Plan::load(const std::shared_ptr<const Program>& program) {
  return stream_->load(program, weights_, given_to(*program));
}

void Plan::load_rollout() {
  const int64_t rows = table_.rows();
  rollout_ = load(model_.rollout);
  ports_.actions = input_of(*rollout_, "actions", rows * table_.row());
  ports_.tail_noise = input_of(*rollout_, "tail_noise", rows * table_.action_dim, true);
  ports_.model_noise = input_of(*rollout_, "model_noise", -1, true);
  if (ports_.model_noise != nullptr)
    ports_.model_draws = find_port(model_.rollout->inputs, "model_noise")->shape.count() / rows;
  ports_.returns = output_of(*rollout_, "return", rows);
  ports_.tail_weight = output_of(*rollout_, "tail_weight", rows, table_.critics == 0);
}

void Plan::load_prior() {
  if (!model_.prior) throw BuildError("graph_invalid", "a planner with prior candidates needs prior_actions");
  prior_ = load(model_.prior);
  const int64_t prior = table_.prior;
  ports_.prior_noise = input_of(*prior_, "prior_noise", prior * table_.row(), true);
  if (ports_.model_draws > 0)
    ports_.prior_model_noise = input_of(*prior_, "prior_model_noise", prior * ports_.model_draws, true);
  prior_actions_ = output_of(*prior_, "prior_actions", prior * table_.row());
}

// They read the end of the rollout where it lies.
void Plan::connect_critics() {
  const int64_t rows = table_.rows();
  if (table_.critics > 0) ports_.members = output_of(*rollout_, "members", rows * table_.critics, true);
  if (table_.critics == 0 || ports_.members != nullptr) {
    model_.critics.clear();
    return;
  }
  if (static_cast<int>(model_.critics.size()) != table_.critics)
    throw BuildError("graph_invalid",
                     format("a planner of %d critics was given %zu", table_.critics, model_.critics.size()));
  for (size_t i = 0; i < model_.critics.size(); ++i) {
    SearchCritic& critic = model_.critics[i];
    const Program& program = *critic.program;
    critic.inputs = given_to(program);
    for (const auto& [input, output] :
         {std::pair{"critic_latent", "tail_latent"}, std::pair{"critic_action", "tail_action"}}) {
      float* end = output_of(*rollout_, output, -1);
      need_port(program.inputs, input, find_port(model_.rollout->outputs, output)->shape.count());
      critic.inputs[static_cast<size_t>(number_of(program.inputs, input))] = end;
    }
    // A program has the names of the first of those that share it.
    if (program.outputs.size() != 1 || program.outputs[0].shape.count() != rows)
      throw BuildError("graph_invalid", format("planner port value_%zu: expected %lld values", i,
                                               static_cast<long long>(rows)));
  }
}

float* Plan::place_of(const std::string& input) const {
  for (const Given& given : given_)
    if (given.name == input) return staging_.floats() + given.at;
  return nullptr;
}

void Plan::enqueue() const {
  stream_->copy(inputs_.data(), staging_.data(), inputs_.bytes());
  search_->enqueue_begin();
  stream_->enqueue(*rollout_, List::observation);
  if (prior_) {
    for (const List list : {List::observation, List::step}) stream_->enqueue(*prior_, list);
    stream_->copy(ports_.actions, prior_actions_,
                  static_cast<size_t>(table_.prior * table_.row()) * sizeof(float));
  }
  for (int i = 0; i < table_.iterations; ++i) {
    search_->enqueue_propose(i);
    stream_->enqueue(*rollout_, List::step);
    search_->enqueue_update(i);
    stream_->begin_step();
  }
  search_->enqueue_answer();
}

Plan::Outcome Plan::run(const PlanTape& tape, const float* centre, bool explore,
                        const std::atomic<bool>* cancel, float* out) {
  // A device that is cancelled before it begins has had no plan.
  const bool asked_within = stream_->capabilities().shares_memory;
  if (!asked_within && cancel != nullptr && cancel->load(std::memory_order_relaxed))
    return {Status::cancelled, 0};
  search_->give(tape, centre, explore);
  const Replayed replayed = stream_->replay(*captured_, asked_within ? cancel : nullptr);
  if (replayed.status == Status::device_failed) return {replayed.status, 0};
  const bool found = search_->answer(out);
  if (replayed.status == Status::cancelled) return {replayed.status, 0};
  return {found ? Status::ok : Status::not_finite, replayed.device_ns};
}

}  // namespace tendon
