// A whole plan around a world model: programs of one graph, compiled for the batch of candidates and unrolled
// over the horizon, so that the latent never leaves them; captured once, whatever runs it. Named ports
// (docs/planning.md):
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

#include "backend/layout.h"
#include "backend/search.h"

namespace tendon {

struct WorldModel {
  std::shared_ptr<const Program> prior;  // null without
  std::shared_ptr<const Program> rollout;
  std::vector<SearchCritic>
      critics;  // one each, or none where the rollout gives members; inputs are set here

  // Every program, one that critics share for each of them.
  template <class Visit>
  void for_each_program(Visit visit) const {
    if (prior) visit(*prior);
    visit(*rollout);
    for (const SearchCritic& critic : critics) visit(*critic.program);
  }
};

class Plan {
 public:
  // Checks that the programs have the ports that `table` needs; throws BuildError naming what is missing.
  Plan(std::shared_ptr<Stream> stream, std::shared_ptr<const LoadedWeights> weights, WorldModel model,
       const PlannerTable& table);

  void reset(uint64_t seed) { search_->reset(seed); }
  // Where an observation input of that name is written before a plan.
  float* place_of(const std::string& input) const;
  // What is given must stay until it ends. Cancelled between iterations; on a device, before the first.
  // Throws BuildError when a device has no memory for a tape.
  struct Outcome {
    Status status;  // not_finite where every candidate failed
    int64_t device_ns;
  };
  Outcome run(const PlanTape& tape, const float* centre, bool explore, const std::atomic<bool>* cancel,
              float* out);

  // What the last plan has found.
  Search& shown() { return *shown_; }
  const WorldModel& model() const { return model_; }
  // W: normal draws of one row's whole rollout; 0 where the model draws nothing.
  int64_t model_draws() const { return ports_.model_draws; }
  // For whoever times them; null where there is none.
  const Executable& rollout() const { return *rollout_; }
  const Executable* prior() const { return prior_.get(); }
  const Executable* critic() const { return search_->critic(); }

 private:
  struct Given {
    std::string name;
    int64_t at;  // floats, in what is uploaded
  };
  std::unique_ptr<Executable> load(const std::shared_ptr<const Program>& program);
  std::vector<float*> given_to(const Program& program) const;
  void place_inputs();
  void load_rollout();
  void load_prior();
  void connect_critics();
  void enqueue() const;

  std::shared_ptr<Stream> stream_;
  std::shared_ptr<const LoadedWeights> weights_;
  WorldModel model_;
  PlannerTable table_;
  std::vector<Given> given_;
  Memory staging_, inputs_;  // one and the same where the backend shares memory
  std::unique_ptr<Executable> rollout_, prior_;
  const float* prior_actions_ = nullptr;
  SearchPorts ports_;
  std::unique_ptr<Search> shown_;
  std::unique_ptr<StreamSearch> search_;
  std::unique_ptr<Capture> captured_;
};

}  // namespace tendon
