// What programs run on: one contract, kept by the CPU (backend/cpu) and by a CUDA device (backend/cuda).
// Whoever runs a network (session, sample) knows this file and no backend.
//
// Work is enqueued on a stream and happens there in order: lists of a loaded program, the loops' steps around
// it, copies. What is the same in every inference is captured once and replayed. Building throws BuildError;
// replaying gives a Status, allocates nothing and throws nothing.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "base/error.h"
#include "base/pool.h"
#include "compile/program.h"
#include "ops/loops.h"

namespace tendon {

struct Capabilities {
  std::string name;                      // the instruction set, or the device
  const KernelTable* kernels = nullptr;  // how weights are packed, how much scratch a product needs
  int parts = 1;                         // into how many parts work is cut: threads, or multiprocessors
  // Whether it works in the host's memory: what is staged is where it is read, and nothing is copied.
  bool shares_memory = false;
};

// Zeroed memory, given back when its last owner ends. Staging memory is the host's, which a device reads and
// writes by itself.
enum class MemoryKind : uint8_t { device, staging };
class Memory {
 public:
  Memory() = default;
  Memory(std::shared_ptr<uint8_t> data, size_t bytes) : data_(std::move(data)), bytes_(bytes) {}
  uint8_t* data() const { return data_.get(); }
  float* floats() const { return reinterpret_cast<float*>(data_.get()); }
  size_t bytes() const { return bytes_; }

 private:
  std::shared_ptr<uint8_t> data_;
  size_t bytes_ = 0;
};

// A model's weights where programs of this backend read them; shared by all.
class LoadedWeights {
 public:
  virtual ~LoadedWeights() = default;
};

// A program with memory for its values.
class Executable {
 public:
  virtual ~Executable() = default;
  virtual const Program& program() const = 0;
  // Where an input or output lies, by its number in the program's ports.
  virtual float* input(size_t i) const = 0;
  virtual float* output(size_t i) const = 0;
  virtual size_t bytes() const = 0;
};

using LoopArgs = std::variant<FeedArgs, CombineArgs, FollowArgs, DrawArgs, CropArgs, AcrossArgs, DownArgs>;

// Work that is replayed as one.
class Capture {
 public:
  virtual ~Capture() = default;
};

class Search;
class StreamSearch;
struct SearchPorts;
struct SearchCritic;

struct Replayed {
  Status status = Status::ok;  // ok, cancelled or device_failed
  int steps = 0;               // passed by: how often begin_step was reached and not cancelled
  int64_t device_ns = 0;       // by a device's own clock; 0 on the CPU
};

class Stream {
 public:
  virtual ~Stream() = default;
  virtual const Capabilities& capabilities() const = 0;

  virtual Memory allocate(size_t bytes, MemoryKind kind = MemoryKind::device) = 0;
  // Inputs for which `inputs` has an address are read there; the others get memory of their own.
  virtual std::unique_ptr<Executable> load(std::shared_ptr<const Program> program,
                                           std::shared_ptr<const LoadedWeights> weights,
                                           const std::vector<float*>& inputs = {}) = 0;

  // A plan's search (backend/search.h) with its critics; `shown` is told what it finds and outlives it.
  virtual std::unique_ptr<StreamSearch> open_search(Search& shown, const SearchPorts& ports,
                                                    const std::vector<SearchCritic>& critics,
                                                    std::shared_ptr<const LoadedWeights> weights) = 0;

  virtual void copy(void* to, const void* from, size_t bytes) = 0;
  // Of the step list, that of one `call` of the table.
  virtual void enqueue(const Executable& program, List list, int64_t call = 0) = 0;
  virtual void enqueue(const LoopArgs& args) = 0;
  // A step of a loop begins: here, or where that is impossible before the first, a cancelled replay ends.
  virtual void begin_step() = 0;
  // The host's clock goes to `ns` when the work before is done; left as it is where that is not known.
  virtual void stamp(int64_t* ns) = 0;

  // Everything that `work` enqueues.
  virtual std::unique_ptr<Capture> capture(const std::function<void()>& work) = 0;
  // What was enqueued before, then the captured work; returns when all of it is done.
  virtual Replayed replay(Capture& captured, const std::atomic<bool>* cancel = nullptr) = 0;
  virtual void wait() = 0;

  // Nanoseconds of each instruction of a list, the median of `rounds`, on whatever its values hold.
  virtual std::vector<double> time(const Executable& program, List list, int rounds) = 0;
};

class Backend {
 public:
  virtual ~Backend() = default;
  virtual const Capabilities& capabilities() const = 0;
  virtual std::shared_ptr<Stream> open_stream() = 0;
  virtual std::shared_ptr<const LoadedWeights> load(std::shared_ptr<const Weights> weights) = 0;
};

// A backend of the CPU over a team and the kernels of an instruction set.
std::shared_ptr<Backend> open_cpu(std::shared_ptr<Pool> pool, const KernelTable& kernels);
// Of a device by name: cuda:0, cuda:1, …, or cuda:emulated. Throws BuildError config_invalid for a name of
// another form, native_unavailable when there is no such device or no library to reach it by.
std::shared_ptr<Backend> open_cuda(const std::string& name);

}  // namespace tendon
