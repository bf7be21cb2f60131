// Passes that leave less to compute: what only the weights decide.
#pragma once

#include "graph/graph.h"

namespace tendon {

// Values of the model alone become constants, computed by the reference kernels.
Graph fold_constants(const Graph& graph);

// A batch norm with fixed moments rides into the weights of the product before it, or becomes a scale and a
// shift.
Graph fold_batch_norms(const Graph& graph);

}  // namespace tendon
