#include "backend/cpu/stream.h"

#include <cstring>

#include "backend/cpu/loops.h"
#include "backend/cpu/profile.h"
#include "backend/cpu/run.h"
#include "backend/cpu/search.h"
#include "base/clock.h"

namespace tendon {

namespace {

struct CpuWeights : LoadedWeights {
  explicit CpuWeights(std::shared_ptr<const Weights> own) : weights(std::move(own)) {}
  std::shared_ptr<const Weights> weights;
};

class CpuBackend : public Backend {
 public:
  CpuBackend(std::shared_ptr<Pool> pool, const KernelTable& kernels)
      : capabilities_{kernels.isa, &kernels, pool->size(), true}, pool_(std::move(pool)) {}
  const Capabilities& capabilities() const override { return capabilities_; }
  std::shared_ptr<Stream> open_stream() override { return std::make_shared<CpuStream>(capabilities_, pool_); }
  std::shared_ptr<const LoadedWeights> load(std::shared_ptr<const Weights> weights) override {
    return std::make_shared<CpuWeights>(std::move(weights));
  }

 private:
  Capabilities capabilities_;
  std::shared_ptr<Pool> pool_;
};

std::unique_ptr<CpuExecutable> bind(std::shared_ptr<const Program> program, const LoadedWeights& weights,
                                    const std::vector<WeightPart>& parts, const std::vector<float*>& inputs) {
  std::vector<std::pair<std::string, float*>> given;
  for (size_t i = 0; i < inputs.size(); ++i)
    if (inputs[i] != nullptr) given.emplace_back(program->inputs[i].name, inputs[i]);
  return std::make_unique<CpuExecutable>(
      Bound(std::move(program), static_cast<const CpuWeights&>(weights).weights, parts, given));
}

}  // namespace

std::shared_ptr<Backend> open_cpu(std::shared_ptr<Pool> pool, const KernelTable& kernels) {
  return std::make_shared<CpuBackend>(std::move(pool), kernels);
}

Memory CpuStream::allocate(size_t bytes, MemoryKind) {
  const auto block = std::make_shared<Block>(bytes);
  return {std::shared_ptr<uint8_t>(block, block->data()), bytes};
}

std::unique_ptr<Executable> CpuStream::load(std::shared_ptr<const Program> program,
                                            std::shared_ptr<const LoadedWeights> weights,
                                            const std::vector<float*>& inputs) {
  return bind(program, *weights, program->weights, inputs);
}

std::unique_ptr<StreamSearch> CpuStream::open_search(Search& shown, const SearchPorts& ports,
                                                     const std::vector<SearchCritic>& critics,
                                                     std::shared_ptr<const LoadedWeights> weights) {
  std::vector<std::unique_ptr<CpuExecutable>> own;
  for (const SearchCritic& c : critics) own.push_back(bind(c.program, *weights, c.weights, c.inputs));
  return std::make_unique<CpuSearch>(*this, shown, ports, std::move(own));
}

void CpuStream::copy(void* to, const void* from, size_t bytes) {
  if (to != from && bytes > 0) target_->list.push_back(CopyLaunch{to, from, bytes});
}

void CpuStream::enqueue(const Executable& program, List list, int64_t call) {
  target_->list.push_back(ListLaunch{&static_cast<const CpuExecutable&>(program).bound(), list, call});
}

void CpuStream::enqueue(const LoopArgs& args) { target_->list.push_back(args); }

void CpuStream::begin_step() { target_->list.push_back(StepLaunch{}); }

void CpuStream::stamp(int64_t* ns) { target_->list.push_back(StampLaunch{ns}); }

std::unique_ptr<Capture> CpuStream::capture(const std::function<void()>& work) {
  auto captured = std::make_unique<Launches>();
  target_ = captured.get();
  try {
    work();
  } catch (...) {
    target_ = &pending_;
    throw;
  }
  target_ = &pending_;
  return captured;
}

void CpuStream::run(const std::vector<Launch>& launches, const Team& team) {
  for (const Launch& launch : launches) {
    if (const auto* list = std::get_if<ListLaunch>(&launch)) {
      run_list(*list->program, list->list, team, list->call);
    } else if (const auto* loop = std::get_if<LoopArgs>(&launch)) {
      run_loop(*loop, team);
    } else if (const auto* task = std::get_if<Task>(&launch)) {
      task->run(task->self, task->number, team);
    } else if (const auto* copy = std::get_if<CopyLaunch>(&launch)) {
      std::memcpy(copy->to, copy->from, copy->bytes);
    } else if (const auto* stamp = std::get_if<StampLaunch>(&launch)) {
      *stamp->ns = monotonic_ns();
    } else {
      cancelled_ = cancel_ != nullptr && cancel_->load(std::memory_order_relaxed);
      if (cancelled_) return;
      ++steps_;
    }
  }
}

Replayed CpuStream::replay(Capture& captured, const std::atomic<bool>* cancel) {
  auto& launches = static_cast<Launches&>(captured);
  cancel_ = cancel;
  cancelled_ = false;
  steps_ = 0;
  const auto job = [&](const Team& team) {
    run(pending_.list, team);
    run(launches.list, team);
  };
  launches.choice.run(*pool_, std::ref(job));
  pending_.list.clear();
  return {cancelled_ ? Status::cancelled : Status::ok, steps_, 0};
}

void CpuStream::wait() {
  if (pending_.list.empty()) return;
  const auto job = [&](const Team& team) { run(pending_.list, team); };
  pool_->run(std::ref(job));
  pending_.list.clear();
}

std::vector<double> CpuStream::time(const Executable& program, List list, int rounds) {
  return profile_list(static_cast<const CpuExecutable&>(program).bound(), list, *pool_, rounds);
}

}  // namespace tendon
