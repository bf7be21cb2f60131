// An accelerator: "cuda:0", "cuda:1", … through libtendon_cuda, opened when the first is asked for, or
// "cuda:emulated", its kernels on the CPU. And what is held on one: queues and memory.
#pragma once

#include <memory>
#include <semaphore>
#include <string>
#include <utility>

#include "base/error.h"
#include "kernels/cuda/api.h"

namespace tendon {

class Device {
 public:
  // Throws BuildError: config_invalid for a name of another form, native_unavailable when there is no such
  // device or no library to reach it by.
  static std::shared_ptr<const Device> open(const std::string& name);
  // Why cuda:0 could not be opened; empty when it could.
  static std::string why_no_cuda();

  const cuda::Api& api() const { return *api_; }
  int index() const { return index_; }
  const std::string& name() const { return name_; }
  const cuda::Description& description() const { return description_; }
  // With which programs for it are compiled: how weights are packed, how much scratch a product needs.
  const KernelTable& kernels() const;

  // While building, a fault is thrown.
  void need(cuda::Fault fault) const;

 private:
  const cuda::Api* api_ = nullptr;
  int index_ = 0;
  std::string name_;
  cuda::Description description_;
};

// One stream of a device and the memory taken through it.
class DeviceQueue {
 public:
  explicit DeviceQueue(std::shared_ptr<const Device> device);
  ~DeviceQueue();
  DeviceQueue(const DeviceQueue&) = delete;
  DeviceQueue& operator=(const DeviceQueue&) = delete;
  const Device& device() const { return *device_; }
  const cuda::Api& api() const { return device_->api(); }
  cuda::Queue* get() const { return queue_; }
  void wait() const { device_->need(api().wait(queue_)); }

 private:
  std::shared_ptr<const Device> device_;
  cuda::Queue* queue_ = nullptr;
};

// Wakes whoever waits for a queue, from a thread of the driver's. Where a fault ends a queue, the driver
// calls nobody back: every so often the queue itself is asked.
class DeviceSignal {
 public:
  // Returns when all that was put into the queue is done; false when the device reported a fault.
  bool await(const DeviceQueue& queue);

 private:
  static void raise(void* self) { static_cast<DeviceSignal*>(self)->raised_.release(); }
  std::binary_semaphore raised_{0};
};

// Zeroed memory of the device, or pinned memory of the host.
class DeviceBlock {
 public:
  enum class Kind : uint8_t { device, pinned };
  DeviceBlock() = default;
  DeviceBlock(std::shared_ptr<DeviceQueue> queue, size_t bytes, Kind kind = Kind::device);
  ~DeviceBlock() { give(); }
  DeviceBlock(DeviceBlock&& other) noexcept { *this = std::move(other); }
  DeviceBlock& operator=(DeviceBlock&& other) noexcept;
  uint8_t* data() const { return data_; }
  float* floats() const { return reinterpret_cast<float*>(data_); }
  size_t bytes() const { return bytes_; }

 private:
  void give();
  std::shared_ptr<DeviceQueue> queue_;
  uint8_t* data_ = nullptr;
  size_t bytes_ = 0;
  Kind kind_ = Kind::device;
};

}  // namespace tendon
