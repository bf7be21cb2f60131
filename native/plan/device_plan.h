// A whole plan on a device as one recording: what the observation decides, the prior's candidates, then in
// every iteration draws, rollouts, critics and the search's update, without the host. What it is given goes
// up first and what it found comes down last (plan/device_search.h).
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "plan/device_search.h"
#include "plan/rollout.h"
#include "backend/cuda/choice.h"
#include "backend/layout.h"

namespace tendon {

class DevicePlan {
 public:
  // `model`: of the ports that Rollout has checked; it must outlive the plan. Throws BuildError.
  DevicePlan(std::shared_ptr<const Device> device, std::shared_ptr<const DeviceWeights> weights,
             const WorldModel& model, const PlannerTable& table);

  void reset(uint64_t seed) { search_->reset(seed); }
  // Where an observation input of that name is written before a plan.
  float* place_of(const std::string& input) const;

  enum class Result : uint8_t { found, not_finite, failed };
  // Plans; what was found is told to `search`. `failed`: the device reported a fault. Throws BuildError when
  // there is no memory for a tape.
  Result plan(const PlanTape& tape, const float* centre, bool explore, Search& search, float* out,
              double* device_ns);

 private:
  struct Given {
    std::string name;
    int64_t count, at;  // floats, and where they lie in what goes up
  };
  void take(DeviceProgram& program);
  void add_critics(std::shared_ptr<const DeviceWeights> weights, DeviceSearch::Ports& ports);
  void put() const;

  std::shared_ptr<DeviceQueue> queue_;
  const WorldModel& model_;
  PlannerTable table_;
  std::unique_ptr<DeviceProgram> prior_, rollout_;
  std::unique_ptr<DeviceChoice> critics_;
  std::unique_ptr<DeviceSearch> search_;
  std::vector<Given> given_;
  Layout layout_;
  DeviceBlock below_, above_;
  DeviceSignal signal_;
  std::unique_ptr<DeviceRecording> recording_;
};

}  // namespace tendon
