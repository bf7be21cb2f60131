// What one thread leaves for one other without either waiting: three boxes, of which the writer has one, the
// reader one, and the third changes hands in a single exchange. The newest letter wins; older ones are never
// read.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>

#include "base/memory.h"

namespace tendon {

template <class Letter>
class Mailbox {
 public:
  // All three boxes start as `blank`, so that whatever is in it has been allocated before anyone runs.
  explicit Mailbox(const Letter& blank) : boxes_{blank, blank, blank} {}

  // The writer's: fill it, then post it.
  Letter& draft() { return boxes_[writing_]; }
  void post() {
    writing_ = middle_.exchange(static_cast<uint8_t>(writing_ | fresh), std::memory_order_acq_rel) & index;
  }

  // Before anyone runs.
  const std::array<Letter, 3>& boxes() const { return boxes_; }

  // The reader's: true when a newer letter is now in `letter`.
  bool collect() {
    if ((middle_.load(std::memory_order_relaxed) & fresh) == 0) return false;
    reading_ = middle_.exchange(reading_, std::memory_order_acq_rel) & index;
    return true;
  }
  const Letter& letter() const { return boxes_[reading_]; }

 private:
  static constexpr uint8_t index = 3, fresh = 4;
  std::array<Letter, 3> boxes_;
  alignas(cache_line) uint8_t writing_ = 0;
  alignas(cache_line) std::atomic<uint8_t> middle_{1};
  alignas(cache_line) uint8_t reading_ = 2;
};

}  // namespace tendon
