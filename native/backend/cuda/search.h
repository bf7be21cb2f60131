// A plan's search on a device, whose kernels do it (kernels/cuda/planner.h): its memory there, what is
// uploaded with a plan and what is read back.
#pragma once

#include <memory>
#include <vector>

#include "backend/cuda/choice.h"
#include "backend/search.h"

namespace tendon {

class DeviceSearch : public StreamSearch {
 public:
  // `shown` is told what is found; it must outlive this. Throws BuildError unsupported for a table with more
  // critics asked than kernels take, and for critics that differ in more than their weights.
  DeviceSearch(std::shared_ptr<DeviceStream> stream, Search& shown, const SearchPorts& ports,
               const std::vector<SearchCritic>& critics, const DeviceWeights* weights);

  void reset(uint64_t seed) override;
  void enqueue_begin() override;
  void enqueue_propose(int iteration) override;
  void enqueue_update(int iteration) override;
  void enqueue_answer() override;
  // A tape is uploaded by itself; the first of its kind takes memory.
  void give(const PlanTape& tape, const float* centre, bool explore) override;
  bool answer(float* out) override;
  const Executable* critic() const override { return critics_ ? critics_->places()[0].get() : nullptr; }

 private:
  template <class T>
  const T* tape_of(const T* host, int64_t count, Memory& memory);
  void enqueue(cuda::PlanStep step, int iteration) const;

  std::shared_ptr<DeviceStream> stream_;
  Search& shown_;
  PlannerTable table_;
  std::unique_ptr<DeviceChoice> critics_;
  // What is uploaded and read back, on the host and there; the rest of what the kernels remember.
  Memory staged_, given_, read_back_, found_, memory_;
  Memory samples_, tail_, prior_, model_, prior_model_, pick_, explore_, asked_;  // tapes
  cuda::PlanArgs args_{};
  uint64_t seed_ = 0, plan_ = 0;
  bool fresh_ = true;
};

}  // namespace tendon
