// A plan's search on the CPU: search/search.h's own steps, as launches of a stream.
#pragma once

#include "backend/cpu/stream.h"
#include "backend/search.h"

namespace tendon {

class CpuSearch : public StreamSearch {
 public:
  CpuSearch(CpuStream& stream, Search& search, const SearchPorts& ports,
            std::vector<std::unique_ptr<CpuExecutable>> critics);
  void reset(uint64_t seed) override { search_.reset(seed); }
  void enqueue_begin() override;
  void enqueue_propose(int iteration) override { task<&CpuSearch::propose>(iteration); }
  void enqueue_update(int iteration) override { task<&CpuSearch::update>(iteration); }
  void enqueue_answer() override {}
  void give(const PlanTape& tape, const float* centre, bool explore) override;
  bool answer(float* out) override { return search_.finish(explore_, out); }
  const Executable* critic() const override { return critics_.empty() ? nullptr : critics_[0].get(); }

 private:
  template <auto step>
  void task(int iteration) {
    stream_.enqueue_task(
        {[](void* self, int i, const Team& team) { (static_cast<CpuSearch*>(self)->*step)(i, team); }, this,
         iteration});
  }
  void begin(int, const Team& team);
  void propose(int iteration, const Team& team);
  void update(int iteration, const Team& team);
  float asked(int row) const;

  CpuStream& stream_;
  Search& search_;
  SearchPorts ports_;
  std::vector<std::unique_ptr<CpuExecutable>> critics_;
  std::vector<float> scores_;
  std::vector<int> drawn_;
  PlanTape tape_;
  const float* centre_ = nullptr;
  bool explore_ = false;
};

}  // namespace tendon
