// The op table: the only place where an op's name, arity, attributes, shape rule and what may be fused with
// it are written. Builder, verifier, printer, compiler and the TypeScript door all read it.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/shape.h"

namespace tendon {

enum class Op : uint8_t {
  input,
  weight,
  constant,
  linear,
  conv1d,
  conv_transpose1d,
  conv2d,
  batch_norm,
  group_norm,
  layer_norm,
  rms_norm,
  max_pool2d,
  unary,
  binary,
  affine,
  concat,
  slice,
  reshape,
  permute,
  expand,
  softmax,
  attention,
  matmul,
  reduce,
  gather,
  count
};

// How an op meets the compiler.
enum class OpKind : uint8_t {
  source,       // input, weight, constant
  product,      // matrix products: may carry an epilogue
  elementwise,  // may ride on a product, commutes with concat
  view,         // moves no numbers or only copies them
  row,          // everything else: its own instruction
};

// Values of an op's attributes, in the order of OpInfo::attrs. Lists (a shape, a permutation) follow last.
struct Attrs {
  std::vector<double> values;
  std::vector<int64_t> list;
  double number(int i) const { return values[i]; }
  int64_t integer(int i) const { return static_cast<int64_t>(values[i]); }
};

struct AttrInfo {
  const char* name;
  double fallback;  // used when the caller gives none
  bool required;
  bool integer;
};

struct OpInfo {
  Op op;
  const char* name;
  OpKind kind;
  int min_inputs, max_inputs;
  std::vector<AttrInfo> attrs;
  const char* list_attr;  // name of the list attribute, null for none
  // Shape of the result; throws BuildError graph_invalid naming op, expected and got.
  Shape (*shape)(const Attrs&, std::span<const Shape>);
  const char* doc;
};

const OpInfo& op_info(Op op);
// Null for an unknown name. Unary and binary functions are ops of their own here: "silu", "add".
const OpInfo* find_op(const std::string& name);
// Every name that find_op accepts, for messages and for the TypeScript types' test.
std::vector<std::string> op_names();

}  // namespace tendon
