// The op table, and how its rows are found.
#include "graph/op.h"

#include "graph/functions.h"
#include "graph/shape_rules.h"

namespace tendon {

namespace {

using namespace shape_rules;

constexpr AttrInfo eps_attr{"eps", 1e-5, false, false};
constexpr AttrInfo stride_attr{"stride", 1, false, true};
constexpr AttrInfo pad_attr{"pad", 0, false, true};
constexpr AttrInfo exact_attr{"exact", 0, false, true};

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
       {stride_attr, pad_attr, exact_attr},
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
