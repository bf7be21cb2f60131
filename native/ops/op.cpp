// The table of ops, and how its rows are found.
#include "ops/op.h"

namespace tendon {

namespace {

template <class T>
std::vector<AttrInfo> attr_infos() {
  std::vector<AttrInfo> infos;
  T defaults;
  T::fields(defaults, [&](const char* name, auto& field, bool is_required) {
    infos.push_back({name, static_cast<double>(field), is_required,
                     std::is_integral_v<std::remove_reference_t<decltype(field)>>});
  });
  return infos;
}

const std::vector<OpInfo>& table() {
#define X(name, Attributes, fact, least, most, list, rule, doc) \
  {Op::name, #name, facts::fact, least, most, attr_infos<Attributes>(), list, shape_rules::rule, doc},
  static const std::vector<OpInfo> ops = {TENDON_OPS(X)};
#undef X
  return ops;
}

// Named by its functions.
bool is_family(const OpInfo& info) {
  return info.op == Op::unary || info.op == Op::binary || info.op == Op::reduce;
}

}  // namespace

const OpInfo& op_info(Op op) { return table()[static_cast<size_t>(op)]; }

const OpInfo* find_op(const std::string& name) {
  if (find_unary(name) != Unary::none) return &op_info(Op::unary);
  if (find_binary(name) != Binary::count) return &op_info(Op::binary);
  if (find_reduce(name) != Reduce::count) return &op_info(Op::reduce);
  for (const OpInfo& info : table())
    if (name == info.name && !is_family(info)) return &info;
  return nullptr;
}

std::vector<std::string> op_names() {
  std::vector<std::string> names;
  for (const OpInfo& info : table())
    if (info.facts.kind != OpKind::source && !is_family(info)) names.emplace_back(info.name);
  for (const char* name : function_names()) names.emplace_back(name);
  return names;
}

}  // namespace tendon
