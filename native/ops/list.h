// The one list of ops. Everything else that must know all of them is made from it: enums, names, attributes,
// shape rules, kernel tables, dispatch, launches, the CUDA library's functions, the emulator.
//
// A new op: its attributes, arguments, shape rule and definition (a header of its own, or here beside its
// like), one row in each list below, and its lowering (compile/lower.cpp). A faster kernel for a CPU
// (kernels/cpu) or for CUDA (kernels/cuda) is an overload that is found by its argument's type.
#pragma once

#include "ops/args.h"
#include "ops/attrs.h"
#include "ops/rope.h"

// Kernels: name and arguments. Products (GemmArgs) stand apart: they have a kernel per weight format.
#define TENDON_KERNELS(X)      \
  X(unary, UnaryArgs)          \
  X(binary, BinaryArgs)        \
  X(copy, CopyArgs)            \
  X(affine, AffineArgs)        \
  X(norm, NormArgs)            \
  X(group_norm, GroupNormArgs) \
  X(softmax, SoftmaxArgs)      \
  X(attention, AttentionArgs)  \
  X(matmul, MatmulArgs)        \
  X(reduce, ReduceArgs)        \
  X(gather, GatherArgs)        \
  X(rope, RopeArgs)            \
  X(max_pool, MaxPoolArgs)

// Ops of a graph: name, attributes, facts (ops/op.h), least and most inputs, the name of a list attribute,
// shape rule (ops/shapes.cpp), what it computes.
#define TENDON_OPS(X)                                                                                        \
  X(input, NoAttrs, source, 0, 0, nullptr, source_shape, "a value given at run time")                        \
  X(weight, NoAttrs, source, 0, 0, nullptr, source_shape, "a tensor of a file")                              \
  X(constant, NoAttrs, source, 0, 0, nullptr, source_shape, "numbers held by the graph")                     \
  X(linear, NoAttrs, linear_product, 2, 3, nullptr, linear_shape, "x·Wᵀ + b, W (out, in)")                   \
  X(conv1d, ConvAttrs, product, 2, 3, nullptr, conv1d_shape, "x (batch, time, in), W (out, in, kernel)")     \
  X(conv_transpose1d, ConvAttrs, phased_product, 2, 3, nullptr, conv_transpose1d_shape,                      \
    "x (batch, time, in), W (in, out, kernel)")                                                              \
  X(conv2d, Conv2dAttrs, image_product, 2, 3, nullptr, conv2d_shape,                                         \
    "x (batch, h, w, in), W (out, in, kernel_h, kernel_w)")                                                  \
  X(batch_norm, EpsAttrs, weighted, 5, 5, nullptr, batch_norm_shape,                                         \
    "(x − mean)/√(var + eps)·w + b over the last dim, with fixed moments (x, w, b, mean, var)")              \
  X(group_norm, GroupNormAttrs, norm, 3, 3, nullptr, group_norm_shape,                                       \
    "moments over positions × channels of a group")                                                          \
  X(layer_norm, EpsAttrs, row_norm, 1, 3, nullptr, row_norm_shape, "over the last dim")                      \
  X(rms_norm, RmsAttrs, row_norm, 1, 2, nullptr, row_norm_shape, "x/√(mean x² + eps)·w over the last dim")   \
  X(max_pool2d, PoolAttrs, plain, 1, 1, nullptr, max_pool2d_shape, "x (batch, h, w, channels)")              \
  X(unary, NoAttrs, elementwise, 1, 1, nullptr, same, "one of the functions of one argument")                \
  X(binary, NoAttrs, elementwise, 2, 2, nullptr, binary_shape, "one of the functions of two")                \
  X(affine, AffineAttrs, elementwise, 1, 1, nullptr, same, "x·mul + add")                                    \
  X(concat, AxisAttrs, axis_view, 1, 64, nullptr, concat_shape, "pieces side by side along axis")            \
  X(slice, SliceAttrs, axis_view, 1, 1, nullptr, slice_shape, "a range of one axis")                         \
  X(reshape, NoAttrs, view, 1, 1, "shape", reshape_shape, "the same numbers in another shape")               \
  X(permute, NoAttrs, view, 1, 1, "perm", permute_shape, "axes in another order")                            \
  X(expand, NoAttrs, view, 1, 1, "shape", expand_shape, "dims of 1 repeated")                                \
  X(softmax, NoAttrs, plain, 1, 1, nullptr, same, "over the last dim")                                       \
  X(attention, AttentionAttrs, plain, 3, 4, nullptr, attention_shape,                                        \
    "softmax(q·kᵀ·scale + mask)·v by heads; scale 0 means 1/√d")                                             \
  X(matmul, NoAttrs, plain, 2, 2, nullptr, matmul_shape, "a (batch, m, k) · b (batch, k, n)")                \
  X(reduce, AxisAttrs, along_axis, 1, 1, nullptr, reduce_shape, "along one axis, which stays with length 1") \
  X(gather, NoAttrs, look_up, 2, 2, nullptr, gather_shape, "rows of a table by index")                       \
  X(rope, RopeAttrs, plain, 2, 2, nullptr, rope_shape,                                                       \
    "x (batch, positions, heads·d) turned by its positions")
