#include "compile/rewrite.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "compile/dispatch.h"
#include "compile/merge.h"
#include "compile/program.h"

namespace tendon {

namespace {

std::vector<float> values_of(const Graph& graph, int id) {
  std::vector<float> v(static_cast<size_t>(graph.at(id).shape.count()));
  graph.at(id).data->read(v.data(), graph.at(id).shape.count());
  return v;
}

int axis_of(const Node& node) {
  return static_cast<int>((node.attrs.integer(0) + node.shape.rank) % node.shape.rank);
}

// Copies `from` node by node; `visit` may put something else in a node's place.
class Copier {
 public:
  explicit Copier(const Graph& from) : from_(from), map_(from.nodes().size(), -1) {}
  virtual ~Copier() = default;

  Graph run() {
    for (int id = 0; id < static_cast<int>(from_.nodes().size()); ++id) map_[id] = visit(id);
    for (const Output& output : from_.outputs()) to_.output(output.name, map_[output.node]);
    return std::move(to_);
  }

 protected:
  virtual int visit(int id) { return copy(id); }

  std::vector<int> mapped(const Node& node) const {
    std::vector<int> inputs;
    for (int input : node.inputs) inputs.push_back(map_[input]);
    return inputs;
  }

  int copy(int id) {
    const Node& node = from_.at(id);
    if (node.op == Op::input) return to_.input(node.name, node.shape, node.stage);
    if (node.data) return to_.adopt(node);
    return to_.add(function_name(node), mapped(node), node.attrs);
  }

  const Graph& from_;
  Graph to_;
  std::vector<int> map_;
};

// ---- Values of the model alone become constants ----

class Folder : public Copier {
 public:
  explicit Folder(const Graph& from) : Copier(from) { evaluate(); }

 private:
  bool is_computed(int id) const {
    return from_.at(id).stage == stage_model && op_info(from_.at(id).op).kind != OpKind::source;
  }

  // Compiles the model-stage part for the reference kernels and runs it once.
  void evaluate() {
    std::vector<bool> wanted(from_.nodes().size());
    bool any = false;
    for (int id = static_cast<int>(from_.nodes().size()) - 1; id >= 0; --id) {
      const Node& node = from_.at(id);
      if (is_computed(id)) any = true;
      if (node.stage != stage_model)
        for (int input : node.inputs) wanted[input] = wanted[input] || is_computed(input);
    }
    for (const Output& output : from_.outputs())
      wanted[output.node] = wanted[output.node] || is_computed(output.node);
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
      at[id] = node.data ? part.adopt(node) : part.add(function_name(node), inputs, node.attrs);
      if (wanted[id]) {
        part.output(std::to_string(id), at[id]);
        kept.push_back(id);
      }
    }
    if (kept.empty()) return;
    const KernelTable& kernels = reference_kernels();
    const auto program =
        compile(part, std::make_shared<Weights>(part, kernels, WeightFormat::f32), kernels, {});
    for (const Instruction& instruction : program->list(List::observation))
      dispatch(kernels, instruction.args, {0, 1}, [] {});
    for (size_t i = 0; i < kept.size(); ++i) {
      const float* data = program->outputs[i].data;
      folded_[kept[i]] = std::vector<float>(data, data + from_.at(kept[i]).shape.count());
    }
  }

  int visit(int id) override {
    const auto it = folded_.find(id);
    if (it != folded_.end()) return to_.constant(from_.at(id).shape, it->second);
    return is_computed(id) ? -1 : copy(id);  // −1: only other folded values needed it
  }

