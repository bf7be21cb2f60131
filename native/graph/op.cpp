// The op table. Shape rules speak of (batch, …) activations; see docs/architecture.md for the layout.
#include "graph/op.h"

#include <algorithm>

#include "base/error.h"
#include "graph/functions.h"

namespace tendon {

namespace {

using Shapes = std::span<const Shape>;

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

Shape same(const Attrs&, Shapes in) { return in[0]; }

Shape source_shape(const Attrs&, Shapes) { return {}; }

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

int64_t conv_length(const char* op, int64_t length, int64_t kernel, int64_t stride, int64_t pad) {
  if (stride < 1 || pad < 0 || kernel < 1)
    reject(op, "stride ≥ 1 and pad ≥ 0", "stride " + std::to_string(stride) + ", pad " + std::to_string(pad));
  const int64_t span = length + 2 * pad - kernel;
  if (span < 0)
    reject(op, "an input at least as long as the kernel (" + std::to_string(kernel) + ")",
           std::to_string(length));
  return span / stride + 1;
}

Shape conv1d_shape(const Attrs& a, Shapes in) {
  need(in[0].rank == 3, "conv1d", "x (batch, time, channels)", in[0]);
  need(in[1].rank == 3 && in[1][1] == in[0][2], "conv1d",
       "a weight (out, " + std::to_string(in[0][2]) + ", kernel)", in[1]);
  need_vectors("conv1d", in, 2, in[1][0]);
  return {in[0][0], conv_length("conv1d", in[0][1], in[1][2], a.integer(0), a.integer(1)), in[1][0]};
}

Shape conv_transpose1d_shape(const Attrs& a, Shapes in) {
  need(in[0].rank == 3, "conv_transpose1d", "x (batch, time, channels)", in[0]);
  need(in[1].rank == 3 && in[1][0] == in[0][2], "conv_transpose1d",
       "a weight (" + std::to_string(in[0][2]) + ", out, kernel)", in[1]);
  need_vectors("conv_transpose1d", in, 2, in[1][1]);
  const int64_t length = (in[0][1] - 1) * a.integer(0) - 2 * a.integer(1) + in[1][2];
  if (length < 1 || a.integer(0) < 1 || a.integer(1) < 0)
    reject("conv_transpose1d", "a stride and pad that leave an output",
           std::to_string(length) + " positions");
  return {in[0][0], length, in[1][1]};
}

Shape conv2d_shape(const Attrs& a, Shapes in) {
  need(in[0].rank == 4, "conv2d", "x (batch, height, width, channels)", in[0]);
  need(in[1].rank == 4 && in[1][1] == in[0][3], "conv2d",
       "a weight (out, " + std::to_string(in[0][3]) + ", kernel_h, kernel_w)", in[1]);
  need_vectors("conv2d", in, 2, in[1][0]);
  return {in[0][0], conv_length("conv2d", in[0][1], in[1][2], a.integer(0), a.integer(1)),
          conv_length("conv2d", in[0][2], in[1][3], a.integer(0), a.integer(1)), in[1][0]};
}

Shape max_pool2d_shape(const Attrs& a, Shapes in) {
  need(in[0].rank == 4, "max_pool2d", "x (batch, height, width, channels)", in[0]);
  return {in[0][0], conv_length("max_pool2d", in[0][1], a.integer(0), a.integer(1), a.integer(2)),
          conv_length("max_pool2d", in[0][2], a.integer(0), a.integer(1), a.integer(2)), in[0][3]};
}

Shape batch_norm_shape(const Attrs&, Shapes in) {
  need_vectors("batch_norm", in, 1, in[0].last());
  return in[0];
}

Shape group_norm_shape(const Attrs& a, Shapes in) {
  need(in[0].rank >= 3, "group_norm", "x (batch, positions…, channels)", in[0]);
  if (a.integer(0) < 1 || in[0].last() % a.integer(0) != 0)
    reject("group_norm", "groups that divide the " + std::to_string(in[0].last()) + " channels",
           std::to_string(a.integer(0)));
  need_vectors("group_norm", in, 1, in[0].last());
  return in[0];
}

Shape row_norm_shape(const Attrs&, Shapes in) {
  need(in[0].rank >= 2, "norm", "x of rank 2 or more", in[0]);
  need_vectors("norm", in, 1, in[0].last());
  return in[0];
}

int axis_of(const char* op, const Attrs& a, int i, const Shape& x) {
  const int64_t axis = a.integer(i) < 0 ? a.integer(i) + x.rank : a.integer(i);
  if (axis < 0 || axis >= x.rank) reject(op, "an axis of " + x.text(), std::to_string(a.integer(i)));
  return static_cast<int>(axis);
}

Shape concat_shape(const Attrs& a, Shapes in) {
  const int axis = axis_of("concat", a, 0, in[0]);
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
  const int axis = axis_of("slice", a, 0, in[0]);
  const int64_t start = a.integer(1), length = a.integer(2);
  if (start < 0 || length < 1 || start > in[0][axis] - length)
    reject("slice", "a range within " + std::to_string(in[0][axis]),
           std::to_string(start) + " + " + std::to_string(length));
  Shape out = in[0];
  out[axis] = length;
  return out;
}

Shape list_shape(const char* op, const Attrs& a) {
  if (a.list.empty() || a.list.size() > max_rank) reject(op, "1 to 5 dims", std::to_string(a.list.size()));
  Shape out;
  for (int64_t d : a.list) out[out.rank++] = d;
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
  const int64_t heads = a.integer(0);
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
  out[axis_of("reduce", a, 0, in[0])] = 1;
  return out;
}

Shape gather_shape(const Attrs&, Shapes in) {
  need(in[0].rank == 2, "gather", "a table (rows, width)", in[0]);
  need(in[1].rank >= 1 && in[1].rank < max_rank, "gather", "an index of rank 1 to 4", in[1]);
  Shape out = in[1];
  out[out.rank++] = in[0][1];
  return out;
}

constexpr AttrInfo eps_attr{"eps", 1e-5, false, false};
constexpr AttrInfo stride_attr{"stride", 1, false, true};
constexpr AttrInfo pad_attr{"pad", 0, false, true};

const std::vector<OpInfo>& table() {
  static const std::vector<OpInfo> ops = {
      {Op::input, "input", OpKind::source, 0, 0, {}, nullptr, source_shape, "a value given at run time"},
      {Op::weight, "weight", OpKind::source, 0, 0, {}, nullptr, source_shape, "a tensor of a file"},
      {Op::constant,
       "constant",
       OpKind::source,
       0,
       0,
       {},
       nullptr,
       source_shape,
       "numbers held by the graph"},
      {Op::linear, "linear", OpKind::product, 2, 3, {}, nullptr, linear_shape, "x·Wᵀ + b, W (out, in)"},
      {Op::conv1d,
       "conv1d",
       OpKind::product,
       2,
       3,
       {stride_attr, pad_attr},
       nullptr,
       conv1d_shape,
       "x (batch, time, in), W (out, in, kernel)"},
      {Op::conv_transpose1d,
       "conv_transpose1d",
       OpKind::product,
       2,
       3,
       {stride_attr, pad_attr},
       nullptr,
       conv_transpose1d_shape,
       "x (batch, time, in), W (in, out, kernel)"},
      {Op::conv2d,
       "conv2d",
       OpKind::product,
       2,
       3,
       {stride_attr, pad_attr},
       nullptr,
       conv2d_shape,
       "x (batch, h, w, in), W (out, in, kernel_h, kernel_w)"},
      {Op::batch_norm,
       "batch_norm",
       OpKind::row,
       5,
       5,
       {eps_attr},
       nullptr,
       batch_norm_shape,
       "(x − mean)/√(var + eps)·w + b over the last dim, with fixed moments (x, w, b, mean, var)"},
      {Op::group_norm,
       "group_norm",
       OpKind::row,
       3,
       3,
       {{"groups", 0, true, true}, eps_attr},
       nullptr,
       group_norm_shape,
       "moments over positions × channels of a group"},
      {Op::layer_norm,
       "layer_norm",
       OpKind::row,
       1,
       3,
       {eps_attr},
       nullptr,
       row_norm_shape,
       "over the last dim"},
      {Op::rms_norm,
       "rms_norm",
       OpKind::row,
       1,
       2,
       {{"eps", 1e-6, false, false}},
       nullptr,
       row_norm_shape,
       "x/√(mean x² + eps)·w over the last dim"},
      {Op::max_pool2d,
       "max_pool2d",
       OpKind::row,
       1,
       1,
       {{"kernel", 0, true, true}, stride_attr, pad_attr},
       nullptr,
       max_pool2d_shape,
       "x (batch, h, w, channels)"},
      {Op::unary,
       "unary",
       OpKind::elementwise,
       1,
       1,
       {},
       nullptr,
       same,
       "one of the functions of one argument"},
      {Op::binary,
       "binary",
       OpKind::elementwise,
       2,
       2,
       {},
       nullptr,
       binary_shape,
       "one of the functions of two"},
      {Op::affine,
       "affine",
       OpKind::elementwise,
       1,
       1,
       {{"mul", 1, false, false}, {"add", 0, false, false}},
       nullptr,
       same,
       "x·mul + add"},
      {Op::concat,
       "concat",
       OpKind::view,
       1,
       64,
       {{"axis", -1, false, true}},
       nullptr,
       concat_shape,
       "pieces side by side along axis"},
      {Op::slice,
       "slice",
       OpKind::view,
       1,
       1,
       {{"axis", 0, true, true}, {"start", 0, true, true}, {"length", 0, true, true}},
       nullptr,
       slice_shape,
       "a range of one axis"},
      {Op::reshape,
       "reshape",
       OpKind::view,
       1,
       1,
       {},
       "shape",
       reshape_shape,
       "the same numbers in another shape"},
      {Op::permute, "permute", OpKind::view, 1, 1, {}, "perm", permute_shape, "axes in another order"},
      {Op::expand, "expand", OpKind::view, 1, 1, {}, "shape", expand_shape, "dims of 1 repeated"},
      {Op::softmax, "softmax", OpKind::row, 1, 1, {}, nullptr, same, "over the last dim"},
      {Op::attention,
       "attention",
       OpKind::row,
       3,
       4,
       {{"heads", 0, true, true}, {"scale", 0, false, false}},
       nullptr,
       attention_shape,
       "softmax(q·kᵀ·scale + mask)·v by heads; scale 0 means 1/√d"},
      {Op::matmul,
       "matmul",
       OpKind::row,
       2,
       2,
       {},
       nullptr,
       matmul_shape,
       "a (batch, m, k) · b (batch, k, n)"},
      {Op::reduce,
       "reduce",
       OpKind::row,
       1,
       1,
       {{"axis", -1, false, true}},
       nullptr,
       reduce_shape,
       "along one axis, which stays with length 1"},
      {Op::gather, "gather", OpKind::row, 2, 2, {}, nullptr, gather_shape, "rows of a table by index"},
  };
  return ops;
}

}  // namespace

const OpInfo& op_info(Op op) { return table()[static_cast<size_t>(op)]; }

const OpInfo* find_op(const std::string& name) {
  if (find_unary(name) != Unary::none) return &op_info(Op::unary);
  if (find_binary(name) != Binary::count) return &op_info(Op::binary);
  if (find_reduce(name) >= 0) return &op_info(Op::reduce);
  for (const OpInfo& info : table())
    if (name == info.name && info.op != Op::unary && info.op != Op::binary && info.op != Op::reduce)
      return &info;
  return nullptr;
}

std::vector<std::string> op_names() {
  std::vector<std::string> names;
  for (const OpInfo& info : table())
    if (info.kind != OpKind::source && info.op != Op::unary && info.op != Op::binary && info.op != Op::reduce)
      names.emplace_back(info.name);
  for (const char* name : function_names()) names.emplace_back(name);
  return names;
}

}  // namespace tendon
