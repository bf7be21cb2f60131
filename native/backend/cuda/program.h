// A compiled program on a device: its values and the model's weights have memory there, and every
// instruction's arguments get their pointers on the way into a stream.
#pragma once

#include <map>
#include <memory>
#include <vector>

#include "backend/cuda/bf16_copies.h"
#include "backend/cuda/device.h"

namespace tendon {

// A model's weights, uploaded once and shared by its programs.
class DeviceWeights : public LoadedWeights {
 public:
  DeviceWeights(const std::shared_ptr<DeviceStream>& stream, std::shared_ptr<const Weights> weights);
  // Where a piece lies there.
  uint8_t* data(const WeightPart& part) const { return places_.at(weights_->data(part)); }

 private:
  std::shared_ptr<const Weights> weights_;
  Memory memory_;
  std::map<const void*, uint8_t*> places_;  // by where each piece begins on the host
};

class DeviceProgram : public Executable {
 public:
  // `inputs` as Stream::load; `parts`: where each of the program's weights lies.
  DeviceProgram(const std::shared_ptr<DeviceStream>& stream, std::shared_ptr<const Program> program,
                std::vector<uint8_t*> parts, const std::vector<float*>& inputs);
  DeviceProgram(const std::shared_ptr<DeviceStream>& stream, std::shared_ptr<const Program> program,
                const DeviceWeights& weights, const std::vector<float*>& inputs = {});

  // Enqueues a list, or one instruction; of the step list, that of one `call` of the table. Throws
  // BuildError.
  void enqueue(const DeviceStream& stream, List list, int64_t call) const;
  void enqueue(const DeviceStream& stream, const Instruction& instruction, int64_t call) const;

  const Program& program() const override { return *program_; }
  float* input(size_t i) const override { return inputs_[i]; }
  float* output(size_t i) const override;
  size_t bytes() const override { return memory_.bytes(); }

 private:
  void* address(const Ref& ref, int64_t call) const;
  // Where the copies in bf16 lie that the product reads and writes.
  cuda::Bf16Copies copies_of(const Instruction& instruction) const;

  std::shared_ptr<const Program> program_;
  std::vector<uint8_t*> parts_;
  std::vector<float*> inputs_;
  Memory memory_, copies_;
  std::map<const Instruction*, Bf16Use> uses_;
};

}  // namespace tendon
