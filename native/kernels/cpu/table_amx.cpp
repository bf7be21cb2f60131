// The products of reduced weights on AMX tiles: a tile is 16 rows of 64 bytes, one instruction multiplies 16
// rows of A by 16 channels of W over 64 bytes of k. Two by two tiles of sums keep the unit busy when there
// are more than 16 rows; up to 16 rows stream weights as fast as memory gives them.
#include "kernels/cpu/gemm.h"
#include "kernels/cpu/gemm_bf16_avx512.h"
#include "kernels/cpu/gemm_i8_avx512.h"
#include "kernels/cpu/tables.h"

namespace tendon {

namespace {

// What ldtilecfg reads: eight tiles of 16 rows of 64 bytes.
struct alignas(64) TileConfig {
  uint8_t palette = 1, start_row = 0, reserved[14] = {};
  uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};
constexpr TileConfig tile_config;

// GCC's intrinsics paste the tile's number into the instruction, so a template argument will not do.
#define TENDON_START(sum, c)                                       \
  if (Format::quantised || !add) {                                 \
    _tile_zero(sum);                                               \
  } else {                                                         \
    _tile_loadd(sum, c, ldc* static_cast<int64_t>(sizeof(float))); \
  }
#define TENDON_DOT(sum, a, w)        \
  if constexpr (Format::quantised) { \
    _tile_dpbusd(sum, a, w);         \
  } else {                           \
    _tile_dpbf16ps(sum, a, w);       \
  }
#define TENDON_STORE(sum, c)                                        \
  if constexpr (Format::quantised) {                                \
    _tile_stored(sum, whole, 64);                                   \
    add_whole(whole, c, ldc, add);                                  \
  } else {                                                          \
    _tile_stored(sum, c, ldc* static_cast<int64_t>(sizeof(float))); \
  }

// Tiles 0–3 are sums, 4–5 rows of A, 6–7 weights.
template <class Format_, class Rows, int64_t k_block_>
struct TileKernel : Rows {
  using Format = Format_;
  using A = typename Format::A;
  using W = typename Format::W;
  static constexpr int rows = 32, row_align = 16;
  static constexpr int64_t k_block = k_block_;
  static constexpr int64_t k_stream = k_block_;
  static constexpr int64_t depth = 64 / static_cast<int64_t>(sizeof(A));  // k of one tile

  static void begin() { _tile_loadconfig(&tile_config); }
  static void end() { _tile_release(); }

  // Whole-number sums become floats, on top of those of earlier blocks.
  static void add_whole(const int32_t (*whole)[16], float* c, int64_t ldc, bool add) {
    for (int r = 0; r < 16; ++r) {
      const __m512 value = _mm512_cvtepi32_ps(_mm512_load_si512(whole[r]));
      float* to = c + r * ldc;
      _mm512_storeu_ps(to, add ? _mm512_add_ps(value, _mm512_loadu_ps(to)) : value);
    }
  }

  template <bool two>
  static void tile(int64_t k, const A* a, int64_t lda, const W* w, float* c, int64_t ldc, bool add,
                   const char* ahead, int64_t ahead_lines) {
    const int64_t a_stride = lda * static_cast<int64_t>(sizeof(A));
    [[maybe_unused]] alignas(64) int32_t whole[16][16];
    // The intrinsics do not tell the compiler what they read.
    asm volatile("" ::: "memory");
    TENDON_START(0, c)
    TENDON_START(1, c + 16)
    if constexpr (two) {
      TENDON_START(2, c + 16 * ldc)
      TENDON_START(3, c + 16 * ldc + 16)
    }
    for (int64_t i = 0; i < k; i += depth) {
      for (int64_t line = 0; line < ahead_lines; ++line) Avx512::prefetch(ahead + line * 64);
      ahead += ahead_lines * 64;
      _tile_loadd(6, w, 128);
      _tile_loadd(4, a + i, a_stride);
      TENDON_DOT(0, 4, 6)
      _tile_loadd(7, reinterpret_cast<const char*>(w) + 64, 128);
      TENDON_DOT(1, 4, 7)
      if constexpr (two) {
        _tile_loadd(5, a + 16 * lda + i, a_stride);
        TENDON_DOT(2, 5, 6)
        TENDON_DOT(3, 5, 7)
      }
      w += depth * Format::columns;
    }
    TENDON_STORE(0, c)
    TENDON_STORE(1, c + 16)
    if constexpr (two) {
      TENDON_STORE(2, c + 16 * ldc)
      TENDON_STORE(3, c + 16 * ldc + 16)
    }
  }

  static void run(int64_t count, int64_t k, const A* a, int64_t lda, const W* w, float* c, int64_t ldc,
                  bool add, const void* ahead, int64_t ahead_bytes) {
    const int64_t lines = ahead_bytes * depth / (k * 64);
    const char* next = static_cast<const char*>(ahead);
    if (count > 16) {
      tile<true>(k, a, lda, w, c, ldc, add, next, lines);
    } else {
      tile<false>(k, a, lda, w, c, ldc, add, next, lines);
    }
  }
};

#undef TENDON_START
#undef TENDON_DOT
#undef TENDON_STORE

using Bf16TileKernel = TileKernel<Bf16Format, Bf16Rows, 512>;
using I8TileKernel = TileKernel<I8Format, I8Rows, 1024>;

// Four sums of tiles in turn, as the tile kernels keep the unit busy.
template <bool quantised>
double peak_tiles(int64_t rounds) {
  _tile_loadconfig(&tile_config);
  for (int64_t i = 0; i < rounds / 8; ++i) {
    if constexpr (quantised) {
      _tile_dpbusd(0, 4, 6);
      _tile_dpbusd(1, 4, 7);
      _tile_dpbusd(2, 5, 6);
      _tile_dpbusd(3, 5, 7);
    } else {
      _tile_dpbf16ps(0, 4, 6);
      _tile_dpbf16ps(1, 4, 7);
      _tile_dpbf16ps(2, 5, 6);
      _tile_dpbf16ps(3, 5, 7);
    }
  }
  _tile_release();
  return 2.0 * 4 * 16 * 16 * (quantised ? 64 : 32) * static_cast<double>(rounds / 8);
}

}  // namespace

KernelTable amx_kernels() {
  KernelTable table = avx512_kernels();
  table.isa = "amx";
  table.gemm[static_cast<int>(WeightFormat::bf16)] = Gemm<Avx512, Bf16TileKernel>::kernels();
  table.gemm[static_cast<int>(WeightFormat::i8)] = Gemm<Avx512, I8TileKernel>::kernels();
  table.peak[static_cast<int>(WeightFormat::bf16)] = peak_tiles<false>;
  table.peak[static_cast<int>(WeightFormat::i8)] = peak_tiles<true>;
  return table;
}

}  // namespace tendon
