// One program with several sets of weights, of which some are run, and which ones is known on the device
// alone: a planner's critics, drawn anew in every iteration. What a graph launches is fixed, so there is
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
  // `places` of `all` are run at a time; each of `all` lists the program's weights. `inputs` as Stream::load.
  DeviceChoice(std::shared_ptr<DeviceStream> stream, std::shared_ptr<const Program> program,
               const std::vector<std::vector<WeightPart>>& all, const DeviceWeights& weights, int places,
               const std::vector<float*>& inputs);

  const std::vector<std::unique_ptr<DeviceProgram>>& places() const { return places_; }
  // Enqueues what brings the weights of those that `chosen` (places) names, on the device, and
  // everything that they do for an observation and a step.
  void enqueue(const int32_t* chosen) const;

 private:
  std::shared_ptr<DeviceStream> stream_;
  std::vector<std::unique_ptr<DeviceProgram>> places_;
  Memory segments_, from_, memory_;
  cuda::ChooseArgs choose_{};
};

}  // namespace tendon
