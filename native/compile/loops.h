// Pieces that lowering is made of: an instruction under construction, and elementwise loops over strided
// operands.
#pragma once

#include <array>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "compile/lower.h"
#include "compile/view.h"

namespace tendon {

// An instruction under construction: its arguments, and what each of their pointers points to.
template <class Args>
class Draft {
 public:
  Args args{};

  template <class Pointer>
  void point(Pointer& field, const View& view) {
    auto& uses = pending_.uses;
    if (uses.empty()) Args::refs(args, [&](const auto&) { uses.emplace_back(); });
    constexpr bool write = !std::is_const_v<std::remove_pointer_t<Pointer>>;
    uses[static_cast<size_t>(ref_index(args, &field))] = {view.buffer, view.offset, view.per_call, write};
  }
  Pending finish(std::string label, double flops, double bytes = 0) {
    pending_.instruction.label = std::move(label);
    pending_.instruction.flops = flops;
    pending_.instruction.bytes = bytes;
    pending_.instruction.args = args;
    return std::move(pending_);
  }

 private:
  Pending pending_;
};

// Operand of an elementwise loop over `out`: right-aligned vectors, broadcast axes with stride 0.
struct Loop {
  int rank = 0;
  int64_t dim[max_rank];
  std::vector<std::array<int64_t, max_rank>> strides;  // by operand
  std::vector<int64_t> div;
};

// Joins neighbouring axes that every operand walks as one; axis 0 only when nothing is block broadcast.
inline void collapse(Loop& loop) {
  bool blocked = false;
  for (size_t o = 0; o < loop.div.size(); ++o) blocked |= loop.div[o] != 1 && loop.strides[o][0] != 0;
  for (int i = loop.rank - 2; i >= (blocked ? 1 : 0); --i) {
    bool joins = true;
    for (const auto& s : loop.strides) joins &= s[i] == s[i + 1] * loop.dim[i + 1];
    if (!joins) continue;
    loop.dim[i] *= loop.dim[i + 1];
    for (auto& s : loop.strides) s[i] = s[i + 1];
    for (int j = i + 1; j < loop.rank - 1; ++j) {
      loop.dim[j] = loop.dim[j + 1];
      for (auto& s : loop.strides) s[j] = s[j + 1];
    }
    --loop.rank;
  }
}

inline Loop make_loop(const Shape& out, const std::vector<const View*>& operands) {
  Loop loop;
  loop.rank = out.rank;
  for (int i = 0; i < out.rank; ++i) loop.dim[i] = out[i];
  for (const View* v : operands) {
    std::array<int64_t, max_rank> s{};
    const int shift = out.rank - v->dim.rank;
    for (int i = 0; i < v->dim.rank; ++i) s[i + shift] = v->dim[i] == 1 ? 0 : v->stride[i];
    loop.strides.push_back(s);
    loop.div.push_back(v->dim.rank == out.rank && v->dim[0] > 0 ? out[0] / v->dim[0] : 1);
  }
  collapse(loop);
  return loop;
}

// Four axes as kernels want them: axis 0 stays first so that `div` applies to it, the others come last; a
// single axis is innermost.
inline void fill(const Loop& loop, size_t o, int64_t dims[4], int64_t stride[4]) {
  const int pad = 4 - loop.rank;
  for (int i = 0; i < 4; ++i) {
    const int from = i == 0 && loop.rank > 1 ? 0 : i - pad;
    const bool real = from >= 0 && (i == 0 || from >= 1 || loop.rank == 1);
    dims[i] = real ? loop.dim[from] : 1;
    stride[i] = real ? loop.strides[o][from] : 0;
  }
}

}  // namespace tendon
