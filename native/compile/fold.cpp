#include "compile/fold.h"

#include <cmath>
#include <map>
#include <memory>
#include <string>

#include "compile/bound.h"
#include "compile/copier.h"
#include "compile/dispatch.h"

namespace tendon {

namespace {

class Folder : public Copier {
 public:
  explicit Folder(const Graph& from) : Copier(from), waits_(from.nodes().size()) {
    for (int id = 0; id < static_cast<int>(waits_.size()); ++id) {
      waits_[id] = is_computed(id) && needs_folded(from_.at(id));
      any_waits_ = any_waits_ || waits_[id];
    }
    evaluate();
  }
  bool any_waits() const { return any_waits_; }

 private:
  bool is_computed(int id) const {
    return from_.at(id).stage == stage_model && op_info(from_.at(id).op).facts.kind != OpKind::source;
  }
  // A product's weight is packed from its numbers, so one that is computed must be folded a round before.
  bool needs_folded(const Node& node) const {
    if (op_info(node.op).is_product() && !from_.at(node.inputs[1]).data) return true;
    for (int input : node.inputs)
      if (waits_[input]) return true;
    return false;
  }
  bool folds(int id) const { return is_computed(id) && !waits_[id]; }

  // Compiles the model-stage part for the reference kernels and runs it once.
  void evaluate() {
    std::vector<bool> wanted(from_.nodes().size());
    bool any = false;
    for (int id = static_cast<int>(from_.nodes().size()) - 1; id >= 0; --id) {
      const Node& node = from_.at(id);
      if (folds(id)) any = true;
      if (node.stage != stage_model || waits_[id])
        for (int input : node.inputs) wanted[input] = wanted[input] || folds(input);
    }
    for (const Output& output : from_.outputs())
      wanted[output.node] = wanted[output.node] || folds(output.node);
    if (!any) return;
    std::vector<bool> needed = wanted;
    for (int id = static_cast<int>(needed.size()) - 1; id >= 0; --id)
      if (needed[id])
        for (int input : from_.at(id).inputs) needed[input] = true;
    Graph part;
    std::vector<int> at(needed.size(), -1);
    std::vector<int> kept;
    for (int id = 0; id < static_cast<int>(needed.size()); ++id) {
      if (!needed[id]) continue;
      const Node& node = from_.at(id);
      std::vector<int> inputs;
      for (int input : node.inputs) inputs.push_back(at[input]);
      at[id] = node.data ? part.adopt(node) : part.add(node, inputs);
      if (wanted[id]) {
        part.output(std::to_string(id), at[id]);
        kept.push_back(id);
      }
    }
    if (kept.empty()) return;
    const KernelTable& kernels = reference_kernels();
    const auto weights = std::make_shared<Weights>(part, kernels, WeightFormat::f32);
    const Bound program(compile(part, *weights, kernels, {}), weights);
    for (const BoundInstruction& instruction : program.list(List::observation))
      dispatch(kernels, instruction.args, [](auto run) { run(Part{0, 1}); });
    for (size_t i = 0; i < kept.size(); ++i) {
      const float* data = program.output(i);
      folded_[kept[i]] = std::vector<float>(data, data + from_.at(kept[i]).shape.count());
    }
  }

  int visit(int id) override {
    const auto it = folded_.find(id);
    if (it != folded_.end()) return to_.constant(from_.at(id).shape, it->second);
    return folds(id) ? -1 : copy(id);  // −1: only other folded values needed it
  }

  std::vector<bool> waits_;
  bool any_waits_ = false;
  std::map<int, std::vector<float>> folded_;
};

class BatchNormFolder : public Copier {
 public:
  explicit BatchNormFolder(const Graph& from) : Copier(from), uses_(from.nodes().size()) {
    for (const Node& node : from.nodes())
      for (int input : node.inputs) ++uses_[input];
    for (const Output& output : from.outputs()) ++uses_[output.node];
  }

 private:
  int visit(int id) override {
    const Node& node = from_.at(id);
    if (node.op != Op::batch_norm) return copy(id);
    const int64_t n = node.shape.last();
    const std::vector<float> w = values_of(from_, node.inputs[1]), b = values_of(from_, node.inputs[2]),
                             mean = values_of(from_, node.inputs[3]), var = values_of(from_, node.inputs[4]);
    std::vector<float> mul(n), add(n);
    const double eps = node.attrs.as<EpsAttrs>().eps;
    for (int64_t i = 0; i < n; ++i) {
      mul[i] = static_cast<float>(w[i] / std::sqrt(static_cast<double>(var[i]) + eps));
      add[i] = b[i] - mean[i] * mul[i];
    }
    const Node& product = from_.at(node.inputs[0]);
    const bool folds = op_info(product.op).is_product() && !op_info(product.op).facts.phased &&
                       uses_[node.inputs[0]] == 1 && from_.at(product.inputs[1]).data;
    if (!folds) {
      const int scaled = to_.add(Binary::mul, map_[node.inputs[0]], to_.constant({n}, mul));
      return to_.add(Binary::add, scaled, to_.constant({n}, add));
    }
    if (product.inputs.size() > 2) {
      const std::vector<float> bias = values_of(from_, product.inputs[2]);
      for (int64_t i = 0; i < n; ++i) add[i] += bias[i] * mul[i];
    }
    return to_.add(product, {map_[product.inputs[0]], to_.scaled(from_.at(product.inputs[1]), mul),
                             to_.constant({n}, add)});
  }

  std::vector<int> uses_;
};

}  // namespace

Graph fold_constants(const Graph& graph) {
  Folder folder(graph);
  Graph folded = folder.run();
  return folder.any_waits() ? fold_constants(folded) : folded;
}

Graph fold_batch_norms(const Graph& graph) { return BatchNormFolder(graph).run(); }

}  // namespace tendon
