#include "ops/functions.h"

namespace tendon {

namespace {

#define X(name) #name,
constexpr const char* unary_names[] = {"none", TENDON_UNARY(X)};
constexpr const char* reduce_names[] = {TENDON_REDUCE(X)};
#undef X
#define X(name, text) text,
constexpr const char* binary_names[] = {TENDON_BINARY(X)};
#undef X

// The length of `names` when it is not among them.
template <size_t n>
size_t index_of(const char* const (&names)[n], const std::string& name) {
  for (size_t i = 0; i < n; ++i)
    if (name == names[i]) return i;
  return n;
}

}  // namespace

const char* unary_name(Unary f) { return unary_names[static_cast<int>(f)]; }
const char* binary_name(Binary f) { return binary_names[static_cast<int>(f)]; }
const char* reduce_name(Reduce f) { return reduce_names[static_cast<int>(f)]; }

Unary find_unary(const std::string& name) {
  const size_t i = index_of(unary_names, name);
  return i < std::size(unary_names) ? static_cast<Unary>(i) : Unary::none;
}
Binary find_binary(const std::string& name) { return static_cast<Binary>(index_of(binary_names, name)); }
Reduce find_reduce(const std::string& name) { return static_cast<Reduce>(index_of(reduce_names, name)); }

std::vector<const char*> function_names() {
  std::vector<const char*> all(std::begin(unary_names) + 1, std::end(unary_names));
  all.insert(all.end(), std::begin(binary_names), std::end(binary_names));
  all.insert(all.end(), std::begin(reduce_names), std::end(reduce_names));
  return all;
}

}  // namespace tendon
