// What a CUDA kernel sees of its thread: where it stands, the block's shared memory, barriers, copies in
// flight and what a warp does together. Under nvcc these are the machine's own. Under any other compiler a
// lane is a fiber of kernels/cuda/fiber.h, so that the very same kernels run, block by block, where there is
// no device.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/device.h"

#ifdef __CUDACC__
#define TENDON_DEVICE __device__ __forceinline__
// A function that is called: it is long, and where it is used loops are unrolled.
#define TENDON_DEVICE_CALL __device__ __noinline__
#define TENDON_UNROLL _Pragma("unroll")
#else
#include "kernels/cuda/fiber.h"
#define TENDON_DEVICE inline
#define TENDON_DEVICE_CALL inline
#define TENDON_UNROLL
#endif

namespace tendon::cuda {

// Fragments of one warp-wide product of tiles: C (16 channels × 8 rows) += A (16 × 16) · B (16 × 8), bf16 in,
// f32 out, laid out over the lanes as PTX's mma.m16n8k16 has it. With g = lane / 4 and t = lane % 4:
//   A: word i holds channel g + 8·(i & 1), k = 2t + 8·(i >> 1) and its neighbour
//   B: word i holds row g, k = 2t + 8i and its neighbour
//   C: number i is channel g + 8·(i >> 1), row 2t + (i & 1)

#ifdef __CUDACC__

struct Lane {
  TENDON_DEVICE int thread() const { return static_cast<int>(threadIdx.x); }
  TENDON_DEVICE int threads() const { return static_cast<int>(blockDim.x); }
  TENDON_DEVICE int64_t block_x() const { return blockIdx.x; }
  TENDON_DEVICE int64_t block_y() const { return blockIdx.y; }
  TENDON_DEVICE int64_t block_z() const { return blockIdx.z; }
  TENDON_DEVICE uint8_t* shared() const {
    extern __shared__ __align__(16) uint8_t block_memory[];
    return block_memory;
  }
  TENDON_DEVICE void sync() const { __syncthreads(); }
  TENDON_DEVICE float shuffle_xor(float value, int mask) const {
    return __shfl_xor_sync(0xffffffffu, value, mask);
  }
  TENDON_DEVICE double shuffle_xor(double value, int mask) const {
    return __shfl_xor_sync(0xffffffffu, value, mask);
  }

  // 16 bytes from global to shared memory, behind the lane's back; `commit` closes a group of copies, `wait`
  // returns when at most `open` of the lane's groups have not arrived.
  TENDON_DEVICE void copy_async(void* to, const void* from) const {
    const auto at = static_cast<uint32_t>(__cvta_generic_to_shared(to));
    asm volatile("cp.async.cg.shared.global.L2::128B [%0], [%1], 16;" ::"r"(at), "l"(from) : "memory");
  }
  // The same, or zeros without reading; `from` must be an address all the same.
  TENDON_DEVICE void copy_async_or_zero(void* to, const void* from, bool inside) const {
    const auto at = static_cast<uint32_t>(__cvta_generic_to_shared(to));
    asm volatile("cp.async.cg.shared.global.L2::128B [%0], [%1], 16, %2;" ::"r"(at), "l"(from),
                 "r"(inside ? 16 : 0)
                 : "memory");
  }
  TENDON_DEVICE void commit() const { asm volatile("cp.async.commit_group;" ::: "memory"); }
  template <int open>
  TENDON_DEVICE void wait() const {
    asm volatile("cp.async.wait_group %0;" ::"n"(open) : "memory");
  }

  template <int channels, int rows>
  TENDON_DEVICE void multiply(float (&c)[channels][rows][4], const uint32_t (&a)[channels][4],
                              const uint32_t (&b)[rows][2]) const {
    TENDON_UNROLL
    for (int m = 0; m < channels; ++m) TENDON_UNROLL
    for (int n = 0; n < rows; ++n)
      asm volatile(
          "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, "
          "{%8, %9}, {%0, %1, %2, %3};"
          : "+f"(c[m][n][0]), "+f"(c[m][n][1]), "+f"(c[m][n][2]), "+f"(c[m][n][3])
          : "r"(a[m][0]), "r"(a[m][1]), "r"(a[m][2]), "r"(a[m][3]), "r"(b[n][0]), "r"(b[n][1]));
  }
};

#else

struct Lane {
  FiberBlock* block;
  int index;

