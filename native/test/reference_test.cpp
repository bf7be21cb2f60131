// The reference kernels against torch's formulas in double, written anew from the definitions, at awkward
// sizes; and bit for bit against themselves when 2 or 3 parts share the work. Tolerance: f32 sums of at most
// 200 terms of size 1 round to about 200·2⁻²⁴ ≈ 1.2e-5 of the largest; bf16 and int8 compare with weights
// rounded here.
#include <algorithm>
#include <cstring>
#include <vector>

#include "base/error.h"
#include "base/memory.h"
#include "base/philox.h"
#include "kernels/kernels.h"
#include "test/check.h"

namespace tendon {
namespace {

constexpr double tolerance = 2e-5;
using Floats = std::vector<float>;

Floats normals(uint64_t stream, int64_t count) {
  Floats x(static_cast<size_t>(count));
  fill_normal(11, stream, 0, x.data(), count);
  return x;
}

// Runs `kernel` with 1, 2 and 3 parts into `out` and checks that the bits agree.
template <class Kernel>
void run_shared(const char* label, Floats& out, Kernel kernel) {
  Floats first;
  for (int parts = 1; parts <= 3; ++parts) {
    std::fill(out.begin(), out.end(), -77.0f);
    for (int i = 0; i < parts; ++i) kernel(Part{i, parts});
    if (parts == 1) first = out;
    if (std::memcmp(first.data(), out.data(), out.size() * sizeof(float)) != 0)
      test::fail(__FILE__, __LINE__, format("%s: %d parts change the result", label, parts));
  }
}

void check(const char* label, const Floats& got, const std::vector<double>& want) {
  const Floats rounded(want.begin(), want.end());
  CHECK(got.size() == rounded.size());
  CHECK_NEAR(label, got.data(), rounded.data(), static_cast<int64_t>(got.size()), tolerance, 1.0);
}

double act(Unary f, double x) {
  if (f == Unary::mish) return x * std::tanh(std::log1p(std::exp(x)));
  if (f == Unary::silu) return x / (1 + std::exp(-x));
  if (f == Unary::relu) return std::max(x, 0.0);
  return x;
}

// W as the format keeps it.
Floats rounded_weights(const Floats& w, int64_t k, WeightFormat format) {
  Floats out = w;
  for (size_t row = 0; row < w.size(); row += k) {
    float largest = 0;
    for (int64_t i = 0; i < k; ++i) largest = std::max(largest, std::fabs(w[row + i]));
    for (int64_t i = 0; i < k; ++i) {
      if (format == WeightFormat::i8)
        out[row + i] = std::nearbyint(w[row + i] / (largest / 127)) * (largest / 127);
      if (format == WeightFormat::bf16) {
        int exponent;
        const float mantissa = std::frexp(w[row + i], &exponent);  // 8 bits of it stay
        out[row + i] = std::ldexp(std::nearbyint(mantissa * 256), exponent - 8);
      }
    }
  }
  return out;
}

struct Case {
  const char* label;
  int64_t batch, h, w, c, taps_h, taps_w, stride, pad, n, groups;
};

constexpr Case products[] = {
    {"linear 1x1x1", 1, 1, 1, 1, 1, 1, 1, 0, 1, 0},
    {"linear", 3, 1, 5, 17, 1, 1, 1, 0, 33, 0},
    {"linear with group norm", 2, 1, 5, 17, 1, 1, 1, 0, 34, 2},
    {"conv1d", 2, 1, 7, 5, 1, 3, 1, 1, 31, 0},
    {"conv1d stride 2", 3, 1, 9, 4, 1, 3, 2, 1, 6, 3},
    {"conv1d all padding", 1, 1, 1, 3, 1, 5, 1, 2, 4, 4},
    {"conv1d wide groups", 1, 1, 4, 2, 1, 5, 1, 2, 70, 2},
    {"conv2d", 2, 5, 6, 3, 3, 2, 2, 1, 7, 0},
};

void check_product(const Case& s, WeightFormat kind, bool full) {
  const GemmKernels& gemm = reference_kernels().gemm[static_cast<int>(kind)];
  GemmArgs a;
  Rows& r = a.rows;
  r.batch = s.batch, r.h = s.h, r.w = s.w, r.c = s.c, r.taps_h = s.taps_h, r.taps_w = s.taps_w;
  r.stride_h = s.h > 1 ? s.stride : 1, r.stride_w = s.stride;
  r.pad_h = s.h > 1 ? s.pad : 0, r.pad_w = s.pad;
  r.out_h = (s.h + 2 * r.pad_h - s.taps_h) / r.stride_h + 1;
  r.out_w = (s.w + 2 * r.pad_w - s.taps_w) / r.stride_w + 1;
  r.position_stride = s.c + 1, r.batch_stride = s.h * s.w * (s.c + 1) + 3;
  const int64_t k = r.k(), rows = r.per_batch(), n = s.n;
  const Floats x = normals(1, s.batch * r.batch_stride), weights = normals(2, n * k);
  const Floats bias = normals(3, n), norm_w = normals(4, n), norm_b = normals(5, n);
  const Floats film = normals(6, 2 * n), residual = normals(7, rows * n);
  r.x = x.data();
  a.n = n, a.format = kind;
  Block packed(gemm.packed_bytes(n, k));
  gemm.pack(weights.data(), n, k, packed.data(), {0, n});
  a.weights = packed.data();
  Epilogue& e = a.epilogue;
  e.groups = s.groups;
  if (full) {
    e.bias = bias.data(), e.norm_weight = norm_w.data(), e.norm_bias = norm_b.data();
    e.act = Unary::mish, e.act_last = Unary::relu;
    e.scale = film.data(), e.shift = film.data() + n, e.film_div = s.batch;
    e.residual = residual.data(), e.residual_div = s.batch, e.residual_row_stride = n;
  }
  a.out_row_stride = n, a.out_batch_stride = rows * n;
  Block scratch(gemm.scratch_bytes(a, 3));
  a.scratch = scratch.data();
  Floats out(static_cast<size_t>(s.batch * rows * n));
  a.out = out.data();
  run_shared(s.label, out, [&](Part part) {
    if (gemm.needs_prepare(a)) gemm.prepare(a, part);
    gemm.multiply(a, part);
  });

  const Floats w = rounded_weights(weights, k, kind);
  std::vector<double> want(out.size());
  for (int64_t b = 0; b < s.batch; ++b) {
    for (int64_t p = 0; p < rows; ++p)
      for (int64_t o = 0; o < n; ++o) {
        double sum = full ? bias[o] : 0;
        for (int64_t i = 0; i < k; ++i) {
          const int64_t channel = i % s.c, tap = i / s.c;
          const int64_t y = p / r.out_w * r.stride_h - r.pad_h + tap / s.taps_w;
          const int64_t z = p % r.out_w * r.stride_w - r.pad_w + tap % s.taps_w;
          if (y >= 0 && y < s.h && z >= 0 && z < s.w)
            sum += static_cast<double>(x[b * r.batch_stride + (y * s.w + z) * r.position_stride + channel]) *
                   w[o * k + i];
        }
        want[(b * rows + p) * n + o] = sum;
      }
    for (int64_t g = 0; g < s.groups; ++g) {
      const int64_t width = n / s.groups;
      double mean = 0, variance = 0;
      for (int64_t i = 0; i < rows * width; ++i)
        mean += want[(b * rows + i / width) * n + g * width + i % width] / (rows * width);
      for (int64_t i = 0; i < rows * width; ++i)
        variance +=
            std::pow(want[(b * rows + i / width) * n + g * width + i % width] - mean, 2) / (rows * width);
      for (int64_t i = 0; i < rows * width; ++i) {
        const int64_t o = g * width + i % width;
        double& v = want[(b * rows + i / width) * n + o];
        v = (v - mean) / std::sqrt(variance + e.eps);
        if (full) v = v * norm_w[o] + norm_b[o];
      }
    }
    if (!full) continue;
    for (int64_t i = 0; i < rows * n; ++i) {
      double& v = want[b * rows * n + i];
      v = std::max(0.0, act(Unary::mish, v) * film[i % n] + film[n + i % n] + residual[i]);
    }
  }
  check(s.label, out, want);
}

TEST("reference: products and convolutions with every epilogue") {
  for (const Case& s : products)
    for (WeightFormat kind : {WeightFormat::f32, WeightFormat::bf16, WeightFormat::i8})
      for (bool full : {false, true}) check_product(s, kind, full);
}

TEST("reference: int8 keeps zeros and survives NaN") {
  const GemmKernels& gemm = reference_kernels().gemm[static_cast<int>(WeightFormat::i8)];
  const Floats w = {0, 0, NAN, 1, 1e-44f, 0};
  Block packed(gemm.packed_bytes(3, 2));
  gemm.pack(w.data(), 3, 2, packed.data(), {0, 3});
  const Floats x = {1, 1};
  Floats out(3);
  GemmArgs a;
  a.rows.x = x.data(), a.rows.c = 2, a.rows.batch_stride = a.rows.position_stride = 2;
  a.n = 3, a.format = WeightFormat::i8, a.weights = packed.data(), a.out = out.data();
  a.out_batch_stride = a.out_row_stride = 3;
  gemm.multiply(a, {0, 1});
  CHECK(out[0] == 0 && std::fabs(out[1] - 1) < 1e-6 && out[2] == 0);
}

TEST("reference: norms") {
  const int64_t rows = 5, n = 37;
  const Floats x = normals(1, rows * n), w = normals(2, n), b = normals(3, n);
  for (Norm kind : {Norm::layer, Norm::rms}) {
    Floats out(x.size());
    NormArgs a{kind, x.data(), rows, n, 1e-5f, w.data(), b.data(), Unary::silu, out.data()};
    run_shared("norm", out, [&](Part p) { reference_kernels().norm(a, p); });
    std::vector<double> want(x.size());
    for (int64_t i = 0; i < rows; ++i) {
      double mean = 0, square = 0;
      for (int64_t j = 0; j < n; ++j) mean += kind == Norm::layer ? x[i * n + j] / static_cast<double>(n) : 0;
      for (int64_t j = 0; j < n; ++j) square += std::pow(x[i * n + j] - mean, 2) / n;
      for (int64_t j = 0; j < n; ++j)
        want[i * n + j] = act(Unary::silu, (x[i * n + j] - mean) / std::sqrt(square + 1e-5) * w[j] + b[j]);
    }
    check("norm", out, want);
  }
}

TEST("reference: group norm") {
  const int64_t batch = 2, positions = 3, channels = 10, groups = 5;
  const Floats x = normals(1, batch * positions * channels), w = normals(2, channels);
  Floats out(x.size());
  GroupNormArgs a{x.data(), batch,    positions, channels,    groups,
                  1e-5f,    w.data(), nullptr,   Unary::relu, out.data()};
  run_shared("group_norm", out, [&](Part p) { reference_kernels().group_norm(a, p); });
  std::vector<double> want(x.size());
  for (int64_t b = 0; b < batch; ++b)
    for (int64_t g = 0; g < groups; ++g) {
      std::vector<int64_t> members;
      for (int64_t i = 0; i < positions * channels; ++i)
        if (i % channels / (channels / groups) == g) members.push_back(b * positions * channels + i);
      double mean = 0, variance = 0;
      for (int64_t i : members) mean += x[i] / static_cast<double>(members.size());
      for (int64_t i : members) variance += std::pow(x[i] - mean, 2) / static_cast<double>(members.size());
      for (int64_t i : members)
        want[i] = std::max(0.0, (x[i] - mean) / std::sqrt(variance + 1e-5) * w[i % channels]);
    }
  check("group_norm", out, want);
}

TEST("reference: softmax and attention, with a mask and shared keys") {
  const int64_t batch = 4, q_len = 3, k_len = 7, heads = 2, d = 5, width = heads * d;
  const Floats q = normals(1, batch * q_len * width), k = normals(2, 2 * k_len * width);
  const Floats v = normals(3, k_len * width);
  Floats mask(q_len * k_len);
  for (int64_t i = 0; i < q_len; ++i)
    for (int64_t j = 0; j < k_len; ++j) mask[i * k_len + j] = j > i + 2 ? -INFINITY : 0;
  Floats out(static_cast<size_t>(batch * q_len * width));
  AttentionArgs a{q.data(),      k.data(),    v.data(),  batch,         q_len, k_len, heads,         d,
                  q_len * width, width,       2,         k_len * width, width, batch, k_len * width, width,
                  0.4f,          mask.data(), out.data()};
  run_shared("attention", out, [&](Part p) { reference_kernels().attention(a, p); });
  std::vector<double> want(out.size());
  for (int64_t b = 0; b < batch; ++b)
    for (int64_t i = 0; i < q_len; ++i)
      for (int64_t h = 0; h < heads; ++h) {
        std::vector<double> p(k_len);
        double sum = 0;
        for (int64_t j = 0; j < k_len; ++j) {
          double s = 0;
          for (int64_t e = 0; e < d; ++e)
            s += static_cast<double>(q[(b * q_len + i) * width + h * d + e]) *
                 k[(b / 2 * k_len + j) * width + h * d + e];
          sum += p[j] = j > i + 2 ? 0 : std::exp(s * 0.4f);
        }
        for (int64_t j = 0; j < k_len; ++j)
          for (int64_t e = 0; e < d; ++e)
            want[(b * q_len + i) * width + h * d + e] += p[j] / sum * v[j * width + h * d + e];
      }
  check("attention", out, want);

  Floats soft(k.size());
  SoftmaxArgs s{k.data(), 2 * k_len, width, soft.data()};
  run_shared("softmax", soft, [&](Part p) { reference_kernels().softmax(s, p); });
  std::vector<double> shares(soft.size());
  for (size_t row = 0; row < shares.size(); row += width) {
    double sum = 0;
    for (int64_t i = 0; i < width; ++i) sum += std::exp(static_cast<double>(k[row + i]));
    for (int64_t i = 0; i < width; ++i) shares[row + i] = std::exp(static_cast<double>(k[row + i])) / sum;
  }
  check("softmax", soft, shares);
}

TEST("reference: matmul, reduce, gather and max pooling") {
  const KernelTable& t = reference_kernels();
  const Floats x = normals(1, 4 * 3 * 5), y = normals(2, 2 * 5 * 7);
  Floats out(4 * 3 * 7);
  MatmulArgs m{x.data(), y.data(), 4, 3, 7, 5, 1, 2, out.data()};
  run_shared("matmul", out, [&](Part p) { t.matmul(m, p); });
  std::vector<double> want(out.size());
  for (int64_t i = 0; i < 4 * 3 * 7; ++i)
    for (int64_t k = 0; k < 5; ++k)
      want[i] += static_cast<double>(x[i / 7 * 5 + k]) * y[i / 42 * 35 + k * 7 + i % 7];
  check("matmul", out, want);

  for (Reduce op : {Reduce::sum, Reduce::mean, Reduce::max, Reduce::min, Reduce::variance}) {
    Floats r(4 * 5);
    ReduceArgs a{op, x.data(), 4, 3, 5, r.data()};
    run_shared("reduce", r, [&](Part p) { t.reduce(a, p); });
    std::vector<double> wanted;
    for (int64_t i = 0; i < 20; ++i) {
      const double u = x[i / 5 * 15 + i % 5], v = x[i / 5 * 15 + 5 + i % 5], w = x[i / 5 * 15 + 10 + i % 5];
      const double mean = (u + v + w) / 3;
      wanted.push_back(op == Reduce::sum    ? u + v + w
                       : op == Reduce::mean ? mean
                       : op == Reduce::max  ? std::max({u, v, w})
                       : op == Reduce::min
                           ? std::min({u, v, w})
                           : ((u - mean) * (u - mean) + (v - mean) * (v - mean) + (w - mean) * (w - mean)) /
                                 3);
    }
    check("reduce", r, wanted);
  }

  const Floats index = {0, 1.6f, -3, 99, NAN, 2};
  Floats g(6 * 5);
  GatherArgs ga{x.data(), 4, 5, index.data(), 6, g.data()};
  run_shared("gather", g, [&](Part p) { t.gather(ga, p); });
  const int64_t rows[] = {0, 2, 0, 3, 0, 2};
  for (int64_t i = 0; i < 30; ++i) CHECK(g[i] == x[rows[i / 5] * 5 + i % 5]);

  const Floats image = {1, 2, 3, 4, 5, 6, -7, -8, -9};  // 3×3, one channel
  Floats pooled(4);
  MaxPoolArgs mp;
  mp.rows.x = image.data(), mp.rows.h = mp.rows.w = 3, mp.rows.taps_h = mp.rows.taps_w = 3;
  mp.rows.stride_h = mp.rows.stride_w = 2, mp.rows.pad_h = mp.rows.pad_w = 1;
  mp.rows.out_h = mp.rows.out_w = 2, mp.rows.position_stride = 1, mp.rows.batch_stride = 9;
  mp.out = pooled.data();
  run_shared("max_pool", pooled, [&](Part p) { t.max_pool(mp, p); });
  CHECK(pooled == Floats({5, 6, 5, 6}));
}

TEST("reference: rotary position embedding turns pairs of a head's halves") {
  const int64_t batch = 4, positions = 3, heads = 2, d = 6, width = heads * d;
  const Floats x = normals(1, batch * positions * width), position = {0, 1, 5, 2, 7, 11};
  Floats out(x.size());
  RopeArgs a{.batch = batch, .positions = positions, .heads = heads, .d = d, .position_div = 2, .base = 100};
  a.x = x.data(), a.position = position.data(), a.out = out.data();
  run_shared("rope", out, [&](Part p) { reference_kernels().rope(a, p); });
  std::vector<double> want(out.size());
  for (int64_t row = 0; row < batch * positions; ++row)
    for (int64_t h = 0; h < heads; ++h)
      for (int64_t k = 0; k < d / 2; ++k) {
        const double turn = position[row / positions / 2 * positions + row % positions] *
                            std::pow(100.0, -2.0 * static_cast<double>(k) / static_cast<double>(d));
        const int64_t at = row * width + h * d + k;
        const double first = x[at], second = x[at + d / 2];
        want[at] = first * std::cos(turn) - second * std::sin(turn);
        want[at + d / 2] = second * std::cos(turn) + first * std::sin(turn);
      }
  check("rope", out, want);
}

TEST("reference: elementwise functions, broadcast and strided copies") {
  const KernelTable& t = reference_kernels();
  const Floats x = {-2, -0.5f, 0, 0.5f, 2, NAN};
  const struct {
    Unary f;
    double at[5];
  } values[] = {
      // torch 1.13, float64, at −2, −0.5, 0, 0.5, 2
      {Unary::relu, {0, 0, 0, 0.5, 2}},
      {Unary::gelu, {-0.04550026, -0.15426877, 0, 0.34573123, 1.95449974}},
      {Unary::gelu_tanh, {-0.04540231, -0.15428599, 0, 0.34571401, 1.95459769}},
      {Unary::silu, {-0.23840584, -0.18877033, 0, 0.31122967, 1.76159416}},
      {Unary::mish, {-0.25250148, -0.22074377, 0, 0.37524521, 1.94395896}},
      {Unary::elu, {-0.86466472, -0.39346934, 0, 0.5, 2}},
      {Unary::softplus, {0.12692801, 0.47407698, 0.69314718, 0.97407698, 2.12692801}},
      {Unary::symexp, {-6.3890561, -0.64872127, 0, 0.64872127, 6.3890561}},
      {Unary::erf, {-0.99532227, -0.52049988, 0, 0.52049988, 0.99532227}},
  };
  for (const auto& v : values) {
    Floats out(6);
    UnaryArgs a{v.f, x.data(), out.data(), 6};
    run_shared("unary", out, [&](Part p) { t.unary(a, p); });
    CHECK(std::isnan(out[5]));
    out.pop_back();
    check("unary", out, std::vector<double>(v.at, v.at + 5));
  }

  const Floats a = normals(1, 4 * 3 * 5), b = normals(2, 2 * 5);
  Floats out(a.size());
  // b serves blocks of two batch rows and every position.
  BinaryArgs args{
      Binary::sub, {4, 1, 3, 5}, {a.data(), 1, {15, 15, 5, 1}}, {b.data(), 2, {5, 0, 0, 1}}, out.data()};
  run_shared("binary", out, [&](Part p) { t.binary(args, p); });
  for (int64_t i = 0; i < 60; ++i) CHECK(out[i] == a[i] - b[i / 30 * 5 + i % 5]);
  // (4, 3, 5) to (4, 5, 3)
  CopyArgs copy{{4, 3, 1, 5}, {a.data(), 1, {15, 5, 0, 1}}, out.data(), {15, 1, 0, 3}};
  run_shared("copy", out, [&](Part p) { t.copy(copy, p); });
  for (int64_t i = 0; i < 60; ++i) CHECK(out[i / 15 * 15 + i % 5 * 3 + i / 5 % 3] == a[i]);
  AffineArgs affine{a.data(), 2, -1, out.data(), 60};
  run_shared("affine", out, [&](Part p) { t.affine(affine, p); });
  for (int64_t i = 0; i < 60; ++i) CHECK(out[i] == a[i] * 2 - 1);
}

}  // namespace
}  // namespace tendon
