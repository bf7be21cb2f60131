// Rewrites a graph into an equal one in which less is left for the denoising step: batch norms fold into
// convolutions, products over concatenations split by stage, sequences split where only some tokens change
// from step to step, model values become constants, dead nodes go.
#pragma once

#include "graph/graph.h"

namespace tendon {

Graph rewrite(const Graph& graph);

}  // namespace tendon
