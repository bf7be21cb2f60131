#include "graph/functions.h"

namespace tendon {

namespace {
// In the order of the enums in kernels.h.
constexpr const char* unary_names[] = {"none",   "relu",       "gelu", "gelu_tanh", "silu", "mish",
                                       "tanh",   "sigmoid",    "elu",  "softplus",  "exp",  "log",
                                       "sin",    "cos",        "sqrt", "rsqrt",     "abs",  "neg",
                                       "square", "reciprocal", "erf",  "symexp"};
constexpr const char* binary_names[] = {"add", "sub", "mul", "div", "minimum", "maximum"};
constexpr const char* reduce_names[] = {"sum", "mean", "max", "min", "variance"};
static_assert(std::size(unary_names) == static_cast<size_t>(Unary::count));
static_assert(std::size(binary_names) == static_cast<size_t>(Binary::count));

template <size_t n>
int index_of(const char* const (&names)[n], const std::string& name) {
  for (size_t i = 0; i < n; ++i)
    if (name == names[i]) return static_cast<int>(i);
  return -1;
}
}  // namespace

const char* unary_name(Unary f) { return unary_names[static_cast<int>(f)]; }
const char* binary_name(Binary f) { return binary_names[static_cast<int>(f)]; }
const char* reduce_name(Reduce f) { return reduce_names[static_cast<int>(f)]; }

Unary find_unary(const std::string& name) {
  const int i = index_of(unary_names, name);
  return i > 0 ? static_cast<Unary>(i) : Unary::none;
}
Binary find_binary(const std::string& name) {
  const int i = index_of(binary_names, name);
  return i >= 0 ? static_cast<Binary>(i) : Binary::count;
}
int find_reduce(const std::string& name) { return index_of(reduce_names, name); }

std::vector<const char*> function_names() {
  std::vector<const char*> all(std::begin(unary_names) + 1, std::end(unary_names));
  all.insert(all.end(), std::begin(binary_names), std::end(binary_names));
  all.insert(all.end(), std::begin(reduce_names), std::end(reduce_names));
  return all;
}

}  // namespace tendon
