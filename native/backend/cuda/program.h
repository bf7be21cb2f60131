// A compiled program bound to a device: its values and the model's weights have memory there, and every
// instruction's arguments get their pointers on the way into a queue.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "compile/program.h"
#include "backend/cuda/device.h"
#include "backend/cuda/bf16_copies.h"

namespace tendon {

// A model's weights, uploaded once and shared by its programs.
class DeviceWeights {
 public:
  DeviceWeights(std::shared_ptr<DeviceQueue> queue, std::shared_ptr<const Weights> weights);
  // Where a piece lies there.
  uint8_t* data(const WeightPart& part) const { return places_.at(weights_->data(part)); }

 private:
  std::shared_ptr<const Weights> weights_;
  DeviceBlock memory_;
  std::map<const void*, uint8_t*> places_;  // by where each piece begins on the host
};

class DeviceProgram {
 public:
  // Inputs have memory of their own until they are bound elsewhere.
  DeviceProgram(std::shared_ptr<DeviceQueue> queue, std::shared_ptr<const Program> program,
                std::shared_ptr<const DeviceWeights> weights);

  // Puts a list into the queue, or one instruction; of the step list, that of one `call` of the table. Throws
  // BuildError: to be called while building, into a recording.
  void put(List list, int64_t call = 0) const;
  void put(const Instruction& instruction, int64_t call) const;

  // Where an input or output lies on the device, by its number in the program's ports.
  float* input(size_t i) const { return inputs_[i]; }
  float* output(size_t i) const;
  // By name; null where there is none.
  float* input(const std::string& name) const;
  float* output(const std::string& name) const;
  // From now on an input, or number `i` of the program's weights, is read at `at`.
  void bind_input(size_t i, float* at) { inputs_[i] = at; }
  void bind_weight(size_t i, void* at) { parts_[i] = static_cast<uint8_t*>(at); }
  const Program& program() const { return *program_; }
  size_t bytes() const { return memory_.bytes(); }

 private:
  void* address(const Ref& ref, int64_t call) const;
  // Where the copies in bf16 lie that the product reads and writes.
  cuda::Bf16Twins twins_of(const Instruction& instruction) const;

  std::shared_ptr<DeviceQueue> queue_;
  std::shared_ptr<const Program> program_;
  std::shared_ptr<const DeviceWeights> weights_;
  DeviceBlock memory_, twins_;
  std::map<const Instruction*, TwinUse> uses_;
  std::vector<float*> inputs_;
  std::vector<uint8_t*> parts_;
};

// What was put into a queue while `put` ran, played as one. On a device it happens once before: kernels are
// loaded, and what cannot be launched says so by itself.
class DeviceRecording {
 public:
  template <class Put>
  DeviceRecording(std::shared_ptr<DeviceQueue> queue, Put put) : queue_(std::move(queue)) {
    if (queue_->device().description().loads_late) {
      put();
      queue_->wait();
    }
    queue_->device().need(queue_->api().record(queue_->get()));
    try {
      put();
    } catch (...) {
      if (end() == nullptr) queue_->api().forget(recording_);
      throw;
    }
    queue_->device().need(end());
  }
  ~DeviceRecording() {
    if (recording_ != nullptr) queue_->api().forget(recording_);
  }
  DeviceRecording(const DeviceRecording&) = delete;
  DeviceRecording& operator=(const DeviceRecording&) = delete;
  // Plays it and waits; the device's own time goes to `ns`. False when the device reported a fault.
  bool play_timed(DeviceSignal& signal, double* ns) const {
    const cuda::Api& api = queue_->api();
    cuda::Queue* queue = queue_->get();
    return api.mark_begin(queue) == nullptr && api.play(queue, recording_) == nullptr &&
           api.mark_end(queue) == nullptr && signal.await(*queue_) && api.between(queue, ns) == nullptr;
  }

 private:
  cuda::Fault end() { return queue_->api().recorded(queue_->get(), &recording_); }
  std::shared_ptr<DeviceQueue> queue_;
  cuda::Recording* recording_ = nullptr;
};

}  // namespace tendon
