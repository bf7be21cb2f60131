// The search of plan/search.h where a device's kernels do it (kernels/cuda/planner.h): its memory there, what
// goes up with a plan and what comes down. Every `put_…` goes into a capture, in the order of a plan.
#pragma once

#include <memory>
#include <vector>

#include "backend/cuda/device.h"
#include "plan/search.h"

namespace tendon {

class DeviceSearch {
 public:
  // Memory of the device that programs read and write (plan/rollout.h), null for ports that are not there.
  struct Ports {
    float *actions = nullptr, *tail_noise = nullptr, *model_noise = nullptr;
    float *prior_noise = nullptr, *prior_model_noise = nullptr;
    int64_t model_draws = 0;
    const float *returns = nullptr, *tail_weight = nullptr, *members = nullptr;
    std::vector<const float*> values;  // of the critics asked, where there are no members
  };

  // Throws BuildError unsupported for a table with more critics asked than kernels take.
  DeviceSearch(std::shared_ptr<DeviceStream> stream, PlannerTable table, const Ports& ports);

  void reset(uint64_t seed);

  void put_begin() const;
  void put_propose(int iteration) const;
  void put_update(int iteration) const;
  void put_answer() const;
  float* actions() const { return args_.actions; }
  // Which critics are asked, (drawn) on the device; there once `put_begin` has run.
  const int32_t* asked(int iteration) const { return args_.asked + iteration * table_.drawn; }

  // Before the capture is played: what this plan is given. A tape goes up on its own; the first of its
  // kind takes memory, so that it may throw BuildError.
  void bring(const PlanTape& tape, const float* centre, bool explore);
  // After it has ended: the answer, false without one; what was found is told to `search`.
  bool take(Search& search, float* out);

 private:
  template <class T>
  const T* tape_of(const T* host, int64_t count, Memory& block);
  void put(cuda::PlanStep step, int iteration) const;

  std::shared_ptr<DeviceStream> stream_;
  PlannerTable table_;
  // What goes up and what comes down, here and there; the rest of what the kernels remember.
  Memory given_below_, given_, found_below_, found_, memory_;
  Memory samples_, tail_, prior_, model_, prior_model_, pick_, explore_, critics_;  // tapes
  cuda::PlanArgs args_{};
  uint64_t seed_ = 0, plan_ = 0;
  bool fresh_ = true;
};

}  // namespace tendon
