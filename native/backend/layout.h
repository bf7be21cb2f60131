// Pieces one behind the other in a block that travels as one: each begins on a border that copies like.
#pragma once

#include <cstdint>

namespace tendon {

class Layout {
 public:
  // Where `count` floats, or as many bytes, lie: in floats.
  int64_t add(int64_t count) {
    const int64_t at = size_;
    size_ += (count + 63) / 64 * 64;
    return at;
  }
  template <class T>
  int64_t add_bytes_of(int64_t count = 1) {
    return add((count * static_cast<int64_t>(sizeof(T)) + 3) / 4);
  }
  int64_t size() const { return size_; }
  size_t bytes() const { return static_cast<size_t>(size_) * sizeof(float); }

 private:
  int64_t size_ = 0;
};

}  // namespace tendon