  std::map<int, std::vector<float>> folded_;
};

// ---- Batch norm with fixed moments rides into the weights of the product before it ----

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
    for (int64_t i = 0; i < n; ++i) {
      mul[i] = static_cast<float>(w[i] / std::sqrt(static_cast<double>(var[i]) + node.attrs.number(0)));
      add[i] = b[i] - mean[i] * mul[i];
    }
    const Node& product = from_.at(node.inputs[0]);
    const bool folds = op_info(product.op).kind == OpKind::product && product.op != Op::conv_transpose1d &&
                       uses_[node.inputs[0]] == 1 && from_.at(product.inputs[1]).data;
    if (!folds) {
      const int scaled = to_.add("mul", {map_[node.inputs[0]], to_.constant({n}, mul)}, {});
      return to_.add("add", {scaled, to_.constant({n}, add)}, {});
    }
    if (product.inputs.size() > 2) {
      const std::vector<float> bias = values_of(from_, product.inputs[2]);
      for (int64_t i = 0; i < n; ++i) add[i] += bias[i] * mul[i];
    }
    return to_.add(
        op_info(product.op).name,
        {map_[product.inputs[0]], to_.scaled(from_.at(product.inputs[1]), mul), to_.constant({n}, add)},
        product.attrs);
  }

  std::vector<int> uses_;
};

// ---- Splitting by stage ----

class Splitter : public Copier {
 public:
  using Copier::Copier;

 private:
  int visit(int id) override {
    const Node& node = from_.at(id);
    std::vector<int> in = mapped(node);
    switch (node.op) {
      case Op::unary:
      case Op::affine:
        return mixed(in[0]) ? each_piece(node, in) : copy(id);
      case Op::layer_norm:
      case Op::rms_norm:
        return mixed(in[0]) && !is_last_axis(in[0]) ? each_piece(node, in) : copy(id);
      case Op::linear:
        if (!mixed(in[0])) return copy(id);
        return is_last_axis(in[0]) ? split_columns(in) : each_piece(node, in);
      case Op::binary:
        return split_binary(node, in, id);
      case Op::concat:
        return flatten(node, in);
      case Op::slice:
        return slice_of_concat(node, in, id);
      case Op::attention:
        return split_attention(node, in, id);
      default:
        return copy(id);
    }
  }

  // A concat whose pieces become known at different stages.
  bool mixed(int id) const {
    const Node& node = to_.at(id);
    if (node.op != Op::concat || axis_of(node) == 0) return false;
    for (int piece : node.inputs)
      if (stage_class(to_.at(piece).stage) != stage_class(to_.at(node.inputs[0]).stage)) return true;
    return false;
  }

  bool is_last_axis(int id) const { return axis_of(to_.at(id)) == to_.at(id).shape.rank - 1; }

  Attrs axis_attrs(int axis) const { return {{static_cast<double>(axis)}, {}}; }

  int concat(const std::vector<int>& pieces, int axis) {
    return pieces.size() == 1 ? pieces[0] : to_.add("concat", pieces, axis_attrs(axis));
  }

  // Pieces of pieces along one axis are pieces; neighbours of one stage become one piece again, so that
  // splitting by stage cuts no finer than it must.
  int flatten(const Node& node, const std::vector<int>& in) {
    const int axis = axis_of(node);
    std::vector<int> flat;
    for (int id : in) {
      const Node& piece = to_.at(id);
      const bool inner = piece.op == Op::concat && axis_of(piece) == axis && piece.shape[0] == node.shape[0];
      if (inner) {
        flat.insert(flat.end(), piece.inputs.begin(), piece.inputs.end());
      } else {
        flat.push_back(id);
      }
    }
    std::vector<int> pieces, run;
    for (size_t i = 0; i < flat.size(); ++i) {
      run.push_back(flat[i]);
      const bool ends = i + 1 == flat.size() ||
                        stage_class(to_.at(flat[i]).stage) != stage_class(to_.at(flat[i + 1]).stage);
      if (!ends) continue;
      pieces.push_back(concat(run, axis));
      run.clear();
    }
    return concat(pieces, axis);
  }

