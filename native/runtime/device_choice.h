// Several programs that are alike but for their weights, of which some are run, and which ones is known on
// the device alone: a planner's critics, drawn anew in every iteration. What a recording launches is fixed,
// so there is a place for each one that is run, whose weights are copied in when it is drawn; they stay in
// the second cache on the way.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "runtime/device_program.h"

namespace tendon {

class DeviceChoice {
 public:
  // `places` of `all` are run at a time. Throws BuildError unsupported where they are not alike.
  DeviceChoice(std::shared_ptr<DeviceQueue> queue, const std::vector<std::unique_ptr<Program>>& all,
               std::shared_ptr<const DeviceWeights> weights, int places);

  // Place by place; on the host the memory of all is the first program's.
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
