// A strided window on a buffer: what slices, reshapes, permutations and expansions are until a kernel needs
// them dense. dim[0] counts real batch rows, so it already includes the batch or the calls of the table.
#pragma once

#include <optional>

#include "base/shape.h"

namespace tendon {

struct View {
  int buffer = -1;
  int64_t offset = 0;
  Shape dim;
  std::array<int64_t, max_rank> stride{};
  int64_t per_call = 0;  // of one call's row of a table: floats to the next call's

  static View dense(int buffer, const Shape& dim) {
    View v{buffer, 0, dim, {}, 0};
    int64_t step = 1;
    for (int i = dim.rank - 1; i >= 0; --i) v.stride[i] = step, step *= dim[i];
    return v;
  }

  // Whether axes [from, rank) are laid out one behind the other.
  bool is_dense_from(int from) const {
    int64_t step = 1;
    for (int i = dim.rank - 1; i >= from; --i) {
      if (dim[i] != 1 && stride[i] != step) return false;
      step *= dim[i];
    }
    return true;
  }
  bool is_dense() const { return is_dense_from(0); }

  // Axes [1, rank − 1) as one, keeping batch and channels: the stride of a position, if they collapse.
  std::optional<int64_t> position_stride() const {
    int64_t step = -1, inner = 1;
    for (int i = dim.rank - 2; i >= 1; --i) {
      if (dim[i] == 1) continue;
      if (step < 0) step = stride[i];
      if (stride[i] != step * inner) return std::nullopt;
      inner *= dim[i];
    }
    return step < 0 ? dim.last() : step;
  }
  int64_t positions() const {
    int64_t n = 1;
    for (int i = 1; i < dim.rank - 1; ++i) n *= dim[i];
    return n;
  }
  bool channels_are_dense() const { return dim.rank == 0 || dim.last() == 1 || stride[dim.rank - 1] == 1; }
};

}  // namespace tendon
