// Attention. Many queries go through the same innermost product as matrix products do, a block of keys at a
// time, the sums so far rescaled to the largest score yet (Milakov and Gimelshein 2018, "Online normalizer
// calculation for softmax"); a few queries are taken one by one.
#pragma once

#include "kernels/cpu/gemm_dot.h"
#include "kernels/cpu/norm.h"

namespace tendon {
namespace {

template <class S>
struct Attention {
  using F = typename S::F;
  using Product = DotKernel<S, WidenStep<S, F32Format<S>>>;

  static constexpr int64_t columns = Product::Format::columns;
  static constexpr int64_t block_keys = 64;  // of one block: their scores and values stay in the first cache
  static constexpr int64_t widest_head = 128;
  static constexpr int64_t held_sums = 10240;        // of one chunk of queries, in the second cache
  static constexpr int64_t few = 2 * Product::rows;  // queries that do not pay for packing their keys
  static constexpr int64_t most_keys = 2048;         // scores of a query taken alone, on the stack

  static void run(const AttentionArgs& a, Part part) {
    if (a.q_len >= few && a.head_dim <= widest_head) return blocks(a, part);
    if (a.k_len > most_keys) return reference_kernels().attention(a, part);
    one_by_one(a, part);
  }

  // ---- Many queries ----

  // What one chunk of queries of one head works in.
  struct Chunk {
    alignas(64) float keys[block_keys * widest_head];    // panels of keys: [dim][key of the panel]
    alignas(64) float values[block_keys * widest_head];  // panels of dims: [key][dim of the panel]
    alignas(64) float scores[Product::rows * block_keys];
    alignas(64) float sums[held_sums];
    float top[held_sums / 16], total[held_sums / 16];  // by query
  };

  static void blocks(const AttentionArgs& a, Part part) {
    const int64_t width = round_up(a.head_dim, columns);
    const int64_t chunks = ceil_div(a.q_len, held_sums / width), length = ceil_div(a.q_len, chunks);
    Chunk chunk;
    const Range mine = share(a.batch * a.heads * chunks, 1, part);
    for (int64_t unit = mine.begin; unit < mine.end; ++unit) {
      const int64_t first = unit % chunks * length, h = unit / chunks % a.heads, b = unit / chunks / a.heads;
      const int64_t queries = lesser(length, a.q_len - first);
      const float* q = a.q + b * a.q_batch_stride + first * a.q_row_stride + h * a.head_dim;
      const float* k = a.k + b / a.k_div * a.k_batch_stride + h * a.head_dim;
      const float* v = a.v + b / a.v_div * a.v_batch_stride + h * a.head_dim;
      for (int64_t at = 0; at < a.k_len; at += block_keys) {
        const int64_t keys = lesser(block_keys, a.k_len - at);
        pack_keys(k + at * a.k_row_stride, a.k_row_stride, keys, a.head_dim, chunk.keys);
        pack_values(v + at * a.v_row_stride, a.v_row_stride, keys, a.head_dim, chunk.values);
        for (int64_t i = 0; i < queries; i += Product::rows) {
          const int64_t rows = lesser(Product::rows, queries - i);
          product(rows, a.head_dim, q + i * a.q_row_stride, a.q_row_stride, chunk.keys, keys, chunk.scores,
                  block_keys, false);
          for (int64_t r = 0; r < rows; ++r) {
            const float* mask = a.mask ? a.mask + (first + i + r) * a.k_len + at : nullptr;
            weigh(chunk, i + r, chunk.scores + r * block_keys, mask, a.scale, keys, width, at == 0);
          }
          product(rows, keys, chunk.scores, block_keys, chunk.values, a.head_dim, chunk.sums + i * width,
                  width, at > 0);
        }
      }
      for (int64_t i = 0; i < queries; ++i) {
        const F total = S::set(chunk.total[i]);
        const float* sum = chunk.sums + i * width;
        float* out = a.out + ((b * a.q_len + first + i) * a.heads + h) * a.head_dim;
        for_vectors<S>(a.head_dim, [&](auto load, auto store) { store(out, S::div(load(sum), total)); });
      }
    }
  }

  // c(rows, n) (+)= x(rows, k) · panels
  static void product(int64_t rows, int64_t k, const float* x, int64_t x_stride, const float* panels,
                      int64_t n, float* c, int64_t c_stride, bool add) {
    for (int64_t at = 0; at < n; at += columns, panels += k * columns)
      Product::run(rows, k, x, x_stride, panels, c + at, c_stride, add, panels, 0);
  }

  static void pack_keys(const float* k, int64_t stride, int64_t keys, int64_t dim, float* to) {
    for (int64_t at = 0; at < keys; at += columns, to += dim * columns)
      for (int64_t j = 0; j < columns; ++j)
        for (int64_t d = 0; d < dim; ++d) to[d * columns + j] = at + j < keys ? k[(at + j) * stride + d] : 0;
  }

