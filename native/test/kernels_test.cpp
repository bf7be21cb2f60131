// Every other kernel of every instruction set of this machine against the plain loops, at awkward sizes: one,
// primes, one over a vector.
#include "kernels/kernels.h"

#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/philox.h"
#include "test/check.h"
#include "test/kernels_machine.h"

namespace tendon {
namespace {

constexpr int64_t sizes[] = {1, 2, 7, 8, 16, 17, 31, 33, 64, 65, 131, 257};

std::vector<float> normal(uint64_t stream, int64_t count, float scale = 1) {
  std::vector<float> x(static_cast<size_t>(count));
  fill_normal(12, stream, 0, x.data(), count);
  for (float& v : x) v *= scale;
  return x;
}

// Runs all parts of the table's kernel and the plain one, and compares.
template <class Args>
void compare(const KernelTable& table, void (*KernelTable::*kernel)(const Args&, Part), Args args,
             int64_t count, double relative, double floor, const std::string& what) {
  for (const int parts : {1, 3}) {
    std::vector<float> got(static_cast<size_t>(count), -7), want(got);
    args.out = want.data();
    (reference_kernels().*kernel)(args, {0, 1});
    args.out = got.data();
    for (int i = 0; i < parts; ++i) (table.*kernel)(args, {i, parts});
    CHECK_NEAR((std::string(table.isa) + " " + what).c_str(), got.data(), want.data(), count, relative,
               floor);
    if (parts == 1 || &table == &cuda::emulated_kernels()) continue;  // whose parts are multiprocessors
    std::vector<float> whole(static_cast<size_t>(count), -7);
    args.out = whole.data();
    (table.*kernel)(args, {0, 1});
    CHECK(std::memcmp(whole.data(), got.data(), got.size() * sizeof(float)) == 0);  // in any pieces
  }
}

TEST("kernels: functions of one argument") {
  // Every float of a coarse walk over the range plus what lies at its ends. Relative error: a few units in
  // the last place of the polynomials and of the plain loops themselves; gelu and the tails of sigmoid and
  // tanh cancel, so the floor is one.
  std::vector<float> x;
  for (int i = -100000; i <= 100000; ++i) x.push_back(static_cast<float>(i) * 1.03e-3f);
  for (int i = -126; i < 127; ++i) x.push_back(std::ldexp(1.37f, i)), x.push_back(std::ldexp(-1.37f, i));
  const float infinity = std::numeric_limits<float>::infinity();
  for (const float end : {0.0f, -0.0f, infinity, -infinity, std::nanf("")}) x.push_back(end);
  const int64_t count = static_cast<int64_t>(x.size());
  for (const KernelTable* table : test::machine_tables())
    for (int op = 0; op < static_cast<int>(Unary::count); ++op) {
      const Unary f = static_cast<Unary>(op);
      UnaryArgs a{f, x.data(), nullptr, count};
      const bool cancels = f == Unary::gelu || f == Unary::gelu_tanh;
      const bool grows = f == Unary::exp || f == Unary::symexp;
      // The plain mish, silu and sigmoid leave the normal range near −87, where ours do too but elsewhere.
      compare(*table, &KernelTable::unary, a, count,
              grows     ? 1e-6
              : cancels ? 8e-7
                        : 6e-7,
              cancels ? 1.0 : 1e-30, "unary " + std::to_string(op));
    }
}

TEST("kernels: functions of two arguments with broadcast") {
  for (const KernelTable* table : test::machine_tables())
    for (int op = 0; op < static_cast<int>(Binary::count); ++op)
      for (const int64_t n : sizes) {
        std::vector<float> x = normal(1, 4 * 3 * 2 * n), y = normal(2, 4 * 3 * 2 * n);
        x[0] = std::nanf("");
        y[static_cast<size_t>(n)] = std::nanf("");
        const Operand dense{x.data(), 1, {6 * n, 2 * n, n, 1}}, other{y.data(), 1, {6 * n, 2 * n, n, 1}};
        const Operand row{y.data(), 1, {0, 0, 0, 1}}, column{y.data(), 1, {6, 2, 1, 0}};
        const Operand blocks{y.data(), 2, {6 * n, 2 * n, n, 1}}, one{y.data(), 1, {0, 0, 0, 0}};
        const Operand far{y.data(), 4, {24 * n, 1, 3, 6}};
        for (const Operand& b : {other, row, column, blocks, one, far}) {
          BinaryArgs a{static_cast<Binary>(op), {4, 3, 2, n}, dense, b, nullptr};
          compare(*table, &KernelTable::binary, a, 24 * n, 1e-7, 1e-30, "binary " + std::to_string(op));
          BinaryArgs turned{static_cast<Binary>(op), {4, 3, 2, n}, b, dense, nullptr};
          compare(*table, &KernelTable::binary, turned, 24 * n, 1e-7, 1e-30, "turned " + std::to_string(op));
        }
      }
}

TEST("kernels: copies, permutations and affine") {
  for (const KernelTable* table : test::machine_tables())
    for (const int64_t n : sizes) {
      const std::vector<float> x = normal(3, 4 * 3 * 2 * n);
      const Operand dense{x.data(), 1, {6 * n, 2 * n, n, 1}}, turned{x.data(), 1, {6 * n, n, 3 * n, 1}};
      const Operand transposed{x.data(), 1, {6 * n, 1, 3, 6}}, blocks{x.data(), 2, {6 * n, 2 * n, n, 1}};
      for (const Operand& from : {dense, turned, transposed, blocks}) {
        CopyArgs a{{4, 3, 2, n}, from, nullptr, {6 * n, 2 * n, n, 1}};
        compare(*table, &KernelTable::copy, a, 24 * n, 0, 1, "copy");
        CopyArgs wide{{4, 3, 2, n}, from, nullptr, {6 * (n + 2), 2 * (n + 2), n + 2, 1}};
        compare(*table, &KernelTable::copy, wide, 24 * (n + 2), 0, 1, "copy to wider rows");
      }
      AffineArgs a{x.data(), 1.7f, -0.3f, nullptr, 24 * n};
      // Fused against twice rounded: one unit in the last place of the larger term.
      compare(*table, &KernelTable::affine, a, 24 * n, 3e-7, 0.3, "affine");
    }
}

TEST("kernels: norms, softmax and reductions") {
  // Sums of n terms in another order: n·2⁻²⁴ at the very most, in practice √n; a norm divides by a deviation
  // that for few terms is small.
  for (const KernelTable* table : test::machine_tables())
    for (const int64_t n : sizes) {
      const std::vector<float> x = normal(4, 7 * 3 * n), w = normal(5, 2 * n);
      for (const Norm kind : {Norm::layer, Norm::rms}) {
        compare(*table, &KernelTable::norm,
                NormArgs{kind, x.data(), 21, n, 1e-5f, w.data(), w.data() + n, Unary::mish, nullptr}, 21 * n,
                2e-5, 1, "norm");
        compare(*table, &KernelTable::norm,
                NormArgs{kind, x.data(), 21, n, 1e-5f, nullptr, nullptr, Unary::none, nullptr}, 21 * n, 2e-5,
                1, "norm");
      }
      compare(*table, &KernelTable::softmax, SoftmaxArgs{x.data(), 21, n, nullptr}, 21 * n, 2e-6, 1e-6,
              "softmax");
      for (int op = 0; op <= static_cast<int>(Reduce::variance); ++op) {
        compare(*table, &KernelTable::reduce,
                ReduceArgs{static_cast<Reduce>(op), x.data(), 21, n, 1, nullptr}, 21, 4e-6, 1, "reduce rows");
        compare(*table, &KernelTable::reduce, ReduceArgs{static_cast<Reduce>(op), x.data(), 7, 3, n, nullptr},
                7 * n, 2e-6, 1, "reduce columns");
        compare(*table, &KernelTable::reduce,
                ReduceArgs{static_cast<Reduce>(op), x.data(), 1, 21, n, nullptr}, n, 2e-6, 1,
                "reduce columns of one");
      }
    }
}

TEST("kernels: group norm") {
  for (const KernelTable* table : test::machine_tables())
    for (const int64_t positions : {1, 4, 17})
      for (const int64_t width : {1, 3, 8, 17, 64}) {
        const std::vector<float> x = normal(6, 3 * positions * 4 * width), w = normal(7, 8 * width);
        GroupNormArgs a{x.data(),    3,      positions, 4 * width, 4, 1e-5f, w.data(), w.data() + 4 * width,
                        Unary::silu, nullptr};
        compare(*table, &KernelTable::group_norm, a, 12 * positions * width, 2e-5, 1, "group norm");
      }
}

// q, k and v are columns of one merged product; k and v serve blocks of two batch rows.
void compare_attention(const KernelTable& table, int64_t queries, int64_t keys, int64_t head_dim) {
  const float hidden = -std::numeric_limits<float>::infinity();
  const int64_t heads = 3, width = heads * head_dim;
  const std::vector<float> q = normal(8, 4 * queries * width), kv = normal(9, 2 * keys * 2 * width);
  std::vector<float> causal(static_cast<size_t>(queries * keys), 0.0f), late = causal;
  for (int64_t i = 0; i < queries; ++i)
    for (int64_t j = 0; j < keys; ++j) {
      if (j > i) causal[static_cast<size_t>(i * keys + j)] = hidden;
      if (j < i && j < keys - 1) late[static_cast<size_t>(i * keys + j)] = hidden;
    }
  AttentionArgs a{};
  a.q = q.data(), a.k = kv.data(), a.v = kv.data() + width;
  a.batch = 4, a.q_len = queries, a.k_len = keys, a.heads = heads, a.head_dim = head_dim;
  a.q_batch_stride = queries * width, a.q_row_stride = width;
  a.k_div = a.v_div = 2;
  a.k_batch_stride = a.v_batch_stride = keys * 2 * width;
  a.k_row_stride = a.v_row_stride = 2 * width;
  a.scale = 1.0f / std::sqrt(static_cast<float>(head_dim));
  for (const float* m : {static_cast<const float*>(nullptr), static_cast<const float*>(causal.data()),
                         static_cast<const float*>(late.data())}) {
    a.mask = m;
    // Weights sum to one; scores of √head_dim terms err by a few 2⁻²⁴ each.
    compare(table, &KernelTable::attention, a, 4 * queries * width, 4e-6, 1, "attention");
  }
}

TEST("kernels: attention") {
  for (const KernelTable* table : test::machine_tables())
    for (const int64_t head_dim : {1, 8, 33, 64, 80})
      for (const int64_t keys : {1, 5, 16, 67, 128, 131}) {
        // A warp's fibers add up slowly: the sizes at which the CUDA kernel does something new, which has a
        // block of its own for every query.
        const bool emulated = table == &cuda::emulated_kernels();
        if (emulated && (head_dim == 8 || head_dim == 64 || keys == 16 || keys == 67)) continue;
        compare_attention(*table, emulated ? 2 : 7, keys, head_dim);
        if (!emulated) compare_attention(*table, 29, keys, head_dim);
      }
}

TEST("kernels: attention of many queries, in more than one chunk") {
  for (const KernelTable* table : test::machine_tables()) {
    if (table == &cuda::emulated_kernels()) continue;
    for (const int64_t head_dim : {33, 64, 128, 129})
      for (const int64_t keys : {63, 65, 131}) compare_attention(*table, 193, keys, head_dim);
  }
}

TEST("kernels: rotary position embedding") {
  for (const KernelTable* table : test::machine_tables())
    for (const int64_t d : {2, 10, 64, 514}) {
      const std::vector<float> x = normal(8, 4 * 3 * 2 * d), position = {0, 1, 77.5f, 3, -2, 900};
      RopeArgs a{.batch = 4, .positions = 3, .heads = 2, .d = d, .position_div = 2, .base = 10000};
      a.x = x.data(), a.position = position.data();
      // Two products of numbers of a few units, each rounded to 2⁻²⁴; angles of up to 900 are off by
      // 900·2⁻²⁴.
      compare(*table, &KernelTable::rope, a, 4 * 3 * 2 * d, 3e-4, 1, "rope");
    }
}

TEST("kernels: products of activations and max pooling") {
  for (const KernelTable* table : test::machine_tables())
    for (const int64_t n : sizes) {
      const std::vector<float> x = normal(10, 4 * 5 * 33), y = normal(11, 2 * 33 * n);
      compare(*table, &KernelTable::matmul, MatmulArgs{x.data(), y.data(), 4, 5, n, 33, 1, 2, nullptr},
              20 * n, 4e-6, 6, "matmul");
      MaxPoolArgs a{};
      const std::vector<float> image = normal(12, 2 * 9 * 7 * n);
      a.rows.x = image.data();
      a.rows.batch = 2, a.rows.h = 9, a.rows.w = 7, a.rows.c = a.rows.position_stride = n;
      a.rows.taps_h = a.rows.taps_w = 3, a.rows.stride_h = a.rows.stride_w = 2;
      a.rows.pad_h = a.rows.pad_w = 1, a.rows.out_h = 5, a.rows.out_w = 4;
      a.rows.batch_stride = 9 * 7 * n;
      compare(*table, &KernelTable::max_pool, a, 2 * 20 * n, 0, 1, "max pool");
    }
}

TEST("kernels: TENDON_ISA names are checked") {
  CHECK(std::strcmp(select_kernels("reference").isa, "reference") == 0);
  CHECK_THROWS(select_kernels("sse9"), "config_invalid");
}

}  // namespace
}  // namespace tendon
