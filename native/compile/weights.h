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
  Block data;  // empty where it is packed when its turn comes
};

// Products of one weight in one layout share its matrices: a network unrolled over time is packed once.
struct WeightLayout {
  int weight;
  Op op;
  int64_t stride, pad;  // of a transposed convolution, whose phases they decide
  auto operator<=>(const WeightLayout&) const = default;
};

enum class Packing : uint8_t { now, when_needed };

class Weights {
 public:
  // Packs every product of `graph` in `wanted`, falling back to f32 where the kernels lack the format or the
  // matrix is too small to gain, and keeps the other tensors that instructions read. `when_needed` leaves the
  // matrices empty: whoever runs the program takes them from a PackingStream.
  Weights(const Graph& graph, const KernelTable& kernels, WeightFormat wanted,
          Packing packing = Packing::now);

  // Packs those matrices that were left empty and that no PackingStream has packed beside its own.
  void complete(const Graph& graph, const KernelTable& kernels);

  const std::vector<PackedMatrix>& matrices(int product) const { return packed_.at(layout_of_.at(product)); }
  const float* tensor(int node) const { return tensors_.at(node).floats(); }
  // Those of matrices that are packed when needed among them.
  size_t bytes() const { return bytes_; }
  // All memory of the model, for whoever copies it elsewhere.
  template <class Visit>
  void for_each_block(Visit visit) const {
    for (const auto& [layout, matrices] : packed_)
      for (const PackedMatrix& matrix : matrices) visit(matrix.data);
    for (const auto& [node, block] : tensors_) visit(block);
  }

 private:
  std::map<WeightLayout, std::vector<PackedMatrix>> packed_;
  std::map<int, WeightLayout> layout_of_;
  friend class PackingStream;

  WeightFormat wanted_;
  std::map<int, Block> tensors_;
  size_t bytes_ = 0;
};

// The matrices of one product after the other, without those of all at once in memory: for a network that is
// run once. Those of small networks are kept for the next product that has the same weight. The matrices of
// `beside`, where there is one, are packed on the way, so that the file is read once for both.
class PackingStream {
 public:
  PackingStream(const Graph& graph, const KernelTable& kernels, WeightFormat wanted,
                Weights* beside = nullptr)
      : graph_(graph), kernels_(kernels), wanted_(wanted), beside_(beside) {}
  // Valid until the next call.
  const std::vector<PackedMatrix>& matrices(int product);

 private:
  const Graph& graph_;
  const KernelTable& kernels_;
  WeightFormat wanted_;
  Weights* beside_;
  void recycle();

  std::map<WeightLayout, std::vector<PackedMatrix>> kept_;
  Block spare_;
  size_t bytes_ = 0;
};

}  // namespace tendon