  static void pack_values(const float* v, int64_t stride, int64_t keys, int64_t dim, float* to) {
    for (int64_t at = 0; at < dim; at += columns)
      for (int64_t j = 0; j < keys; ++j)
        for (int i = 0; i < Product::vectors; ++i, to += S::width) {
          const int64_t left = dim - at - i * S::width;
          const float* from = v + j * stride + at + i * S::width;
          S::store(to, left >= S::width ? S::load(from) : left > 0 ? S::load(from, left) : S::zero());
        }
  }

  // Scores of one query become e^(score − top); what was summed before follows a top that rose. A query that
  // has seen only hidden keys keeps sums of zero.
  static void weigh(Chunk& chunk, int64_t query, float* p, const float* mask, float scale, int64_t keys,
                    int64_t width, bool first) {
    const F by = S::set(scale);
    float* scores = p;
    for_vectors<S>(keys, [&](auto load, auto store) {
      F s = S::mul(load(scores), by);
      if (mask) s = S::add(s, load(mask));
      store(scores, s);
    });
    const float before = first ? -__builtin_inff() : chunk.top[query];
    float top = Norms<S>::largest(p, keys);
    top = top > before ? top : before;
    const float total = Norms<S>::exponentials(p, keys, top > -__builtin_inff() ? top : 0, p);
    chunk.top[query] = top;
    if (first) {
      chunk.total[query] = total;
      return;
    }
    if (top > before) {
      const F factor = Math<S>::exp(S::set(before - top));
      alignas(64) float lanes[S::width];
      S::store(lanes, factor);
      chunk.total[query] *= lanes[0];
      float* sum = chunk.sums + query * width;
      for (int64_t d = 0; d < width; d += S::width) S::store(sum + d, S::mul(S::load(sum + d), factor));
    }
    chunk.total[query] += total;
  }

  // ---- Few queries ----

  static float dot(const float* a, const float* b, int64_t n) {
    F sum = S::zero();
    for_vectors<S>(n, [&](auto load, auto) { sum = S::fma(load(a), load(b), sum); });
    return S::sum(sum);
  }

  // out = Σ_j p[j]·v[j], `vectors` vectors of columns at a time.
  template <int vectors>
  static void mix(const float* p, const float* v, int64_t keys, int64_t stride, F scale, float* out) {
    F sum[vectors];
    for (int i = 0; i < vectors; ++i) sum[i] = S::zero();
    for (int64_t j = 0; j < keys; ++j) {
      const F weight = S::set(p[j]);
      for (int i = 0; i < vectors; ++i)
        sum[i] = S::fma(weight, S::load(v + j * stride + i * S::width), sum[i]);
    }
    for (int i = 0; i < vectors; ++i) S::store(out + i * S::width, S::mul(sum[i], scale));
  }

  static void one_by_one(const AttentionArgs& a, Part part) {
    alignas(64) float p[most_keys];
    // Neighbouring queries of one head read the same keys.
    const Range mine = share(a.batch * a.heads * a.q_len, 1, part);
    for (int64_t unit = mine.begin; unit < mine.end; ++unit) {
      const int64_t i = unit % a.q_len, h = unit / a.q_len % a.heads, b = unit / a.q_len / a.heads;
      const float* q = a.q + b * a.q_batch_stride + i * a.q_row_stride + h * a.head_dim;
      const float* k = a.k + b / a.k_div * a.k_batch_stride + h * a.head_dim;
      const float* v = a.v + b / a.v_div * a.v_batch_stride + h * a.head_dim;
      float* out = a.out + ((b * a.q_len + i) * a.heads + h) * a.head_dim;
      for (int64_t j = 0; j < a.k_len; ++j)
        p[j] = dot(q, k + j * a.k_row_stride, a.head_dim) * a.scale + (a.mask ? a.mask[i * a.k_len + j] : 0);
      const F scale = S::set(1.0f / Norms<S>::exponentials(p, a.k_len, Norms<S>::largest(p, a.k_len), p));
      int64_t d = 0;
      for (; d + 4 * S::width <= a.head_dim; d += 4 * S::width)
        mix<4>(p, v + d, a.k_len, a.v_row_stride, scale, out + d);
      for (; d + S::width <= a.head_dim; d += S::width)
        mix<1>(p, v + d, a.k_len, a.v_row_stride, scale, out + d);
      if (d < a.head_dim) {
        F sum = S::zero();
        for (int64_t j = 0; j < a.k_len; ++j)
          sum = S::fma(S::set(p[j]), S::load(v + j * a.v_row_stride + d, a.head_dim - d), sum);
        S::store(out + d, S::mul(sum, scale), a.head_dim - d);
      }
    }
  }
};

}  // namespace
}  // namespace tendon