  // f(concat(a, b)) = concat(f(a), f(b))
  int each_piece(const Node& node, const std::vector<int>& in) {
    const Node whole = to_.at(in[0]);
    std::vector<int> pieces;
    for (int piece : whole.inputs) {
      std::vector<int> inputs = in;
      inputs[0] = piece;
      pieces.push_back(to_.add(function_name(node), inputs, node.attrs));
    }
    return concat(pieces, axis_of(whole));
  }

  int slice(int id, int axis, int64_t start, int64_t length) {
    return to_.add(
        "slice", {id},
        {{static_cast<double>(axis), static_cast<double>(start), static_cast<double>(length)}, {}});
  }

  // W·[a; b] = W_a·a + W_b·b, pieces of one stage together, what is known earliest added first.
  int split_columns(const std::vector<int>& in) {
    const Node whole = to_.at(in[0]);
    const int axis = whole.shape.rank - 1;
    std::map<Stage, std::pair<std::vector<int>, std::vector<int>>> parts;  // activations, weight columns
    int64_t start = 0;
    for (int piece : whole.inputs) {
      const int64_t length = to_.at(piece).shape[axis];
      auto& part = parts[stage_class(to_.at(piece).stage)];
      part.first.push_back(piece);
      part.second.push_back(slice(in[1], 1, start, length));
      start += length;
    }
    int sum = -1;
    for (auto& [stage, part] : parts) {
      std::vector<int> inputs = {concat(part.first, axis), concat(part.second, 1)};
      if (sum < 0 && in.size() > 2) inputs.push_back(in[2]);
      const int product = to_.add("linear", inputs, {});
      sum = sum < 0 ? product : to_.add("add", {product, sum}, {});
    }
    return sum;
  }

  // Along a sequence: (a ‖ b) + (c ‖ d) = (a + c) ‖ (b + d) when cut alike, or when the other operand is the
  // model's.
  int split_binary(const Node& node, const std::vector<int>& in, int id) {
    for (int i = 0; i < 2; ++i) {
      const int x = in[i], other = in[1 - i];
      if (!mixed(x) || is_last_axis(x)) continue;
      const Node whole = to_.at(x);
      const Node beside = to_.at(other);
      const int axis = axis_of(whole);
      const bool vector = beside.shape.rank == 1;
      const bool shared = !vector && beside.shape.rank == whole.shape.rank && beside.shape[axis] == 1;
      const bool cut_alike = beside.op == Op::concat && beside.shape.rank == whole.shape.rank &&
                             axis_of(beside) == axis && same_cuts(whole, beside);
      const bool model = beside.stage == stage_model && beside.shape.rank == whole.shape.rank &&
                         beside.shape[axis] == whole.shape[axis];
      if (!vector && !(shared && beside.stage == stage_model) && !cut_alike && !model) continue;
      std::vector<int> pieces;
      int64_t start = 0;
      for (size_t p = 0; p < whole.inputs.size(); ++p) {
        const int64_t length = to_.at(whole.inputs[p]).shape[axis];
        const int o = vector || (shared && !cut_alike) ? other
                      : cut_alike                      ? beside.inputs[p]
                                                       : slice(other, axis, start, length);
        pieces.push_back(to_.add(
            function_name(node),
            i == 0 ? std::vector<int>{whole.inputs[p], o} : std::vector<int>{o, whole.inputs[p]}, {}));
        start += length;
      }
      return concat(pieces, axis);
    }
    return copy(id);
  }

  bool same_cuts(const Node& a, const Node& b) const {
    if (a.inputs.size() != b.inputs.size()) return false;
    for (size_t i = 0; i < a.inputs.size(); ++i)
      if (to_.at(a.inputs[i]).shape[axis_of(a)] != to_.at(b.inputs[i]).shape[axis_of(b)]) return false;
    return true;
  }

