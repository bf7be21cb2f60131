// Which products of a list hand their results to each other in bf16. Where products multiply in bf16, many
// rows are fetched from the cache again for every tile of channels; a copy in bf16 halves that, and is what
// the product would have rounded to itself. Copies lie in memory laid out as the program's own, element for
// element, so that they need no places of their own.
#pragma once

#include <map>
#include <vector>

#include "compile/program.h"

namespace tendon {

struct Bf16Use {
  bool reads = false, writes = false;
};

// Products that read a copy, all of which was written by products before, and those; no others.
std::map<const Instruction*, Bf16Use> find_bf16_copies(const std::vector<Instruction>& list);

}  // namespace tendon
