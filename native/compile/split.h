// The pass that moves work to earlier stages: what becomes known at different stages is computed apart.
#pragma once

#include "graph/graph.h"

namespace tendon {

// Products over concatenated columns become sums of products by stage; sequences are worked on piece by piece
// where only some tokens change from step to step.
Graph split_by_stage(const Graph& graph);

}  // namespace tendon
