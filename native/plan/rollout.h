// Scores candidates with a world model: programs of one graph, compiled for the batch of candidates and
// unrolled over the horizon, so that the latent never leaves them. Named ports (docs/planning.md):
//   prior     latent, prior_noise (prior, row), [prior_model_noise (prior, W)] → prior_actions (prior, row)
//   rollout   latent, actions (rows, row), [tail_noise (rows, action_dim)], [model_noise (rows, W)]
//             → return (rows, 1), [tail_weight (rows, 1)], [members (rows, critics)],
//               [tail_latent (rows, L), tail_action (rows, action_dim)]
//   critic i  critic_latent (rows, L), critic_action (rows, action_dim), the rollout's in place
//             → value_i (rows, 1)
// score = return + tail_weight · ask(values of the critics drawn); members gives them all at once instead.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/team.h"
#include "compile/bound.h"
#include "plan/search.h"

namespace tendon {

// A program with weights of its own: critics that are alike share one.
struct Critic {
  std::shared_ptr<const Program> program;
  std::vector<WeightPart> weights;
};

struct WorldModel {
  std::shared_ptr<const Weights> weights;
  std::shared_ptr<const Program> prior;  // null without
  std::shared_ptr<const Program> rollout;
  std::vector<Critic> critics;  // one each, or none where the rollout gives members
};

class Rollout {
 public:
  // Checks that the programs have the ports that `table` needs; throws BuildError naming what is missing.
  Rollout(WorldModel model, const PlannerTable& table);

  // Where candidates are written.
  float* actions() const { return actions_; }
  // Runs what depends on the observation alone, then the prior's candidates.
  void observe(const Search& search, const Team& team);
  // Scores all candidates of the iteration; the result is in scores().
  void score(int iteration, const Search& search, const Team& team);
  float* scores() { return scores_.data(); }
  // W: normal draws of one row's whole rollout; 0 where the model draws nothing.
  int64_t model_draws() const { return model_draws_; }
  const WorldModel& model() const { return model_; }
  const Bound& rollout() const { return *rollout_; }
  const Bound* prior() const { return prior_.get(); }
  const Bound* critic() const { return critics_.empty() ? nullptr : critics_[0].get(); }  // the first
  template <class Visit>
  void for_each_program(Visit visit) const {
    if (prior_) visit(*prior_);
    visit(*rollout_);
    for (const auto& critic : critics_) visit(*critic);
  }

 private:
  void add_critic(const Critic& critic, size_t number);
  float asked(int row) const;
  void combine();

  WorldModel model_;
  PlannerTable table_;
  std::unique_ptr<Bound> prior_, rollout_;
  std::vector<std::unique_ptr<Bound>> critics_;
  float *actions_, *tail_noise_ = nullptr, *prior_noise_ = nullptr;
  float *model_noise_ = nullptr, *prior_model_noise_ = nullptr;
  int64_t model_draws_ = 0;
  const float *prior_actions_ = nullptr, *return_, *tail_weight_ = nullptr, *members_ = nullptr;
  std::vector<const float*> values_;  // by critic
  std::vector<float> scores_;
  std::vector<int> drawn_;
};

// A whole plan: candidates proposed, scored and learnt from, `iterations` times. Ends
// early, between iterations, when `cancel` is set.
Status plan(Search& search, Rollout& rollout, const PlanTape& tape, const float* centre,
            const std::atomic<bool>* cancel, const Team& team);

}  // namespace tendon