  int thread() const { return index; }
  int threads() const { return block->threads(); }
  int64_t block_x() const { return block->place.x; }
  int64_t block_y() const { return block->place.y; }
  int64_t block_z() const { return block->place.z; }
  uint8_t* shared() const { return block->shared(); }
  void sync() const { block->sync(index); }
  float shuffle_xor(float value, int mask) const {
    uint32_t word = bits_of(value);
    return float_of(*block->exchange(index, &word, 1, index ^ mask));
  }
  double shuffle_xor(double value, int mask) const {
    uint32_t words[2];
    __builtin_memcpy(words, &value, sizeof value);
    __builtin_memcpy(&value, block->exchange(index, words, 2, index ^ mask), sizeof value);
    return value;
  }
  void copy_async(void* to, const void* from) const { block->copy_async(index, to, from); }
  void copy_async_or_zero(void* to, const void* from, bool inside) const {
    block->copy_async(index, to, inside ? from : nullptr);
  }
  void commit() const { block->commit(index); }
  template <int open>
  void wait() const {
    block->wait(index, open);
  }

  template <int channels, int rows>
  void multiply(float (&c)[channels][rows][4], const uint32_t (&a)[channels][4],
                const uint32_t (&b)[rows][2]) const {
    uint32_t mine[channels * 4 + rows * 2];
    for (int i = 0; i < channels * 4; ++i) mine[i] = a[i / 4][i % 4];
    for (int i = 0; i < rows * 2; ++i) mine[channels * 4 + i] = b[i / 2][i % 2];
    block->publish(index, mine, channels * 4 + rows * 2);
    const int lane = index % 32, g = lane / 4, t = lane % 4, warp = index - lane;
    for (int m = 0; m < channels; ++m)
      for (int n = 0; n < rows; ++n)
        for (int i = 0; i < 4; ++i) {
          const int channel = g + 8 * (i >> 1), row = 2 * t + (i & 1);
          for (int k = 0; k < 16; ++k) {
            const int holder = k % 8 / 2;
            const uint32_t* w = block->published(index, warp + channel % 8 * 4 + holder);
            const uint32_t* x = block->published(index, warp + row * 4 + holder);
            c[m][n][i] += half_of(w[m * 4 + channel / 8 + k / 8 * 2], k & 1) *
                          half_of(x[channels * 4 + n * 2 + k / 8], k & 1);
          }
        }
  }

 private:
  static uint32_t bits_of(float x) {
    uint32_t bits;
    __builtin_memcpy(&bits, &x, sizeof bits);
    return bits;
  }
  static float float_of(uint32_t bits) {
    float x;
    __builtin_memcpy(&x, &bits, sizeof x);
    return x;
  }
  // The bf16 in one half of a word.
  static float half_of(uint32_t word, int half) { return float_of(half ? word & 0xffff0000u : word << 16); }
};

#endif

// ---- What blocks do together, made of the above ----------------------------------------------------------

TENDON_DEVICE float warp_sum(const Lane& t, float value) {
  for (int mask = 16; mask > 0; mask /= 2) value += t.shuffle_xor(value, mask);
  return value;
}

// The sum over the block, for every thread. `slots`: a float per warp.
TENDON_DEVICE float block_sum(const Lane& t, float value, float* slots) {
  value = warp_sum(t, value);
  t.sync();  // the slots may still be read from the call before
  if (t.thread() % 32 == 0) slots[t.thread() / 32] = value;
  t.sync();
  float sum = 0;
  for (int warp = 0; warp < t.threads() / 32; ++warp) sum += slots[warp];
  return sum;
}

}  // namespace tendon::cuda
