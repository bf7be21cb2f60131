// A device as a backend: captured work is a graph, launched as one.
#pragma once

#include "backend/cuda/program.h"

namespace tendon {

class CudaStream : public Stream {
 public:
  CudaStream(Capabilities capabilities, std::shared_ptr<const Device> device)
      : capabilities_(std::move(capabilities)), stream_(std::make_shared<DeviceStream>(std::move(device))) {}
  const Capabilities& capabilities() const override { return capabilities_; }
  Memory allocate(size_t bytes, MemoryKind kind) override { return tendon::allocate(stream_, bytes, kind); }
  std::unique_ptr<Executable> load(std::shared_ptr<const Program> program,
                                   std::shared_ptr<const LoadedWeights> weights,
                                   const std::vector<float*>& inputs) override;
  std::unique_ptr<StreamSearch> open_search(Search& shown, const SearchPorts& ports,
                                            const std::vector<SearchCritic>& critics,
                                            std::shared_ptr<const LoadedWeights> weights) override;
  void copy(void* to, const void* from, size_t bytes) override { stream_->copy(to, from, bytes); }
  void enqueue(const Executable& program, List list, int64_t call) override;
  void enqueue(const LoopArgs& args) override;
  // The host is not asked while a graph runs.
  void begin_step() override { ++steps_; }
  void stamp(int64_t*) override {}
  std::unique_ptr<Capture> capture(const std::function<void()>& work) override;
  Replayed replay(Capture& captured, const std::atomic<bool>* cancel) override;
  void wait() override { stream_->wait(); }
  std::vector<double> time(const Executable& program, List list, int rounds) override;

 private:
  Capabilities capabilities_;
  std::shared_ptr<DeviceStream> stream_;
  DeviceSignal signal_;
  int steps_ = 0;  // of what is being captured
};

}  // namespace tendon
