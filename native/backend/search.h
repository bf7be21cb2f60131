// The search of a plan around a model's programs (search/search.h), on a stream: candidates are proposed,
// what the programs say of them is scored, the distribution moves, without the host between.
#pragma once

#include <memory>
#include <vector>

#include "backend/backend.h"
#include "search/search.h"

namespace tendon {

// Memory that programs read and write, null for ports that are not there (plan/plan.h).
struct SearchPorts {
  float *actions = nullptr, *tail_noise = nullptr, *model_noise = nullptr;
  float *prior_noise = nullptr, *prior_model_noise = nullptr;
  int64_t model_draws = 0;
  const float *returns = nullptr, *tail_weight = nullptr, *members = nullptr;
};

// A program with weights of its own, where there are no members; critics that are alike share one.
struct SearchCritic {
  std::shared_ptr<const Program> program;
  std::vector<WeightPart> weights;
  std::vector<float*> inputs;  // as Stream::load
};

class StreamSearch {
 public:
  virtual ~StreamSearch() = default;
  virtual void reset(uint64_t seed) = 0;

  // Each enqueues its share, in the order of a plan: all draws that wait for nothing, then in every iteration
  // the candidates behind the prior's and what their rollout draws, then critics, scores and the update.
  virtual void enqueue_begin() = 0;
  virtual void enqueue_propose(int iteration) = 0;
  virtual void enqueue_update(int iteration) = 0;
  virtual void enqueue_answer() = 0;

  // Before they are replayed: what this plan is given, to stay until it ends. Throws BuildError when a device
  // has no memory for a tape.
  virtual void give(const PlanTape& tape, const float* centre, bool explore) = 0;
  // After they were: the answer (row), false without one. What was found is in the search that was shown.
  virtual bool answer(float* out) = 0;

  // A critic, for whoever times it; null without.
  virtual const Executable* critic() const = 0;
};

}  // namespace tendon
