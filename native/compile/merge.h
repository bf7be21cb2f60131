// Equal nodes become one: the same function of the same values, or the same tensor of the same file. A
// network that is used several times (a dynamics model unrolled over a horizon) then has its weights once.
#pragma once

#include "graph/graph.h"

namespace tendon {

Graph merge_equal(const Graph& graph);

}  // namespace tendon
