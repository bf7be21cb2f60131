#include "compile/weights.h"

#include <algorithm>
#include <cstring>

namespace tendon {

namespace {

// What PackingStream keeps at least: less than what a process needs besides its weights.
constexpr size_t kept_bytes = 16u << 20;
// Between matrices: enough for a device's widest copies too.
constexpr size_t border = 256;

bool is_product(const Node& node) { return op_info(node.op).is_product(); }

size_t room_for(const std::vector<PackedMatrix>& matrices) {
  size_t bytes = 0;
  for (const PackedMatrix& matrix : matrices) bytes += align_up(matrix.bytes, border);
  return bytes;
}

// Puts them side by side from `at` on; returns where they end.
size_t place_from(size_t at, const Block& memory, std::vector<PackedMatrix>& matrices) {
  for (PackedMatrix& matrix : matrices) {
    matrix.data = memory.data() + at;
    at += align_up(matrix.bytes, border);
  }
  return at;
}

}  // namespace

Weights::Weights(const Graph& graph, const KernelTable& kernels, WeightFormat wanted, Packing packing) {
  const auto& nodes = graph.nodes();
  std::vector<bool> is_read(nodes.size());
  for (const Node& node : nodes)
    for (size_t i = 0; i < node.inputs.size(); ++i)
      if (!is_product(node) || i != 1) is_read[node.inputs[i]] = true;
  for (const Output& output : graph.outputs()) is_read[output.node] = true;
  const bool mostly_looped = is_mostly_looped(graph);
  for (size_t node = 0; node < nodes.size(); ++node) {
    const int id = static_cast<int>(node);
    if (is_product(nodes[node])) {
      const WeightLayout layout = tendon::layout_of(nodes[node]);
      layout_of_[id] = layout;
      const auto [entry, is_new] = packed_.try_emplace(layout, Packed{id, {}});
      if (is_new) {
        entry->second.matrices = describe_product(graph, nodes[node], kernels, wanted, mostly_looped);
        for (const PackedMatrix& matrix : entry->second.matrices) bytes_ += matrix.bytes;
      }
    }
    if (!nodes[node].data || !is_read[node]) continue;
    Block block(static_cast<size_t>(nodes[node].shape.count()) * sizeof(float));
    nodes[node].data->read(block.floats(), nodes[node].shape.count());
    bytes_ += block.bytes();
    tensors_.emplace(id, std::move(block));
  }
  if (packing == Packing::now) complete(graph, kernels, {this});
}

WeightPart Weights::matrix_part(int product, int phase) const {
  const Packed& packed = packed_.at(layout_of_.at(product));
  return {packed.product, phase, packed.matrices[static_cast<size_t>(phase)].bytes};
}

void Weights::place() {
  if (memory_.bytes() > 0) return;
  size_t total = 0;
  for (const auto& [layout, packed] : packed_) total += room_for(packed.matrices);
  memory_ = Block(total, Touch::later);
  size_t at = 0;
  for (auto& [layout, packed] : packed_) at = place_from(at, memory_, packed.matrices);
}

void Weights::complete(const Graph& graph, const KernelTable& kernels, const std::vector<Weights*>& all) {
  if (all.empty()) return;
  PackingJobs jobs;
  for (Weights* weights : all) weights->place();
  for (const auto& [layout, first] : all.front()->packed_) {
    std::vector<const std::vector<PackedMatrix>*> targets;
    for (Weights* weights : all) {
      Packed& packed = weights->packed_.at(layout);
      if (!packed.done) targets.push_back(&packed.matrices);
      packed.done = true;
    }
    if (!targets.empty()) add_jobs(graph, graph.at(first.product), kernels, targets, jobs);
  }
  do_all(jobs);
}

PackingStream::PackingStream(const Graph& graph, const KernelTable& kernels, const Weights& described,
                             Weights* beside)
    : graph_(graph), kernels_(kernels), described_(described), beside_(beside) {
  size_t largest = 0, all = 0;
  for (const auto& [layout, packed] : described.packed_) {
    const size_t bytes = room_for(packed.matrices);
    largest = std::max(largest, bytes);
    all += bytes;
  }
  memory_ = Block(std::max(largest, std::min(all, kept_bytes)), Touch::later);
  if (beside == nullptr) return;
  beside->place();
  const size_t whole = beside->bytes() + kept_bytes;
  beside_room_ = whole - std::min(whole, largest);
}

const std::vector<PackedMatrix>& PackingStream::matrices(int product) {
  const Node& node = graph_.at(product);
  const WeightLayout layout = layout_of(node);
  if (const auto found = kept_.find(layout); found != kept_.end()) return found->second;
  std::vector<PackedMatrix> packed = described_.matrices(product);
  if (used_ + room_for(packed) > memory_.bytes()) {
    kept_.clear();
    used_ = 0;
  }
  const size_t end = place_from(used_, memory_, packed);
  // What lies behind the last row or column must be zero; fresh memory is.
  std::memset(memory_.data() + used_, 0, std::min(end, touched_) - std::min(used_, touched_));
  used_ = end;
  touched_ = std::max(touched_, end);
  std::vector<const std::vector<PackedMatrix>*> targets{&packed};
  if (beside_ != nullptr) {
    Weights::Packed& theirs = beside_->packed_.at(layout);
    const size_t bytes = room_for(theirs.matrices);
    if (!theirs.done && bytes <= beside_room_) {
      beside_room_ -= bytes;
      theirs.done = true;
      targets.push_back(&theirs.matrices);
    }
  }
  PackingJobs jobs;
  add_jobs(graph_, node, kernels_, targets, jobs);
  do_all(jobs);
  return kept_.emplace(layout, std::move(packed)).first->second;
}

}  // namespace tendon
