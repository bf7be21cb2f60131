// Every product kernel of every instruction set of this machine against the plain loops, at awkward sizes.
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "base/memory.h"
#include "base/philox.h"
#include "kernels/kernels.h"
#include "test/check.h"
#include "test/kernels_machine.h"

namespace tendon {
namespace {

std::vector<float> normal(uint64_t stream, int64_t count) {
  std::vector<float> x(static_cast<size_t>(count));
  fill_normal(11, stream, 0, x.data(), count);
  return x;
}

struct Shape {
  Rows rows;
  int64_t n;
  int64_t groups = 0;
};

Rows linear(int64_t rows, int64_t k) {
  Rows r;
  r.batch = rows;
  r.c = r.batch_stride = r.position_stride = k;
  return r;
}

Rows conv1d(int64_t batch, int64_t length, int64_t c, int64_t taps, int64_t stride, int64_t pad) {
  Rows r;
  r.batch = batch;
  r.w = length;
  r.c = r.position_stride = c;
  r.taps_w = taps;
  r.stride_w = stride;
  r.pad_w = pad;
  r.out_w = (length + 2 * pad - taps) / stride + 1;
  r.batch_stride = length * c;
  return r;
}

Rows conv2d(int64_t batch, int64_t h, int64_t w, int64_t c, int64_t taps, int64_t stride, int64_t pad) {
  Rows r = conv1d(batch, w, c, taps, stride, pad);
  r.h = h;
  r.taps_h = taps;
  r.stride_h = stride;
  r.pad_h = pad;
  r.out_h = (h + 2 * pad - taps) / stride + 1;
  r.batch_stride = h * w * c;
  return r;
}

// Runs the way a team does: all parts of prepare, then all parts of multiply.
std::vector<float> run(const KernelTable& table, GemmArgs a, const std::vector<float>& w, int parts) {
  const GemmKernels& gemm = table.gemm[static_cast<int>(a.format)];
  Block packed(gemm.packed_bytes(a.n, a.rows.k()));
  gemm.pack(w.data(), a.n, a.rows.k(), packed.data(), {0, a.n});
  std::vector<float> out(static_cast<size_t>(a.rows.batch * a.out_batch_stride), -7.0f);
  Block scratch(gemm.scratch_bytes(a, parts));
  a.weights = packed.data();
  a.scratch = scratch.data();
  a.out = out.data();
  if (gemm.needs_prepare(a))
    for (int i = 0; i < parts; ++i) gemm.prepare(a, {i, parts});
  for (int i = 0; i < parts; ++i) gemm.multiply(a, {i, parts});
  return out;
}

enum class Tail { none, bias, all };

void compare(const KernelTable& table, WeightFormat format, const Shape& s, Tail tail, int parts) {
  if (!table.gemm[static_cast<int>(format)].available) return;
  GemmArgs a;
  a.rows = s.rows;
  a.n = s.n;
  a.format = format;
  // Strides wider than dense: what lies between rows must stay untouched.
  a.out_row_stride = s.n + 3;
  a.out_batch_stride = s.rows.per_batch() * a.out_row_stride + 5;
  std::vector<float> x = normal(1, s.rows.batch * s.rows.batch_stride);
  const bool emulated = std::strcmp(table.isa, "cuda") == 0;
  const WeightFormat activations = table.gemm[static_cast<int>(format)].activations;
  // Activations that bf16 can hold leave nothing to round, so that the products themselves are compared. CUDA
  // multiplies int8 weights by bf16 activations.
  if (activations == WeightFormat::bf16 || (emulated && format != WeightFormat::f32))
    for (float& value : x) value = std::bit_cast<float>(std::bit_cast<uint32_t>(value) & 0xffff0000u);
  const std::vector<float> w = normal(2, s.n * s.rows.k()), channel = normal(3, 4 * s.n),
                           film = normal(4, 2 * s.n * s.rows.batch),
                           residual = normal(5, s.rows.count() * s.n);
  a.rows.x = x.data();
  if (tail != Tail::none) a.epilogue.bias = channel.data();
  if (tail == Tail::all) {
    a.epilogue.groups = s.groups;
    if (s.groups > 0) {
      a.epilogue.norm_weight = channel.data() + s.n;
      a.epilogue.norm_bias = channel.data() + 2 * s.n;
    }
    a.epilogue.act = Unary::mish;
    a.epilogue.scale = film.data();
    a.epilogue.shift = film.data() + s.n;
    a.epilogue.film_stride = 2 * s.n;
    a.epilogue.residual = residual.data();
    a.epilogue.residual_batch_stride = s.rows.per_batch() * s.n;
    a.epilogue.residual_row_stride = s.n;
    a.epilogue.act_last = Unary::silu;
  }
  const std::vector<float> want = run(reference_kernels(), a, w, 1);
  const std::vector<float> got = run(table, a, w, parts);
  // A sum of k products of unit normals is about √k; f32 sums in another order differ by a few √k·2⁻²⁴ of
  // that. Activations as bytes err by half a step of max|x|/127 ≈ 4/127, uniformly: 4/127/√12 ≈ 1 % a
  // product against 1, so about 1 % of √k, of which the worst of some thousand elements lies 4–5 deviations
  // out. FiLM scales of up to 4 and the norm of few values magnify it.
  const double k = static_cast<double>(s.rows.k());
  double tolerance = 2e-6 * std::sqrt(k) + 2e-6;
  if (activations == WeightFormat::i8) tolerance = tail == Tail::all ? 0.15 : 0.06;
  // Normalised sums are about 1 whatever k is; group norm of a handful of values magnifies.
  const double floor = tail == Tail::all && s.groups > 0 ? 2.0 : std::sqrt(k) + 1;
  char label[160];
  std::snprintf(label, sizeof label,
                "%s format %d rows %lld x %lld taps %lldx%lld c %lld n %lld tail %d parts %d", table.isa,
                static_cast<int>(format), static_cast<long long>(s.rows.batch),
                static_cast<long long>(s.rows.per_batch()), static_cast<long long>(s.rows.taps_h),
                static_cast<long long>(s.rows.taps_w), static_cast<long long>(s.rows.c),
                static_cast<long long>(s.n), static_cast<int>(tail), parts);
  CHECK_NEAR(label, got.data(), want.data(), static_cast<int64_t>(want.size()), tolerance, floor);
  // The same bits into however many pieces the work is cut: a replay does not depend on threads.
  if (parts == 3 && !emulated && format == WeightFormat::f32)
    for (const int pieces : {1, 8}) {
      const std::vector<float> again = run(table, a, w, pieces);
      const bool same = std::memcmp(got.data(), again.data(), got.size() * sizeof(float)) == 0;
      if (!same) std::printf("%s: other bits in %d pieces\n", label, pieces);
      CHECK(same);
    }
}

void sweep(const std::vector<Shape>& shapes, bool with_tail) {
  for (const KernelTable* table : test::machine_tables())
    for (const WeightFormat format : {WeightFormat::f32, WeightFormat::bf16, WeightFormat::i8})
      for (const Shape& shape : shapes)
        for (const int parts : {1, 3}) {
          compare(*table, format, shape, Tail::none, parts);
          if (with_tail) compare(*table, format, shape, Tail::bias, parts);
          if (with_tail) compare(*table, format, shape, Tail::all, parts);
        }
}

// The largest products of bytes, all of one sign, over more of them than an int32 sum can hold.
TEST("kernels: int8 sums of long rows do not wrap") {
  for (const KernelTable* table : test::machine_tables()) {
    if (!table->gemm[static_cast<int>(WeightFormat::i8)].available || table == &cuda::emulated_kernels())
      continue;
    for (const int64_t k : {66'304, 70'000, 200'001})
      for (const int64_t rows : {1, 5, 40}) {
        GemmArgs a;
        a.rows = linear(rows, k);
        a.n = 3;
        a.format = WeightFormat::i8;
        a.out_row_stride = a.out_batch_stride = a.n;
        const std::vector<float> x(static_cast<size_t>(rows * k), 1.0f),
            w(static_cast<size_t>(a.n * k), 1.0f);
        a.rows.x = x.data();
        const std::vector<float> got = run(*table, a, w, 1),
                                 want(static_cast<size_t>(rows * a.n), static_cast<float>(k));
        // NEON widens bytes to f32 and adds them up there: in a long sum of equal numbers rounding goes one
        // way.
        const double tolerance = std::string(table->isa) == "neon" ? 5e-3 : 1e-5;
        CHECK_NEAR(table->isa, got.data(), want.data(), rows * a.n, tolerance, 1.0);
      }
  }
}

TEST("kernels: linear products at awkward sizes") {
  std::vector<Shape> shapes;
  for (const int64_t rows : {1, 2, 7, 13, 16, 17, 33, 65})
    for (const int64_t n : {1, 7, 31, 33, 97})
      for (const int64_t k : {1, 5, 31, 64, 257, 1031}) shapes.push_back({linear(rows, k), n});
  sweep(shapes, false);
}

TEST("kernels: products over the borders of chunks and blocks") {
  sweep({{linear(481, 131), 129}, {linear(1025, 37), 45}, {linear(70, 2050), 16}, {linear(16, 2560), 512}},
        true);
}

TEST("kernels: many rows of whole vectors, one over a tile and under, channels to either side of one") {
  sweep({{linear(33, 4), 1},
         {linear(65, 36), 129},
         {linear(130, 260), 65},
         {linear(129, 1028), 200, 1},
         {linear(37, 516), 64, 1},
         {conv1d(17, 4, 64, 5, 1, 2), 96, 8},
         {conv1d(9, 16, 12, 3, 2, 1), 136, 4},
         {conv2d(2, 9, 11, 8, 3, 1, 1), 40, 4}},
        true);
}

TEST("kernels: convolutions with the whole tail") {
  sweep({{conv1d(1, 16, 2, 5, 1, 2), 64, 8},
         {conv1d(1, 16, 40, 5, 1, 2), 96, 8},
         {conv1d(3, 8, 33, 3, 2, 1), 40, 5},
         {conv1d(17, 4, 65, 5, 1, 2), 24, 3},
         {conv1d(130, 8, 9, 3, 1, 1), 48, 4},
         {conv1d(2, 31, 7, 4, 2, 1), 33, 3},
         {conv2d(2, 9, 11, 5, 3, 1, 1), 32, 4},
         {conv2d(2, 13, 10, 3, 7, 2, 3), 17, 0},
         {conv2d(1, 40, 41, 3, 3, 1, 1), 20, 5}},
        true);
}

TEST("kernels: activations are rounded to the nearest bf16") {
  for (const KernelTable* table : test::machine_tables()) {
    if (table->gemm[static_cast<int>(WeightFormat::bf16)].activations != WeightFormat::bf16) continue;
    const std::vector<float> x = normal(6, 3 * 77), one(77 * 77);
    std::vector<float> identity = one, want = x;
    for (int i = 0; i < 77; ++i) identity[static_cast<size_t>(i * 78)] = 1;
    GemmArgs a;
    a.rows = linear(3, 77);
    a.rows.x = x.data();
    a.n = a.out_batch_stride = a.out_row_stride = 77;
    a.format = WeightFormat::bf16;
    const std::vector<float> got = run(*table, a, identity, 2);
    // 8 significant bits: half a unit in the last is 2⁻⁸ of a number just above a power of two.
    CHECK_NEAR(table->isa, got.data(), want.data(), 3 * 77, 0x1.01p-8, 1e-30);
  }
}

TEST("kernels: rows become bytes where the machine multiplies bytes, and no sum of them is cut off") {
  constexpr int64_t k = 1031;
  const float inf = std::numeric_limits<float>::infinity(), nan = std::numeric_limits<float>::quiet_NaN();
  for (const KernelTable* table : test::machine_tables()) {
    if (table == &cuda::emulated_kernels()) continue;
    const bool widens = std::strcmp(table->isa, "avx512") == 0 || std::strcmp(table->isa, "neon") == 0;
    const GemmKernels& gemm = table->gemm[static_cast<int>(WeightFormat::i8)];
    CHECK(gemm.activations == (widens ? WeightFormat::f32 : WeightFormat::i8));
    // The largest bytes of either sign against each other, nothing, and what is no number.
    std::vector<float> x(5 * k, 0.0f), w(2 * k, 1.0f);
    std::fill_n(x.begin(), k, 1.0f);
    std::fill_n(x.begin() + k, k, -1.0f);
    x[3 * k + 7] = nan, x[4 * k + 1030] = inf;
    std::fill_n(w.begin() + k, k, -1.0f);
    GemmArgs a;
    a.rows = linear(5, k);
    a.rows.x = x.data();
    a.n = a.out_row_stride = a.out_batch_stride = 2;
    a.format = WeightFormat::i8;
    const std::vector<float> got = run(*table, a, w, 1), want = {k, -k, -k, k, 0, 0};
    CHECK_NEAR(table->isa, got.data(), want.data(), 6, 1e-6, 1.0);
    for (size_t i = 6; i < 10; ++i) CHECK(!std::isfinite(got[i]));
  }
}

TEST("kernels: a layer norm over whole rows") {
  sweep({{linear(65, 64), 40, 1},
         {linear(200, 130), 97, 1},
         {linear(64, 5), 16, 1},
         {linear(33, 70), 24, 1},
         {linear(513, 96), 136, 1}},
        true);
}

TEST("kernels: columns of a wider buffer as input") {
  // x is the middle 24 of 40 channels of each position.
  Shape s{conv1d(3, 9, 24, 3, 1, 1), 33, 3};
  s.rows.position_stride = 40;
  s.rows.batch_stride = 9 * 40 + 16;
  Shape plain{linear(5, 24), 33};
  plain.rows.batch_stride = 41;
  // Many rows, whose vectors begin on borders of 16 bytes and do not.
  Shape many{conv1d(7, 9, 24, 3, 1, 1), 33, 3};
  many.rows.position_stride = 40;
  many.rows.batch_stride = 9 * 40 + 16;
  Shape uneven = many;
  uneven.rows.batch_stride += 1;
  sweep({s, plain, many, uneven}, true);
}

}  // namespace
}  // namespace tendon
