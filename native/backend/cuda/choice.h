// One program with several sets of weights, of which some are run, and which ones is known on the device
// alone: a planner's critics, drawn anew in every iteration. What a recording launches is fixed, so there is
// a place for each one that is run, whose weights are copied in when it is drawn; they stay in the second
// cache on the way.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "backend/cuda/program.h"

namespace tendon {

class DeviceChoice {
 public:
  // `places` of `all` are run at a time; each of `all` lists the program's weights.
  DeviceChoice(std::shared_ptr<DeviceQueue> queue, std::shared_ptr<const Program> program,
               const std::vector<std::vector<WeightPart>>& all, std::shared_ptr<const DeviceWeights> weights,
               int places);

  const std::vector<std::unique_ptr<DeviceProgram>>& places() const { return places_; }
  // Puts into the queue what brings the weights of those that `chosen` (places) names, on the device, and
  // everything that they do for an observation and a step.
  void put(const int32_t* chosen) const;

 private:
  std::shared_ptr<DeviceQueue> queue_;
  std::vector<std::unique_ptr<DeviceProgram>> places_;
  DeviceBlock segments_, from_, memory_;
  cuda::ChooseArgs choose_{};
};

}  // namespace tendon
