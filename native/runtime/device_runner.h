// Programs whose lists run on a device one at a time, each a recording that takes the list's inputs up, and
// behind the step list brings the outputs down: for loops that stay on the CPU, such as a planner's. Inputs
// and outputs lie where the program says, as ever; only what is between them is elsewhere.
#pragma once

#include <memory>
#include <vector>

#include "runtime/device_program.h"

namespace tendon {

class DeviceRunner {
 public:
  DeviceRunner(std::shared_ptr<const Device> device, std::shared_ptr<const DeviceWeights> weights);
  // Where inputs of one are bound to outputs of another (CompileOptions::bound), they meet on the device and
  // do not travel; the other comes first. Throws BuildError.
  void take(const std::vector<const Program*>& programs);
  // Returns when the list is done; false when the device reported a fault.
  bool run(const Program& program, List list);

 private:
  struct Piece {
    float* host;
    int64_t count, at;  // floats, and where in the pinned block
  };
  struct Entry {
    const Program* program;
    std::unique_ptr<DeviceProgram> there;
    DeviceBlock pinned;
    std::vector<Piece> up[static_cast<int>(List::count)], down;
    std::unique_ptr<DeviceRecording> lists[static_cast<int>(List::count)];
  };
  void put(Entry& entry, List list);

  std::shared_ptr<DeviceQueue> queue_;
  std::shared_ptr<const DeviceWeights> weights_;
  DeviceSignal signal_;
  std::vector<Entry> entries_;
};

}  // namespace tendon
