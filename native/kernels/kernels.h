// Kernels: per instruction set one table of functions over the arguments of ops/. Every function does its own
// share `part` of `parts` of the work, writes nothing outside its outputs and scratch, allocates nothing and
// reports nothing.
#pragma once

#include <cstddef>
#include <cstdint>

#include "ops/list.h"

namespace tendon {

struct Part {
  int index;
  int count;
  int member = 0;  // of the team, whose scratch it works in
  // The half-open share of n items, in multiples of `grain`.
  void range(int64_t n, int64_t grain, int64_t& begin, int64_t& end) const {
    const int64_t units = (n + grain - 1) / grain;
    begin = units * index / count * grain;
    end = units * (index + 1) / count * grain;
    if (begin > n) begin = n;
    if (end > n) end = n;
  }
};

// Output channels [first, first + count).
struct Channels {
  int64_t first, count;
};
constexpr int64_t pack_channels = 64;

struct GemmKernels {
  bool available = false;
  // Bytes of W (n, k) packed.
  size_t (*packed_bytes)(int64_t n, int64_t k) = nullptr;
  // Packs `channels` of W from row-major f32, `w` being the first of them, into zeroed memory of all of W;
  // pieces that begin at whole multiples of pack_channels may be packed at once. Columns of a convolution
  // come as (tap_h, tap_w, channel).
  void (*pack)(const float* w, int64_t n, int64_t k, void* out, Channels channels) = nullptr;
  // For as many members, or multiprocessors, as share the work.
  size_t (*scratch_bytes)(const GemmArgs&, int members) = nullptr;
  // Whether all parts of `prepare` must be done, with a barrier behind them, before `multiply`.
  bool (*needs_prepare)(const GemmArgs&) = nullptr;
  void (*prepare)(const GemmArgs&, Part) = nullptr;
  void (*multiply)(const GemmArgs&, Part) = nullptr;
  // What rows are rounded to before they are multiplied.
  WeightFormat activations = WeightFormat::f32;
};

struct KernelTable {
  const char* isa;
  GemmKernels gemm[static_cast<int>(WeightFormat::count)];
#define X(name, Args) void (*name)(const Args&, Part);
  TENDON_KERNELS(X)
#undef X
  // Operations that one thread does in `rounds` rounds of nothing but the format's multiply-adds: the limit
  // that products are measured against.
  double (*peak[static_cast<int>(WeightFormat::count)])(int64_t rounds);
};

// Plain loops, the definition of every kernel.
const KernelTable& reference_kernels();

// The best table this machine can run, not above `limit` (reference | avx2 | avxvnni | avx512 | avx512vnni |
// avx512bf16 | amx | neon; empty: no limit). Throws BuildError for an
// unknown name.
const KernelTable& select_kernels(const char* limit = "");

}  // namespace tendon