  // A slice that falls on whole pieces is those pieces.
  int slice_of_concat(const Node& node, const std::vector<int>& in, int id) {
    const Node whole = to_.at(in[0]);
    if (whole.op != Op::concat || axis_of(whole) != axis_of(node)) return copy(id);
    const int axis = axis_of(node);
    std::vector<int> pieces;
    int64_t at = 0;
    const int64_t start = node.attrs.integer(1), end = start + node.attrs.integer(2);
    for (int piece : whole.inputs) {
      const int64_t length = to_.at(piece).shape[axis];
      if (at >= start && at + length <= end) {
        pieces.push_back(piece);
      } else if (at + length > start && at < end) {
        return copy(id);
      }
      at += length;
    }
    for (int piece : pieces)
      if (to_.at(piece).shape[0] != whole.shape[0]) return copy(id);
    return concat(pieces, axis);
  }

  // Queries of each piece attend only to the keys the mask leaves them, so that under a causal mask the
  // tokens before the first noisy one are done before the first step.
  int split_attention(const Node& node, const std::vector<int>& in, int id) {
    if (!mixed(in[0]) || axis_of(to_.at(in[0])) != 1 || in.size() < 4) return copy(id);
    const Node q = to_.at(in[0]), k = to_.at(in[1]), v = to_.at(in[2]);
    if (to_.at(in[3]).stage != stage_model || !to_.at(in[3]).data) return copy(id);
    if (k.op != Op::concat || v.op != Op::concat || axis_of(k) != 1 || axis_of(v) != 1 || !same_cuts(k, v))
      return copy(id);
    const std::vector<float> mask = values_of(to_, in[3]);
    const int64_t keys = k.shape[1];
    std::vector<int> pieces;
    int64_t row = 0;
    for (int piece : q.inputs) {
      const int64_t length = to_.at(piece).shape[1];
      std::vector<int> ks, vs;
      std::vector<float> own;  // (length, visible keys)
      std::vector<int64_t> columns;
      int64_t at = 0;
      for (size_t p = 0; p < k.inputs.size(); ++p) {
        const int64_t width = to_.at(k.inputs[p]).shape[1];
        bool seen = false;
        for (int64_t i = row; i < row + length; ++i)
          for (int64_t j = at; j < at + width; ++j) seen |= mask[i * keys + j] != -INFINITY;
        if (seen) {
          ks.push_back(k.inputs[p]);
          vs.push_back(v.inputs[p]);
          for (int64_t j = at; j < at + width; ++j) columns.push_back(j);
        }
        at += width;
      }
      if (ks.empty()) return copy(id);
      for (int64_t i = row; i < row + length; ++i)
        for (int64_t j : columns) own.push_back(mask[i * keys + j]);
      const int seen_mask = to_.constant({length, static_cast<int64_t>(columns.size())}, own);
      pieces.push_back(to_.add("attention", {piece, concat(ks, 1), concat(vs, 1), seen_mask}, node.attrs));
      row += length;
    }
    return concat(pieces, 1);
  }
};

// ---- Nodes that no output needs ----

class Pruner : public Copier {
 public:
  explicit Pruner(const Graph& from) : Copier(from), live_(from.nodes().size()) {
    for (const Output& output : from.outputs()) live_[output.node] = true;
    for (int id = static_cast<int>(live_.size()) - 1; id >= 0; --id)
      if (live_[id])
        for (int input : from.at(id).inputs) live_[input] = true;
  }

 private:
  // Inputs stay even when unused: they are the caller's contract.
  int visit(int id) override { return live_[id] || from_.at(id).op == Op::input ? copy(id) : -1; }
  std::vector<bool> live_;
};

}  // namespace

Graph rewrite(const Graph& graph) {
  graph.verify();
  Graph g = Pruner(graph).run();
  g = Folder(g).run();
  g = BatchNormFolder(g).run();
  g = Splitter(merge_equal(g)).run();
  g = Pruner(merge_equal(g)).run();
  g = Folder(g).run();
  return Pruner(g).run();
}

}  // namespace tendon
