// How late, how often: counts in buckets that are 1/32 of their value wide, from 1 ns up. One thread adds,
// any may read while it does; a quantile is the upper edge of its bucket, so at most 3 % too high and never
// too low.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cmath>
#include <cstdint>

namespace tendon {

class Histogram {
 public:
  void add(int64_t value) {
    const uint64_t v = value > 0 ? static_cast<uint64_t>(value) : 0;
    bump(counts_[bucket(v)]);
    bump(total_);
    if (v > most_.load(std::memory_order_relaxed)) most_.store(v, std::memory_order_relaxed);
  }

  uint64_t total() const { return total_.load(std::memory_order_relaxed); }
  uint64_t most() const { return most_.load(std::memory_order_relaxed); }

  // 0 when empty.
  uint64_t quantile(double q) const {
    const auto wanted = static_cast<uint64_t>(std::ceil(q * static_cast<double>(total())));
    uint64_t seen = 0;
    for (size_t i = 0; i < counts_.size(); ++i) {
      seen += counts_[i].load(std::memory_order_relaxed);
      if (seen >= wanted && seen > 0) return std::min(upper_edge(i), most());
    }
    return most();
  }

 private:
  static constexpr int fine = 5;  // 2^5 buckets per doubling

  static size_t bucket(uint64_t v) {
    if (v < 2u << fine) return v;
    const int shift = std::bit_width(v) - 1 - fine;
    return (static_cast<size_t>(shift) << fine) + (v >> shift);
  }
  static uint64_t upper_edge(size_t i) {
    if (i < 2u << fine) return i;
    const int shift = static_cast<int>(i >> fine) - 1;
    const uint64_t mantissa = (i & ((1u << fine) - 1)) | (1u << fine);
    return ((mantissa + 1) << shift) - 1;
  }
  // Only one thread writes: no read-modify-write is needed.
  static void bump(std::atomic<uint64_t>& count) {
    count.store(count.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  }

  std::array<std::atomic<uint64_t>, static_cast<size_t>(65 - fine) << fine> counts_{};
  std::atomic<uint64_t> total_{0}, most_{0};
};

}  // namespace tendon
