// Shapes and element types. Dim 0 of an activation is always the batch; no op mixes it.
#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <string>

namespace tendon {

enum class DType : uint8_t { f32, f16, bf16, i8, i64 };

constexpr int64_t dtype_bytes(DType type) {
  switch (type) {
    case DType::f32:
      return 4;
    case DType::f16:
    case DType::bf16:
      return 2;
    case DType::i8:
      return 1;
    case DType::i64:
      return 8;
  }
  return 0;
}

constexpr int max_rank = 5;
// Of one value. Sizes up to here can be added and doubled, and turned into bytes, without overflow.
constexpr int64_t max_elements = int64_t{1} << 36;

struct Shape {
  int rank = 0;
  std::array<int64_t, max_rank> dim{};

  Shape() = default;
  Shape(std::initializer_list<int64_t> dims) {
    for (int64_t d : dims) dim[rank++] = d;
  }
  int64_t operator[](int i) const { return dim[i]; }
  int64_t& operator[](int i) { return dim[i]; }
  int64_t last() const { return rank == 0 ? 1 : dim[rank - 1]; }
  int64_t count() const {
    int64_t n = 1;
    for (int i = 0; i < rank; ++i) n *= dim[i];
    return n;
  }
  // Elements of one batch element.
  int64_t per_batch() const { return rank == 0 || dim[0] == 0 ? 0 : count() / dim[0]; }
  bool operator==(const Shape& other) const {
    if (rank != other.rank) return false;
    for (int i = 0; i < rank; ++i)
      if (dim[i] != other.dim[i]) return false;
    return true;
  }
  std::string text() const {
    std::string s = "(";
    for (int i = 0; i < rank; ++i) s += (i ? ", " : "") + std::to_string(dim[i]);
    return s + ")";
  }
};

}  // namespace tendon
