// Grows a search tree with a world model's programs, several leaves at a time. Named ports
// (docs/planning.md):
//   root     what is observed                             → root_state (1, S)
//   expand   node_state (batch, S), node_action (batch, action_dim), [node_model_noise (batch, W)]
//            → next_state (batch, S), node_reward (batch, 1), node_value (batch, 1), [node_alive (batch, 1)]
//   sample   sample_state (batch · K, S), sample_noise (batch · K, action_dim)
//            → sample_action (batch · K, action_dim)
// Draws are functions of (seed, plan, simulation), or come taped, so a plan does not depend on threads.
#pragma once

#include <atomic>
#include <memory>
#include <vector>

#include "base/error.h"
#include "base/team.h"
#include "compile/bound.h"
#include "plan/tree.h"

namespace tendon {

struct TreeModel {
  std::unique_ptr<Bound> root, expand, sample;
};

// Draws in place of the seed's, each null for the seed's own.
struct TreeTape {
  const float* actions = nullptr;  // normal (simulations + 1, K, action_dim): the root's, then by simulation
  const float* model = nullptr;    // normal (simulations, W), of a model that draws its next state
  const float* pick = nullptr;     // exponential (K)
};

class TreeRollout {
 public:
  // Checks that the programs have the ports that the table needs; throws BuildError naming what is missing.
  TreeRollout(TreeModel model, const TreeTable& table);

  void reset(uint64_t seed);
  // One plan. Ends early, between waves of leaves, when `cancel` is set. `noise` (K) is mixed into the root's
  // priors, or null.
  Status grow(const TreeTape& tape, const float* noise, const std::atomic<bool>* cancel, const Team& team);
  // After grow: the answer (horizon, action_dim); false when nothing sound has been visited.
  bool finish(float* out);

  const TreeModel& model() const { return model_; }
  const Tree& tree() const { return tree_; }
  int64_t model_draws() const { return model_draws_; }

 private:
  float* draw(int kind, const float* taped, int64_t first, int64_t count, float* out) const;
  void sample(int64_t row, int64_t simulation, const float* state);
  int gather();
  void absorb(int leaves);

  TreeModel model_;
  Tree tree_;
  float *node_state_, *node_action_, *sample_state_, *sample_noise_;
  float* model_noise_ = nullptr;
  const float *root_state_, *next_state_, *reward_, *value_, *sample_action_, *alive_ = nullptr;
  int64_t width_, model_draws_ = 0;  // S, W
  std::vector<float> states_;        // by node
  std::vector<float> pick_;
  uint64_t seed_ = 0, plan_ = 0;
  TreeTape tape_;
  int64_t simulation_ = 0;  // of the wave's first leaf
};

}  // namespace tendon
