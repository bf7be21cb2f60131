// How the weights of a product come from the checkpoint into the layout that kernels read: each piece of the
// file is read once, for all formats that are wanted of it.
#pragma once

#include <functional>
#include <vector>

#include "base/memory.h"
#include "graph/graph.h"
#include "kernels/kernels.h"

namespace tendon {

// Products of one weight in one layout share its matrices: a network unrolled over time is packed once.
struct WeightLayout {
  int weight;
  Op op;
  int64_t stride, pad;  // of a transposed convolution, whose phases they decide
  auto operator<=>(const WeightLayout&) const = default;
};
WeightLayout layout_of(const Node& product);

// One matrix (n, k) as a kernel wants it. A transposed convolution has one per output phase.
struct PackedMatrix {
  WeightFormat format;
  int64_t n, k;
  size_t bytes;
  uint8_t* data;  // null until it has a place
};

// Whether most weights of a network, those of its 2-D convolutions left out, are read again in every step of
// a loop.
bool is_mostly_looped(const Graph& graph);

// The matrices of a product, without a place: in `wanted`, or in f32 where the kernels lack it, the product
// is to be exact or the matrix is too small to gain by it.
std::vector<PackedMatrix> describe_product(const Graph& graph, const Node& product,
                                           const KernelTable& kernels, WeightFormat wanted,
                                           bool mostly_looped);

// Memory that one thread uses again for piece after piece: outside the heap, which would keep it.
class Scratch {
 public:
  float* floats(int64_t count);

 private:
  Block block_;
};
struct PackingRoom {
  Scratch file, rows;
};

// Pieces of work that may be done beside each other.
using PackingJobs = std::vector<std::function<void(PackingRoom&)>>;

// What fills the matrices of a product in every target; their memory is zero and stays where it is.
void add_jobs(const Graph& graph, const Node& product, const KernelTable& kernels,
              const std::vector<const std::vector<PackedMatrix>*>& targets, PackingJobs& jobs);

// Does all of them, on as many threads as the system gives of `threads` (0: default_threads()); throws what
// the first to fail threw.
void do_all(const PackingJobs& jobs, int threads = 0);

}  // namespace tendon
