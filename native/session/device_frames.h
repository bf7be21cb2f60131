// Camera frames on their way to a device: bytes and tables go up in one copy, an eighth of what numbers and
// their pinned twin would take, and kernels write the network's input.
#pragma once

#include <memory>

#include "backend/cuda/device.h"
#include "session/frames.h"

namespace tendon {

class DeviceFrames {
 public:
  explicit DeviceFrames(std::shared_ptr<DeviceQueue> queue) : queue_(std::move(queue)) {}
  // Puts into the queue what writes the frames' numbers to `out` there. What was put before must have ended.
  // Takes memory when frames are larger than any before, and throws BuildError when there is none.
  void put(const Frames& frames, float* out);

 private:
  std::shared_ptr<DeviceQueue> queue_;
  DeviceBlock below_, above_, lines_;
};

}  // namespace tendon
