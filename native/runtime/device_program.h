// A compiled program where a device can run it: its memory and weights have a place there, and every pointer
// of its instructions is translated on the way into a queue. The plan of memory stays the compiler's.
#pragma once

#include <memory>
#include <vector>

#include "compile/program.h"
#include "runtime/device.h"
#include "runtime/device_twins.h"

namespace tendon {

// Where host memory lies on the device, by address.
class Places {
 public:
  void add(const void* host, size_t bytes, uint8_t* device);
  // Null stays null. Throws BuildError internal for memory that has no place.
  uint8_t* find(const void* host) const;
  template <class T>
  T* of(T* host) const {
    return reinterpret_cast<T*>(find(host));
  }

 private:
  struct Range {
    const uint8_t* host;
    size_t bytes;
    uint8_t* device;
  };
  std::vector<Range> ranges_;  // later ones stand before earlier ones
};

// A model's weights, uploaded once and shared by its programs.
class DeviceWeights {
 public:
  DeviceWeights(std::shared_ptr<DeviceQueue> queue, std::shared_ptr<const Weights> weights);
  const Places& places() const { return places_; }

 private:
  std::shared_ptr<const Weights> weights_;
  DeviceBlock memory_;
  Places places_;
};

class DeviceProgram {
 public:
  DeviceProgram(std::shared_ptr<DeviceQueue> queue, const Program& program,
                std::shared_ptr<const DeviceWeights> weights);

  // Puts a list into the queue; of the step list, that of one `call` of the table, whose rows it reads where
  // they lie instead of from a copy. Throws BuildError: to be called while building, into a recording.
  void put(List list, int64_t call = 0) const;
  void put(const Instruction& instruction, int64_t call) const;

  // Where memory of the program lies on the device.
  template <class T>
  T* at(T* host) const {
    return places_.of(host);
  }
  // From now on `count` floats at `host` lie elsewhere on the device.
  void replace(const float* host, int64_t count, float* device);
  const Program& program() const { return program_; }
  size_t bytes() const { return memory_.bytes(); }

 private:
  // The memory of `current`, turned into that of row `call` of its table.
  const void* in_table(const void* host, int64_t call) const;

  // Where the copies in bf16 lie that the product reads and writes.
  cuda::Bf16Twins twins_of(const Instruction& instruction) const;
  uint16_t* twin_of(const float* host) const;

  std::shared_ptr<DeviceQueue> queue_;
  const Program& program_;
  std::shared_ptr<const DeviceWeights> weights_;
  DeviceBlock memory_, twins_;
  std::map<const Instruction*, TwinUse> uses_;
  Places places_;
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
