// Rows of doubles from one thread to one other, oldest first, without a lock. A full ring takes no more: what
// is lost is counted by whoever pushes, and what is inside stays whole.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/memory.h"

namespace tendon {

class Ring {
 public:
  Ring(size_t rows, size_t width) : rows_(rows), width_(width), values_(rows * width) {}

  size_t width() const { return width_; }
  const double* data() const { return values_.data(); }
  size_t bytes() const { return values_.size() * sizeof(double); }

  // The producer's: the row to fill, or null when full; then `push` hands it over.
  double* next() {
    const uint64_t head = head_.load(std::memory_order_relaxed);
    if (head - tail_.load(std::memory_order_acquire) == rows_) return nullptr;
    return values_.data() + head % rows_ * width_;
  }
  void push() { head_.store(head_.load(std::memory_order_relaxed) + 1, std::memory_order_release); }

  // The consumer's: up to `most` rows into `out`; how many.
  size_t drain(double* out, size_t most) {
    const uint64_t tail = tail_.load(std::memory_order_relaxed);
    const size_t count = std::min<size_t>(most, head_.load(std::memory_order_acquire) - tail);
    for (size_t i = 0; i < count; ++i)
      std::copy_n(values_.data() + (tail + i) % rows_ * width_, width_, out + i * width_);
    tail_.store(tail + count, std::memory_order_release);
    return count;
  }

 private:
  const size_t rows_, width_;
  std::vector<double> values_;
  alignas(cache_line) std::atomic<uint64_t> head_{0};
  alignas(cache_line) std::atomic<uint64_t> tail_{0};
};

}  // namespace tendon
