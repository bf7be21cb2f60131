// What a model keeps of its checkpoint: matrix weights packed for this machine's kernels, everything else as
// f32.
#pragma once

#include <map>
#include <memory>
#include <vector>

#include "base/memory.h"
#include "compile/packing.h"
#include "graph/graph.h"
#include "kernels/kernels.h"

namespace tendon {

enum class Packing : uint8_t { now, when_needed };

// A piece of a model's weights that instructions read: matrix `phase` of a product, or a tensor.
struct WeightPart {
  int node;
  int phase;  // −1: the node's own numbers as f32
  size_t bytes;
};

class Weights {
 public:
  // Packs every product of `graph` in `wanted`, falling back to f32 as describe_product() does, and keeps the
  // other tensors that instructions read. `when_needed` leaves the matrices without memory: complete() packs
  // them, or whoever runs the program takes them from a PackingStream.
  Weights(const Graph& graph, const KernelTable& kernels, WeightFormat wanted,
          Packing packing = Packing::now);

  // Packs those matrices of all of them that are not packed yet, reading the file once.
  static void complete(const Graph& graph, const KernelTable& kernels, const std::vector<Weights*>& all);

  const std::vector<PackedMatrix>& matrices(int product) const {
    return packed_.at(layout_of_.at(product)).matrices;
  }
  const float* tensor(int node) const { return tensors_.at(node).floats(); }
  // Products that share their matrices have the same part.
  WeightPart matrix_part(int product, int phase) const;
  WeightPart tensor_part(int node) const { return {node, -1, tensors_.at(node).bytes()}; }
  // Null for a matrix that is not packed yet.
  const uint8_t* data(const WeightPart& part) const {
    return part.phase < 0 ? tensors_.at(part.node).data() : matrices(part.node)[part.phase].data;
  }
  // Those of matrices that are not packed yet among them.
  size_t bytes() const { return bytes_; }
  // All matrices and tensors of the model, for whoever copies them elsewhere: where each begins, and its
  // bytes.
  template <class Visit>
  void for_each_part(Visit visit) const {
    for (const auto& [layout, packed] : packed_)
      for (const PackedMatrix& matrix : packed.matrices)
        if (matrix.data != nullptr) visit(matrix.data, matrix.bytes);
    for (const auto& [node, block] : tensors_) visit(block.data(), block.bytes());
  }

 private:
  friend class PackingStream;
  struct Packed {
    int product;  // one of those that share them
    std::vector<PackedMatrix> matrices;
    bool done = false;
  };
  // Gives all matrices their memory, of which none is touched yet.
  void place();

  std::map<WeightLayout, Packed> packed_;
  std::map<int, WeightLayout> layout_of_;
  std::map<int, Block> tensors_;
  Block memory_;  // of all matrices: one block has the fewest pages
  size_t bytes_ = 0;
};

// The matrices of one product after the other, without those of all at once in memory: for a network that is
// run once. Those of small networks are kept for the next product that has the same weight. The matrices of
// `beside`, where there is one, are packed on the way, so that the file is read once for both; as many of
// them as leave room for the largest of these, so that both together need no more than `beside` will. The
// rest is left to complete().
class PackingStream {
 public:
  // Of what `described` describes; it must outlive the stream.
  PackingStream(const Graph& graph, const KernelTable& kernels, const Weights& described,
                Weights* beside = nullptr);
  // Valid until the next call.
  const std::vector<PackedMatrix>& matrices(int product);

 private:
  const Graph& graph_;
  const KernelTable& kernels_;
  const Weights& described_;
  Weights* beside_;
  size_t beside_room_ = 0;  // bytes that may still be packed for it
  std::map<WeightLayout, std::vector<PackedMatrix>> kept_;
  Block memory_;
  size_t used_ = 0, touched_ = 0;
};

}  // namespace tendon
