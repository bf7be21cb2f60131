// The CPU as a backend: captured work is a list that the caller walks through, sharing what is worth it.
// Memory is the host's, so that nothing is copied.
#pragma once

#include <utility>

#include "backend/backend.h"
#include "backend/cpu/team_choice.h"
#include "compile/bound.h"

namespace tendon {

class CpuExecutable : public Executable {
 public:
  explicit CpuExecutable(Bound bound) : bound_(std::move(bound)) {}
  const Program& program() const override { return bound_.program(); }
  float* input(size_t i) const override { return bound_.input(i); }
  float* output(size_t i) const override { return bound_.output(i); }
  size_t bytes() const override { return bound_.bytes(); }
  const Bound& bound() const { return bound_; }

 private:
  Bound bound_;
};

class CpuStream : public Stream {
 public:
  CpuStream(Capabilities capabilities, std::shared_ptr<Pool> pool)
      : capabilities_(std::move(capabilities)), pool_(std::move(pool)) {}
  const Capabilities& capabilities() const override { return capabilities_; }
  Memory allocate(size_t bytes, MemoryKind kind) override;
  std::unique_ptr<Executable> load(std::shared_ptr<const Program> program,
                                   std::shared_ptr<const LoadedWeights> weights,
                                   const std::vector<float*>& inputs) override;
  std::unique_ptr<StreamSearch> open_search(Search& shown, const SearchPorts& ports,
                                            const std::vector<SearchCritic>& critics,
                                            std::shared_ptr<const LoadedWeights> weights) override;
  void copy(void* to, const void* from, size_t bytes) override;
  void enqueue(const Executable& program, List list, int64_t call) override;
  void enqueue(const LoopArgs& args) override;
  void begin_step() override;
  void stamp(int64_t* ns) override;
  std::unique_ptr<Capture> capture(const std::function<void()>& work) override;
  Replayed replay(Capture& captured, const std::atomic<bool>* cancel) override;
  void wait() override;
  std::vector<double> time(const Executable& program, List list, int rounds) override;

  // What only the CPU runs.
  struct Task {
    void (*run)(void* self, int number, const Team& team);
    void* self;
    int number;
  };
  void enqueue_task(const Task& task) { target_->list.push_back(task); }

 private:
  struct ListLaunch {
    const Bound* program;
    List list;
    int64_t call;
  };
  struct CopyLaunch {
    void* to;
    const void* from;
    size_t bytes;
  };
  struct StepLaunch {};
  struct StampLaunch {
    int64_t* ns;
  };
  using Launch = std::variant<ListLaunch, CopyLaunch, StepLaunch, StampLaunch, Task, LoopArgs>;
  struct Launches : Capture {
    std::vector<Launch> list;
    TeamChoice choice;
  };

  // Until a step finds that the replay is cancelled.
  void run(const std::vector<Launch>& launches, const Team& team);

  Capabilities capabilities_;
  std::shared_ptr<Pool> pool_;
  Launches pending_;
  Launches* target_ = &pending_;
  // Of the present replay.
  const std::atomic<bool>* cancel_ = nullptr;
  bool cancelled_ = false;
  int steps_ = 0;
};

}  // namespace tendon
