// What a model keeps of its checkpoint: matrix weights packed for this machine's kernels, everything else as
// f32.
#pragma once

#include <map>
#include <memory>
#include <vector>

#include "base/memory.h"
#include "graph/graph.h"
#include "kernels/kernels.h"

namespace tendon {

// One matrix (n, k) as a kernel wants it. A transposed convolution has one per output phase.
struct PackedMatrix {
  WeightFormat format;
  int64_t n, k;
  Block data;
};

class Weights {
 public:
  // Packs every product of `graph` in `wanted`, falling back to f32 where the kernels lack the format or the
  // matrix is too small to gain, and keeps the other tensors that instructions read.
  Weights(const Graph& graph, const KernelTable& kernels, WeightFormat wanted);

  const std::vector<PackedMatrix>& matrices(int product) const { return packed_.at(layout_of_.at(product)); }
  const float* tensor(int node) const { return tensors_.at(node).floats(); }
  size_t bytes() const { return bytes_; }
  // All memory of the model, for whoever copies it elsewhere.
  template <class Visit>
  void for_each_block(Visit visit) const {
    for (const auto& [layout, matrices] : packed_)
      for (const PackedMatrix& matrix : matrices) visit(matrix.data);
    for (const auto& [node, block] : tensors_) visit(block);
  }

 private:
  void pack_product(const Graph& graph, int product, const KernelTable& kernels, WeightFormat wanted);
  // Products of one weight in one layout share its matrices: a network unrolled over time is packed once.
  struct Layout {
    int weight;
    Op op;
    int64_t stride, pad;  // of a transposed convolution, whose phases they decide
    auto operator<=>(const Layout&) const = default;
  };
  std::map<Layout, std::vector<PackedMatrix>> packed_;
  std::map<int, Layout> layout_of_;
  std::map<int, Block> tensors_;
  size_t bytes_ = 0;
};

}  // namespace tendon
