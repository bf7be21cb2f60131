// An accelerator: "cuda:0", "cuda:1", … through libtendon_cuda, opened when the first is asked for, or
// "cuda:emulated", its kernels on the CPU. And what is held on one: streams and memory.
#pragma once

#include <memory>
#include <semaphore>
#include <string>
#include <utility>

#include "backend/backend.h"
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

  // While building, an error is thrown.
  void check(cuda::Error error) const;

 private:
  const cuda::Api* api_ = nullptr;
  int index_ = 0;
  std::string name_;
  cuda::Description description_;
};

// One stream of a device.
class DeviceStream {
 public:
  explicit DeviceStream(std::shared_ptr<const Device> device);
  ~DeviceStream();
  DeviceStream(const DeviceStream&) = delete;
  DeviceStream& operator=(const DeviceStream&) = delete;
  const Device& device() const { return *device_; }
  const cuda::Api& api() const { return device_->api(); }
  cuda::Stream* get() const { return stream_; }

  // Throw BuildError for what the device reports.
  void copy(void* to, const void* from, size_t bytes) const {
    device_->check(api().copy_memory(stream_, to, from, bytes));
  }
  void wait() const { device_->check(api().synchronize(stream_)); }

 private:
  std::shared_ptr<const Device> device_;
  cuda::Stream* stream_ = nullptr;
};

// Throws BuildError out_of_resources.
Memory allocate(const std::shared_ptr<DeviceStream>& stream, size_t bytes,
                MemoryKind kind = MemoryKind::device);

// Wakes whoever waits for a stream, from a thread of the driver's. Where an error ends a stream, the driver
// calls nobody back: every so often the stream itself is asked.
class DeviceSignal {
 public:
  // Returns when all that was enqueued is done; false when the device reported an error.
  bool await(const DeviceStream& stream);

 private:
  static void raise(void* self) { static_cast<DeviceSignal*>(self)->raised_.release(); }
  std::binary_semaphore raised_{0};
};

}  // namespace tendon
