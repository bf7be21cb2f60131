// A whole plan on a device as one capture: what the observation decides, the prior's candidates, then in
// every iteration draws, rollouts, critics and the search's update, without the host. What it is given goes
// up first and what it found comes down last (plan/device_search.h).
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "backend/cuda/choice.h"
#include "backend/cuda/stream.h"
#include "backend/layout.h"
#include "plan/device_search.h"
#include "plan/rollout.h"

namespace tendon {

class DevicePlan {
 public:
  // `model`: of the ports that Rollout has checked; it must outlive the plan. Throws BuildError.
  DevicePlan(std::shared_ptr<Stream> stream, std::shared_ptr<const LoadedWeights> weights,
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
  std::unique_ptr<Executable> load(const std::shared_ptr<const Program>& program);
  std::vector<float*> given_to(const Program& program) const;
  void add_critics(DeviceSearch::Ports& ports);
  void put() const;

  std::shared_ptr<CudaStream> stream_;
  std::shared_ptr<const LoadedWeights> weights_;
  const WorldModel& model_;
  PlannerTable table_;
  std::unique_ptr<Executable> prior_, rollout_;
  std::unique_ptr<DeviceChoice> critics_;
  std::unique_ptr<DeviceSearch> search_;
  std::vector<Given> given_;
  Layout layout_;
  Memory staging_, inputs_;
  std::unique_ptr<Capture> captured_;
};

}  // namespace tendon
