#include "backend/cuda/stream.h"

#include <algorithm>

#include "backend/cuda/search.h"

namespace tendon {

namespace {

#define X(name, Args)                                                                  \
  cuda::Error launch_loop(const cuda::Api& api, cuda::Stream* stream, const Args& a) { \
    return api.name(stream, a);                                                        \
  }
TENDON_LOOP_OPS(X)
#undef X

struct Graphs : Capture {
  std::shared_ptr<DeviceStream> stream;
  cuda::CapturedGraph* graph = nullptr;
  int steps = 0;
  ~Graphs() override {
    if (graph != nullptr) stream->api().destroy_graph(graph);
  }
};

class CudaBackend : public Backend {
 public:
  explicit CudaBackend(const std::string& name)
      : device_(Device::open(name)),
        capabilities_{device_->name(), &device_->kernels(), device_->description().multiprocessors, false} {}
  const Capabilities& capabilities() const override { return capabilities_; }
  std::shared_ptr<Stream> open_stream() override {
    return std::make_shared<CudaStream>(capabilities_, device_);
  }
  std::shared_ptr<const LoadedWeights> load(std::shared_ptr<const Weights> weights) override {
    return std::make_shared<DeviceWeights>(std::make_shared<DeviceStream>(device_), std::move(weights));
  }

 private:
  std::shared_ptr<const Device> device_;
  Capabilities capabilities_;
};

const DeviceProgram& of_device(const Executable& program) {
  return static_cast<const DeviceProgram&>(program);
}

}  // namespace

std::shared_ptr<Backend> open_cuda(const std::string& name) { return std::make_shared<CudaBackend>(name); }

std::unique_ptr<Executable> CudaStream::load(std::shared_ptr<const Program> program,
                                             std::shared_ptr<const LoadedWeights> weights,
                                             const std::vector<float*>& inputs) {
  return std::make_unique<DeviceProgram>(stream_, std::move(program),
                                         static_cast<const DeviceWeights&>(*weights), inputs);
}

std::unique_ptr<StreamSearch> CudaStream::open_search(Search& shown, const SearchPorts& ports,
                                                      const std::vector<SearchCritic>& critics,
                                                      std::shared_ptr<const LoadedWeights> weights) {
  return std::make_unique<DeviceSearch>(stream_, shown, ports, critics,
                                        static_cast<const DeviceWeights*>(weights.get()));
}

void CudaStream::enqueue(const Executable& program, List list, int64_t call) {
  of_device(program).enqueue(*stream_, list, call);
}

void CudaStream::enqueue(const LoopArgs& args) {
  const auto launch = [&](const auto& a) { return launch_loop(stream_->api(), stream_->get(), a); };
  stream_->device().check(std::visit(launch, args));
}

// On a device everything happens once before: kernels are loaded, and what cannot be launched says so by
// itself.
std::unique_ptr<Capture> CudaStream::capture(const std::function<void()>& work) {
  const Device& device = stream_->device();
  if (device.description().loads_late) {
    work();
    wait();
  }
  auto captured = std::make_unique<Graphs>();
  captured->stream = stream_;
  const auto end = [&] { return stream_->api().end_capture(stream_->get(), &captured->graph); };
  steps_ = 0;
  device.check(stream_->api().begin_capture(stream_->get()));
  try {
    work();
  } catch (...) {
    end();
    throw;
  }
  device.check(end());
  captured->steps = steps_;
  return captured;
}

Replayed CudaStream::replay(Capture& captured, const std::atomic<bool>* cancel) {
  if (cancel != nullptr && cancel->load(std::memory_order_relaxed)) return {Status::cancelled, 0, 0};
  const auto& graphs = static_cast<const Graphs&>(captured);
  const cuda::Api& api = stream_->api();
  double ns = 0;
  const bool done = api.record_begin(stream_->get()) == nullptr &&
                    api.launch_graph(stream_->get(), graphs.graph) == nullptr &&
                    api.record_end(stream_->get()) == nullptr && signal_.await(*stream_) &&
                    api.elapsed(stream_->get(), &ns) == nullptr;
  return {done ? Status::ok : Status::device_failed, graphs.steps, static_cast<int64_t>(ns)};
}

// By the device's clock, several in a row so that the beginning is not all there is.
std::vector<double> CudaStream::time(const Executable& program, List list, int rounds) {
  constexpr int in_a_row = 8;
  const cuda::Api& api = stream_->api();
  const Device& device = stream_->device();
  std::vector<double> medians;
  for (const Instruction& instruction : program.program().list(list)) {
    std::vector<double> times(static_cast<size_t>(rounds));
    for (double& time : times) {
      device.check(api.record_begin(stream_->get()));
      for (int i = 0; i < in_a_row; ++i) of_device(program).enqueue(*stream_, instruction, 0);
      device.check(api.record_end(stream_->get()));
      device.check(api.elapsed(stream_->get(), &time));
    }
    std::nth_element(times.begin(), times.begin() + rounds / 2, times.end());
    medians.push_back(times[static_cast<size_t>(rounds / 2)] / in_a_row);
  }
  return medians;
}

}  // namespace tendon
