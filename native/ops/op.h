// Ops of a graph as the list (ops/list.h) has them: builder, verifier, printer, compiler and the TypeScript
// door read their names, arities, attributes, shape rules and facts here. A pass asks for a fact, not for an
// op by name.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/shape.h"
#include "ops/list.h"

namespace tendon {

#define X(name, ...) name,
enum class Op : uint8_t { TENDON_OPS(X) count };
#undef X

enum class OpKind : uint8_t {
  source,       // input, weight, constant
  product,      // matrix products
  elementwise,  // may ride on a product
  view,         // moves no numbers or only copies them
  row,          // everything else: its own instruction
};

// What an instruction may do to its result before it is written (compile/fuse.h).
enum class Carries : uint8_t { nothing, activation, tail };

// Along which cuts f(a ‖ b) = f(a) ‖ f(b).
enum class Cuts : uint8_t { none, all_but_last, all };

struct Facts {
  OpKind kind = OpKind::row;
  int data = -1;  // the only input that may be an activation, the others being known at load; −1: any may
  Carries carries = Carries::nothing;
  Cuts cuts = Cuts::none;
  bool phased = false;     // one product for each output phase, written in turns
  bool of_images = false;  // beside a loop it is done once, whatever its stage says of the rest
  bool has_axis = false;   // its first attribute is an axis, which the batch cannot be
};

namespace facts {
constexpr Facts source{.kind = OpKind::source};
constexpr Facts product{.kind = OpKind::product, .data = 0, .carries = Carries::tail};
constexpr Facts linear_product{
    .kind = OpKind::product, .data = 0, .carries = Carries::tail, .cuts = Cuts::all_but_last};
constexpr Facts phased_product{.kind = OpKind::product, .data = 0, .carries = Carries::tail, .phased = true};
constexpr Facts image_product{
    .kind = OpKind::product, .data = 0, .carries = Carries::tail, .of_images = true};
constexpr Facts weighted{.data = 0};
constexpr Facts norm{.data = 0, .carries = Carries::activation};
constexpr Facts row_norm{.data = 0, .carries = Carries::activation, .cuts = Cuts::all_but_last};
constexpr Facts elementwise{.kind = OpKind::elementwise, .cuts = Cuts::all};
constexpr Facts view{.kind = OpKind::view};
constexpr Facts axis_view{.kind = OpKind::view, .has_axis = true};
constexpr Facts along_axis{.has_axis = true};
constexpr Facts look_up{.data = 1};
constexpr Facts plain{};
}  // namespace facts

struct AttrInfo {
  const char* name;
  double fallback;  // used when the caller gives none
  bool required;
  bool integer;
};

struct OpInfo {
  Op op;
  const char* name;
  Facts facts;
  int min_inputs, max_inputs;
  std::vector<AttrInfo> attrs;
  const char* list_attr;  // name of the list attribute, null for none
  // Shape of the result; throws BuildError graph_invalid naming op, expected and got.
  Shape (*shape)(const Attrs&, std::span<const Shape>);
  const char* doc;

  bool is_product() const { return facts.kind == OpKind::product; }
};

const OpInfo& op_info(Op op);
// Null for an unknown name. Unary and binary functions are ops of their own here: "silu", "add".
const OpInfo* find_op(const std::string& name);
// Every name that find_op accepts, for messages and for the TypeScript types' test.
std::vector<std::string> op_names();

// What each op needs of its inputs and what it gives. They speak of (batch, …) activations; see
// docs/architecture.md for the layout. A broken rule is a BuildError that says what was expected.
namespace shape_rules {
using Shapes = std::span<const Shape>;
#define X(name, Attributes, facts, least, most, list, rule, doc) Shape rule(const Attrs&, Shapes);
TENDON_OPS(X)
#undef X
}  // namespace shape_rules

}  // namespace tendon
