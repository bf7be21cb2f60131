// The shape rules of the ops.
#include <algorithm>

#include "base/error.h"
#include "ops/op.h"

namespace tendon::shape_rules {

namespace {

[[noreturn]] void reject(const char* op, const std::string& expected, const std::string& got) {
  throw BuildError("graph_invalid", std::string(op) + ": expected " + expected + ", got " + got);
}

void need(bool fine, const char* op, const std::string& expected, const Shape& got) {
  if (!fine) reject(op, expected, got.text());
}

// The vectors behind x (bias, norm weights) are optional; each present one has length n.
void need_vectors(const char* op, Shapes in, size_t first, int64_t n) {
  for (size_t i = first; i < in.size(); ++i)
    need(in[i].rank == 1 && in[i][0] == n, op, "a vector (" + std::to_string(n) + ")", in[i]);
}

// Block broadcast of dim 0, ordinary broadcast of the others; a vector meets the last dim.
Shape broadcast(const char* op, const Shape& a, const Shape& b) {
  if (b.rank == 1 && a.rank > 1) {
    need(b[0] == a.last() || b[0] == 1, op, "a vector of 1 or " + std::to_string(a.last()), b);
    return a;
  }
  if (a.rank == 1 && b.rank > 1) return broadcast(op, b, a);
  need(a.rank == b.rank, op, "an operand of the rank of " + a.text() + " (reshape it first)", b);
  Shape out = a;
  for (int i = 0; i < a.rank; ++i) {
    out[i] = std::max(a[i], b[i]);
    const bool fits = i == 0 ? out[i] % a[i] == 0 && out[i] % b[i] == 0
                             : (a[i] == out[i] || a[i] == 1) && (b[i] == out[i] || b[i] == 1);
    need(fits, op, "an operand that broadcasts with " + a.text(), b);
  }
  return out;
}

int64_t conv_length(const char* op, int64_t length, int64_t kernel, int64_t stride, int64_t pad) {
  if (stride < 1 || pad < 0 || kernel < 1)
    reject(op, "stride ≥ 1 and pad ≥ 0", "stride " + std::to_string(stride) + ", pad " + std::to_string(pad));
  const int64_t span = length + 2 * pad - kernel;
  if (span < 0)
    reject(op, "an input at least as long as the kernel (" + std::to_string(kernel) + ")",
           std::to_string(length));
  return span / stride + 1;
}

int axis_of(const char* op, int64_t given, const Shape& x) {
  const int64_t axis = given < 0 ? given + x.rank : given;
  if (axis < 0 || axis >= x.rank) reject(op, "an axis of " + x.text(), std::to_string(given));
  return static_cast<int>(axis);
}

Shape list_shape(const char* op, const Attrs& a) {
  if (a.list.empty() || a.list.size() > max_rank) reject(op, "1 to 5 dims", std::to_string(a.list.size()));
  Shape out;
  for (int64_t d : a.list) out[out.rank++] = d;
  return out;
}

}  // namespace

Shape same(const Attrs&, Shapes in) { return in[0]; }

Shape source_shape(const Attrs&, Shapes) { return {}; }

Shape binary_shape(const Attrs&, Shapes in) { return broadcast("elementwise", in[0], in[1]); }

Shape linear_shape(const Attrs&, Shapes in) {
  need(in[0].rank >= 2, "linear", "x of rank 2 or more", in[0]);
  need(in[1].rank == 2 && in[1][1] == in[0].last(), "linear",
       "a weight (n, " + std::to_string(in[0].last()) + ") for x " + in[0].text(), in[1]);
  need_vectors("linear", in, 2, in[1][0]);
  Shape out = in[0];
  out[out.rank - 1] = in[1][0];
  return out;
}

Shape conv1d_shape(const Attrs& a, Shapes in) {
  need(in[0].rank == 3, "conv1d", "x (batch, time, channels)", in[0]);
  need(in[1].rank == 3 && in[1][1] == in[0][2], "conv1d",
       "a weight (out, " + std::to_string(in[0][2]) + ", kernel)", in[1]);
  need_vectors("conv1d", in, 2, in[1][0]);
  const auto [stride, pad] = a.as<ConvAttrs>();
  return {in[0][0], conv_length("conv1d", in[0][1], in[1][2], stride, pad), in[1][0]};
}

Shape conv_transpose1d_shape(const Attrs& a, Shapes in) {
  need(in[0].rank == 3, "conv_transpose1d", "x (batch, time, channels)", in[0]);
  need(in[1].rank == 3 && in[1][0] == in[0][2], "conv_transpose1d",
       "a weight (" + std::to_string(in[0][2]) + ", out, kernel)", in[1]);
  need_vectors("conv_transpose1d", in, 2, in[1][1]);
  const auto [stride, pad] = a.as<ConvAttrs>();
  if (stride < 1 || pad < 0 || in[0][1] - 1 > max_elements / stride)
    reject("conv_transpose1d", "stride ≥ 1, pad ≥ 0 and an output of fewer than 2^36 positions",
           "stride " + std::to_string(stride) + ", pad " + std::to_string(pad) + " over " +
               std::to_string(in[0][1]) + " positions");
  const int64_t length = (in[0][1] - 1) * stride - 2 * pad + in[1][2];
  if (length < 1)
    reject("conv_transpose1d", "a stride and pad that leave an output",
           std::to_string(length) + " positions");
  return {in[0][0], length, in[1][1]};
}

Shape conv2d_shape(const Attrs& a, Shapes in) {
  need(in[0].rank == 4, "conv2d", "x (batch, height, width, channels)", in[0]);
  need(in[1].rank == 4 && in[1][1] == in[0][3], "conv2d",
       "a weight (out, " + std::to_string(in[0][3]) + ", kernel_h, kernel_w)", in[1]);
  need_vectors("conv2d", in, 2, in[1][0]);
  const auto [stride, pad, exact] = a.as<Conv2dAttrs>();
  return {in[0][0], conv_length("conv2d", in[0][1], in[1][2], stride, pad),
          conv_length("conv2d", in[0][2], in[1][3], stride, pad), in[1][0]};
}

Shape max_pool2d_shape(const Attrs& a, Shapes in) {
  need(in[0].rank == 4, "max_pool2d", "x (batch, height, width, channels)", in[0]);
  const auto [kernel, stride, pad] = a.as<PoolAttrs>();
  return {in[0][0], conv_length("max_pool2d", in[0][1], kernel, stride, pad),
          conv_length("max_pool2d", in[0][2], kernel, stride, pad), in[0][3]};
}

Shape batch_norm_shape(const Attrs&, Shapes in) {
  need_vectors("batch_norm", in, 1, in[0].last());
  return in[0];
}

Shape group_norm_shape(const Attrs& a, Shapes in) {
  need(in[0].rank >= 3, "group_norm", "x (batch, positions…, channels)", in[0]);
  const int64_t groups = a.as<GroupNormAttrs>().groups;
  if (groups < 1 || in[0].last() % groups != 0)
    reject("group_norm", "groups that divide the " + std::to_string(in[0].last()) + " channels",
           std::to_string(groups));
  need_vectors("group_norm", in, 1, in[0].last());
  return in[0];
}

Shape row_norm_shape(const Attrs&, Shapes in) {
  need(in[0].rank >= 2, "norm", "x of rank 2 or more", in[0]);
  need_vectors("norm", in, 1, in[0].last());
  return in[0];
}

Shape concat_shape(const Attrs& a, Shapes in) {
  const int axis = axis_of("concat", a.as<AxisAttrs>().axis, in[0]);
  Shape out = in[0];
  for (const Shape& s : in.subspan(1)) {
    need(s.rank == out.rank, "concat", "pieces of one rank like " + in[0].text(), s);
    for (int i = 0; i < s.rank; ++i) {
      if (i == axis) {
        out[i] += s[i];
      } else if (i == 0) {
        out[0] = std::max(out[0], s[0]);
      } else {
        need(s[i] == out[i], "concat",
             "pieces that agree with " + in[0].text() + " but on axis " + std::to_string(axis), s);
      }
    }
  }
  if (axis != 0)
    for (const Shape& s : in)
      need(out[0] % s[0] == 0, "concat", "batches that divide " + std::to_string(out[0]), s);
  return out;
}

Shape slice_shape(const Attrs& a, Shapes in) {
  const auto [given, start, length] = a.as<SliceAttrs>();
  const int axis = axis_of("slice", given, in[0]);
  if (start < 0 || length < 1 || start > in[0][axis] - length)
    reject("slice", "a range within " + std::to_string(in[0][axis]),
           std::to_string(start) + " + " + std::to_string(length));
  Shape out = in[0];
  out[axis] = length;
  return out;
}

Shape reshape_shape(const Attrs& a, Shapes in) {
  Shape out = list_shape("reshape", a);
  int64_t known = 1;
  int open = -1;
  for (int i = 0; i < out.rank; ++i) {
    if (out[i] == -1 && open < 0) {
      open = i;
    } else if (out[i] < 1 || known > (int64_t{1} << 40) / out[i]) {
      reject("reshape", "positive dims with at most one -1", out.text());
    } else {
      known *= out[i];
    }
  }
  if (open >= 0) out[open] = in[0].count() / known;
  if (out.count() != in[0].count())
    reject("reshape", std::to_string(in[0].count()) + " elements of " + in[0].text(), out.text());
  return out;
}

Shape permute_shape(const Attrs& a, Shapes in) {
  if (static_cast<int>(a.list.size()) != in[0].rank)
    reject("permute", "one axis per dim of " + in[0].text(), std::to_string(a.list.size()));
  Shape out = in[0];
  unsigned seen = 0;
  for (int i = 0; i < out.rank; ++i) {
    if (a.list[i] < 0 || a.list[i] >= out.rank)
      reject("permute", "a permutation of the axes of " + in[0].text(), "axis " + std::to_string(a.list[i]));
    seen |= 1u << a.list[i];
    out[i] = in[0][static_cast<int>(a.list[i])];
  }
  if (seen != (1u << out.rank) - 1)
    reject("permute", "every axis of " + in[0].text() + " once", "a repeated axis");
  return out;
}

Shape expand_shape(const Attrs& a, Shapes in) {
  Shape out = list_shape("expand", a);
  need(out.rank == in[0].rank, "expand", "a shape of the rank of " + in[0].text(), out);
  for (int i = 0; i < out.rank; ++i)
    need(out[i] == in[0][i] || (in[0][i] == 1 && out[i] > 0), "expand",
         "dims of " + in[0].text() + " kept, or grown from 1", out);
  return out;
}

Shape attention_shape(const Attrs& a, Shapes in) {
  const Shape &q = in[0], &k = in[1], &v = in[2];
  const int64_t heads = a.as<AttentionAttrs>().heads;
  need(q.rank == 3, "attention", "q (batch, length, heads·d)", q);
  if (heads < 1 || q[2] % heads != 0)
    reject("attention", "heads that divide " + std::to_string(q[2]), std::to_string(heads));
  need(k.rank == 3 && k[2] == q[2], "attention", "k with the width of q " + q.text(), k);
  need(v.rank == 3 && v[2] == q[2] && v[1] == k[1], "attention", "v like k " + k.text(), v);
  Shape out = q;
  out[0] = std::max({q[0], k[0], v[0]});
  for (const Shape& s : in.first(3))
    need(out[0] % s[0] == 0, "attention", "batches that divide " + std::to_string(out[0]), s);
  if (in.size() > 3)
    need(in[3] == Shape({q[1], k[1]}), "attention", "a mask " + Shape({q[1], k[1]}).text(), in[3]);
  return out;
}

Shape matmul_shape(const Attrs&, Shapes in) {
  need(in[0].rank == 3, "matmul", "a (batch, m, k)", in[0]);
  need(in[1].rank == 3 && in[1][1] == in[0][2], "matmul", "b (batch, " + std::to_string(in[0][2]) + ", n)",
       in[1]);
  const int64_t batch = std::max(in[0][0], in[1][0]);
  need(batch % in[0][0] == 0 && batch % in[1][0] == 0, "matmul", "batches that divide each other", in[1]);
  return {batch, in[0][1], in[1][2]};
}

Shape reduce_shape(const Attrs& a, Shapes in) {
  Shape out = in[0];
  out[axis_of("reduce", a.as<AxisAttrs>().axis, in[0])] = 1;
  return out;
}

Shape gather_shape(const Attrs&, Shapes in) {
  need(in[0].rank == 2, "gather", "a table (rows, width)", in[0]);
  need(in[1].rank >= 1 && in[1].rank < max_rank, "gather", "an index of rank 1 to 4", in[1]);
  Shape out = in[1];
  out[out.rank++] = in[0][1];
  return out;
}

}  // namespace tendon::shape_rules
