#include "plan/tree_rollout.h"

#include <algorithm>
#include <cmath>

#include "backend/cpu/run.h"
#include "base/philox.h"
#include "plan/ports.h"

namespace tendon {

namespace {

enum Kind { actions_kind, model_kind, pick_kind };

}  // namespace

TreeRollout::TreeRollout(TreeModel model, const TreeTable& table) : model_(std::move(model)), tree_(table) {
  const Bound &root = *model_.root, &expand = *model_.expand, &sample = *model_.sample;
  const int64_t batch = table.batch, rows = batch * table.actions, a = table.action_dim;
  root_state_ = output_memory(root, "root_state", -1);
  width_ = find_port(root.program().outputs, "root_state")->shape.count();
  node_state_ = input_memory(expand, "node_state", batch * width_);
  node_action_ = input_memory(expand, "node_action", batch * a);
  if (const ProgramPort* drawn = find_port(expand.program().inputs, "node_model_noise")) {
    model_noise_ = expand.input("node_model_noise");
    model_draws_ = drawn->shape.count() / batch;
  }
  next_state_ = output_memory(expand, "next_state", batch * width_);
  reward_ = output_memory(expand, "node_reward", batch);
  value_ = output_memory(expand, "node_value", batch);
  alive_ = output_memory(expand, "node_alive", batch, true);
  sample_state_ = input_memory(sample, "sample_state", rows * width_);
  sample_noise_ = input_memory(sample, "sample_noise", rows * a);
  sample_action_ = output_memory(sample, "sample_action", rows * a);
  states_.resize((table.simulations + 1) * width_);
  pick_.resize(table.actions);
}

void TreeRollout::reset(uint64_t seed) {
  seed_ = seed;
  plan_ = 0;
}

float* TreeRollout::draw(int kind, const float* taped, int64_t first, int64_t count, float* out) const {
  if (taped != nullptr) {
    std::copy_n(taped + first, count, out);
  } else {
    fill_normal(seed_, plan_ * 4 + kind, first, out, count);
  }
  return out;
}

// Prepares row `row`, of batch, of the sampling program: K times the state, with the simulation's draws. The
// root's draws come before those of simulation 0.
void TreeRollout::sample(int64_t row, int64_t simulation, const float* state) {
  const TreeTable& t = tree_.table();
  const auto spread = static_cast<float>(t.spread);
  for (int k = 0; k < t.actions; ++k)
    std::copy_n(state, width_, sample_state_ + (row * t.actions + k) * width_);
  float* noise =
      draw(actions_kind, tape_.actions, (simulation + 1) * t.row(), t.row(), sample_noise_ + row * t.row());
  for (int64_t i = 0; i < t.row(); ++i) noise[i] *= spread;
}

// The next wave of leaves, written where the expanding program reads them; how many there are.
int TreeRollout::gather() {
  const TreeTable& t = tree_.table();
  int leaves = 0;
  for (Tree::Edge edge; tree_.select(&edge); ++leaves) {
    std::copy_n(states_.begin() + edge.node * width_, width_, node_state_ + leaves * width_);
    const float* action = tree_.action(edge);
    for (int j = 0; j < t.action_dim; ++j)
      node_action_[leaves * t.action_dim + j] = std::clamp(action[j], -1.0f, 1.0f);
    if (model_noise_ != nullptr)
      draw(model_kind, tape_.model, (simulation_ + leaves) * model_draws_, model_draws_,
           model_noise_ + leaves * model_draws_);
  }
  return leaves;
}

void TreeRollout::absorb(int leaves) {
  const TreeTable& t = tree_.table();
  for (int i = 0; i < leaves; ++i) {
    // The draws themselves decide the prior; what the model was given is τ times as wide.
    float* noise = sample_noise_ + i * t.row();
    draw(actions_kind, tape_.actions, (simulation_ + i + 1) * t.row(), t.row(), noise);
    const int node = tree_.expand(
        i, {reward_[i], alive_ == nullptr ? 1 : alive_[i], value_[i], sample_action_ + i * t.row(), noise});
    if (node >= 0) std::copy_n(next_state_ + i * width_, width_, states_.begin() + node * width_);
  }
  simulation_ += leaves;
}

Status TreeRollout::grow(const TreeTape& tape, const float* noise, const std::atomic<bool>* cancel,
                         const Team& team) {
  run_list(*model_.root, List::observation, team);
  run_list(*model_.expand, List::observation, team);
  run_list(*model_.sample, List::observation, team);
  run_list(*model_.root, List::step, team);
  tape_ = tape;
  simulation_ = 0;
  std::copy_n(root_state_, width_, states_.begin());
  sample(0, -1, states_.data());
  run_list(*model_.sample, List::step, team);
  draw(actions_kind, tape_.actions, 0, tree_.table().row(), sample_noise_);
  tree_.begin(sample_action_, sample_noise_, noise);
  while (const int leaves = gather()) {
    if (cancel != nullptr && cancel->load(std::memory_order_relaxed)) return Status::cancelled;
    run_list(*model_.expand, List::step, team);
    for (int i = 0; i < leaves; ++i) sample(i, simulation_ + i, next_state_ + i * width_);
    run_list(*model_.sample, List::step, team);
    absorb(leaves);
  }
  return Status::ok;
}

bool TreeRollout::finish(float* out) {
  const float* pick = tape_.pick;
  if (pick == nullptr) {
    fill_uniform(seed_, plan_ * 4 + pick_kind, 0, pick_.data(), tree_.table().actions);
    for (float& u : pick_) u = -std::log(u);
    pick = pick_.data();
  }
  ++plan_;
  return tree_.finish(pick, out);
}

}  // namespace tendon
