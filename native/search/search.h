// The search over action sequences: proposes candidates around a mean, is told their scores, moves the mean.
// Who scores them (a learned model, a simulation) is no concern of this file. Candidates are rows
// (horizon · action_dim) in [−1, 1]: first the policy prior's, then the drawn ones. Draws are functions of
// (seed, plan, index), or come taped. Nothing here allocates after construction.
#pragma once

#include <cstdint>
#include <vector>

#include "base/team.h"
#include "search/draws.h"
#include "search/table.h"

namespace tendon {

// Draws in place of the seed's, each null for the seed's own.
struct PlanTape {
  const float* samples = nullptr;  // normal (iterations, horizon, samples, action_dim)
  const float* tail = nullptr;     // normal (iterations, rows, action_dim), for the policy after the end
  const float* prior = nullptr;    // normal (prior, horizon · action_dim)
  const float* model = nullptr;    // normal (iterations, rows, width), of a model that draws its next state
  const float* prior_model = nullptr;  // normal (prior, width), while the prior acts in such a model
  const int32_t* critics = nullptr;    // (iterations, drawn)
  const float* pick = nullptr;         // exponential (elites)
  const float* explore = nullptr;      // normal (action_dim)
};

class Search {
 public:
  // Candidates live in `actions`, (rows, row), or in a block of its own when null.
  explicit Search(PlannerTable table, float* actions = nullptr);

  // Forgets the plan before; draws are those of `seed` from its start.
  void reset(uint64_t seed);
  // Begins a plan: where the mean starts and how wide. A `centre` (row) is where it starts instead, with the
  // table's centre_std: what a demonstration's policy would do.
  void begin(const PlanTape& tape, const float* centre = nullptr);
  // The prior's normal draws, (prior, row).
  void draw_prior(float* out, const Team& team) const;
  // This iteration's candidates after the prior's.
  void propose(int iteration, const Team& team);
  void draw_tail(int iteration, float* out, const Team& team) const;
  // What a stochastic model draws: `width` normal numbers for every row of the iteration, or of the prior's.
  void draw_model(int iteration, int64_t width, float* out, const Team& team) const;
  void draw_prior_model(int64_t width, float* out, const Team& team) const;
  // Which critics are asked in this iteration: table.drawn indices.
  void draw_critics(int iteration, int32_t* out) const;
  // Takes scores (rows) and moves the distribution. Scores that are not finite count as worst.
  void update(float* scores);
  // The answer (row) after the last iteration; false when no candidate had a finite score.
  bool finish(bool explore, float* out);

  // What a search elsewhere has found (backend/cuda/search.h) becomes what this one shows: elites as rows
  // (elites, row), best first, and the candidates that they are.
  struct Outcome {
    const float *mean, *std, *weights, *elite_scores, *elite_rows;
    const int32_t* elites;
    float best_score;
    int64_t worst_count;
  };
  void adopt(const Outcome& outcome);

  const PlannerTable& table() const { return table_; }
  float* actions() { return actions_; }
  const std::vector<float>& mean() const { return mean_; }
  const std::vector<float>& std() const { return std_; }
  // Elites of the last update, best first, and their weights (sum 1) and scores.
  const std::vector<int>& elites() const { return order_; }
  const std::vector<float>& weights() const { return weights_; }
  const std::vector<float>& elite_scores() const { return elite_scores_; }
  float best_score() const { return best_score_; }
  int64_t worst_count() const { return worst_count_; }

 private:
  void draw(PlanDraw kind, const float* taped, int64_t first, int64_t count, float* out,
            const Team& team) const;
  void select(const float* scores);
  void remember_kept();

  PlannerTable table_;
  std::vector<float> own_;
  float* actions_;
  std::vector<float> mean_, std_, previous_, noise_, kept_, best_, new_mean_;
  std::vector<int> order_;  // table.rows() indices; the first `elites` are sorted
  std::vector<float> weights_, elite_scores_;
  uint64_t seed_ = 0, plan_ = 0;
  PlanTape tape_;
  bool warm_ = false;
  int kept_count_ = 0;
  float best_score_ = 0;
  int64_t worst_count_ = 0;
};

}  // namespace tendon
