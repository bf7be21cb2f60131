// Which nodes ride on which: a product carries the elementwise tail behind it, a norm carries one activation.
// The rest are instructions of their own. Epilogue order: bias → group norm → act → ·scale + shift → +
// residual → act_last (kernels/kernels.h).
#pragma once

#include <vector>

#include "graph/graph.h"

namespace tendon {

// The tail of a root node; −1 and none where a slot is empty.
struct Tail {
  int last;       // node whose value the fused instruction writes
  int bias = -1;  // one row that was computed, for a product that has no bias of its own
  int norm = -1;
  Unary act = Unary::none;
  int scale = -1, shift = -1, residual = -1;
  Unary act_last = Unary::none;
};

// The places of a tail in the order in which they are filled.
enum class Slot : uint8_t { bare, norm, act, scale, shift, residual, act_last };

// Whether the instruction of a root can hold that slot: what fuse() puts there, lower() can write.
bool can_carry(const Node& root, Slot slot);

struct Fusion {
  // By node: the root whose instruction computes it (itself for a root), −1 for views and sources.
  std::vector<int> root;
  // By root node.
  std::vector<Tail> tail;
};

// `batch`: rows of a step value declared with one.
Fusion fuse(const Graph& graph, int batch);

}  // namespace tendon
