#include "compile/split.h"

#include <cmath>
#include <map>
#include <utility>

#include "compile/copier.h"

namespace tendon {

namespace {

class Splitter : public Copier {
 public:
  using Copier::Copier;

 private:
  int visit(int id) override {
    const Node& node = from_.at(id);
    std::vector<int> in = mapped(node);
    switch (node.op) {
      case Op::linear:
        if (mixed(in[0]) && is_last_axis(in[0])) return split_columns(in);
        break;
      case Op::binary:
        return split_binary(node, in, id);
      case Op::concat:
        return flatten(node, in);
      case Op::slice:
        return slice_of_concat(node, in, id);
      case Op::attention:
        return split_attention(node, in, id);
      default:
        break;
    }
    const Cuts cuts = op_info(node.op).facts.cuts;
    const bool commutes = cuts != Cuts::none && mixed(in[0]) && (cuts == Cuts::all || !is_last_axis(in[0]));
    return commutes ? each_piece(node, in) : copy(id);
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

  int concat(const std::vector<int>& pieces, int axis) {
    return pieces.size() == 1 ? pieces[0] : to_.add(Op::concat, pieces, attrs_of(AxisAttrs{axis}));
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
      pieces.push_back(to_.add(node, inputs));
    }
    return concat(pieces, axis_of(whole));
  }

  int slice(int id, int axis, int64_t start, int64_t length) {
    return to_.add(Op::slice, {id}, attrs_of(SliceAttrs{axis, start, length}));
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
      const int product = to_.add(Op::linear, inputs);
      sum = sum < 0 ? product : to_.add(Binary::add, product, sum);
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
        pieces.push_back(i == 0 ? to_.add(node.binary, whole.inputs[p], o)
                                : to_.add(node.binary, o, whole.inputs[p]));
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
    const auto [_, start, kept] = node.attrs.as<SliceAttrs>();
    const int64_t end = start + kept;
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
      pieces.push_back(to_.add(node, {piece, concat(ks, 1), concat(vs, 1), seen_mask}));
      row += length;
    }
    return concat(pieces, 1);
  }
};

}  // namespace

Graph split_by_stage(const Graph& graph) { return Splitter(graph).run(); }

}  // namespace tendon
