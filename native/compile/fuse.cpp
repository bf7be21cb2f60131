#include "compile/fuse.h"

namespace tendon {

namespace {

// From how many rows a layer norm rides on the product before it, and up to which width its sums stay in
// cache.
constexpr int64_t whole_rows = 64, widest_row = 2048;

class Fuser {
 public:
  Fuser(const Graph& graph, int batch) : graph_(graph), batch_(batch), uses_(graph.nodes().size()) {
    for (const Node& node : graph.nodes())
      for (int input : node.inputs) ++uses_[input];
    for (const Output& output : graph.outputs()) uses_[output.node] += 2;  // must be written as it is
  }

  Fusion run() {
    const int count = static_cast<int>(graph_.nodes().size());
    out_.root.assign(count, -1);
    out_.tail.resize(count);
    for (int id = 0; id < count; ++id) {
      const OpKind kind = op_info(graph_.at(id).op).facts.kind;
      if (kind == OpKind::source || kind == OpKind::view) continue;
      if (ride(id)) continue;
      out_.root[id] = id;
      out_.tail[id].last = id;
    }
    return std::move(out_);
  }

 private:
  // How far the epilogue of a root has been filled.
  static Slot filled(const Tail& t) {
    if (t.act_last != Unary::none) return Slot::act_last;
    if (t.residual >= 0) return Slot::residual;
    if (t.shift >= 0) return Slot::shift;
    if (t.scale >= 0) return Slot::scale;
    if (t.act != Unary::none) return Slot::act;
    return t.norm >= 0 ? Slot::norm : Slot::bare;
  }
  // Whether `slot` of the root is still before it.
  bool is_free(int root, Slot slot) const {
    return filled(out_.tail[root]) < slot && can_carry(graph_.at(root), slot);
  }

  // The open root behind operand `i` of `node`, or −1.
  int open_root(const Node& node, int i) const {
    const int x = node.inputs[i];
    const int root = out_.root[x];
    if (root < 0 || out_.tail[root].last != x || uses_[x] != 1) return -1;
    const Node& value = graph_.at(x);
    return stage_class(value.stage) == stage_class(node.stage) && value.shape == node.shape ? root : -1;
  }

  bool take(int root, int id) {
    out_.tail[root].last = id;
    out_.root[id] = root;
    return true;
  }

  bool ride(int id) {
    const Node& node = graph_.at(id);
    switch (node.op) {
      case Op::group_norm: {
        const int root = open_root(node, 0);
        if (root < 0 || !is_free(root, Slot::norm)) return false;
        out_.tail[root].norm = id;
        return take(root, id);
      }
      case Op::layer_norm: {
        // As a group norm of one group over rows that are batch elements of their own. A thread must then
        // have whole rows, so only where there are enough for all.
        const int root = open_root(node, 0);
        const bool many = node.stage & stage_step && node.shape[0] * batch_ >= whole_rows;
        if (root < 0 || !many || node.shape.rank != 2 || graph_.at(root).op != Op::linear) return false;
        if (!is_free(root, Slot::norm) || node.shape.last() > widest_row) return false;
        out_.tail[root].norm = id;
        return take(root, id);
      }
      case Op::unary: {
        const int root = open_root(node, 0);
        if (root < 0 || node.unary > Unary::last_fusible) return false;
        return ride_unary(root, id, node.unary);
      }
      case Op::binary:
        if (node.binary == Binary::mul) return ride_binary(id, 0) || ride_binary(id, 1);
        // Of two products the later carries the earlier as its residual.
        if (node.binary == Binary::add)
          return node.inputs[1] > node.inputs[0] ? ride_binary(id, 1) || ride_binary(id, 0)
                                                 : ride_binary(id, 0) || ride_binary(id, 1);
        return false;
      default:
        return false;
    }
  }

  bool ride_unary(int root, int id, Unary f) {
    Tail& tail = out_.tail[root];
    if (is_free(root, Slot::act)) {
      tail.act = f;
    } else if (is_free(root, Slot::act_last)) {
      tail.act_last = f;
    } else {
      return false;
    }
    return take(root, id);
  }

  bool ride_binary(int id, int i) {
    const Node& node = graph_.at(id);
    if (node.inputs[0] == node.inputs[1]) return false;
    const int root = open_root(node, i), other = node.inputs[1 - i];
    if (root < 0) return false;
    Tail& tail = out_.tail[root];
    if (node.binary == Binary::mul) {
      if (!is_free(root, Slot::scale) || !per_channel(other, node.shape)) return false;
      tail.scale = other;
    } else if (filled(tail) == Slot::bare && tail.bias < 0 && is_row_bias(root, other, node.shape)) {
      tail.bias = other;
    } else if (is_free(root, Slot::shift) && per_channel(other, node.shape)) {
      // Scale and shift share one stride: a vector beside a per-batch row keeps its own slot only when alike.
      if (tail.scale >= 0 && (graph_.at(tail.scale).shape.rank == 1) != (graph_.at(other).shape.rank == 1))
        return false;
      if (tail.scale >= 0 && graph_.at(tail.scale).shape.rank > 1 && rows_differ(tail.scale, other))
        return false;
      tail.shift = other;
    } else if (is_free(root, Slot::residual) && per_position(other, node.shape)) {
      tail.residual = other;
    } else {
      return false;
    }
    return take(root, id);
  }

  bool rows_differ(int a, int b) const {
    return graph_.at(a).shape[0] != graph_.at(b).shape[0] ||
           stage_class(graph_.at(a).stage) != stage_class(graph_.at(b).stage);
  }

  // Known before the step and the same for all of its rows.
  bool is_row_bias(int root, int other, const Shape& out) const {
    const Node& product = graph_.at(root);
    const Node& row = graph_.at(other);
    return product.op == Op::linear && product.inputs.size() == 2 && product.stage & stage_step &&
           !(row.stage & stage_step) && row.shape.rank == 2 && row.shape[0] == 1 &&
           row.shape.last() == out.last();
  }

  // A vector of the channels, or (batch, 1, …, channels).
  bool per_channel(int id, const Shape& out) const {
    const Shape& s = graph_.at(id).shape;
    if (s.last() != out.last()) return false;
    if (s.rank == 1) return true;
    for (int i = 1; i < s.rank - 1; ++i)
      if (s[i] != 1) return false;
    return true;
  }

  // Like the output but for a smaller batch.
  bool per_position(int id, const Shape& out) const {
    const Shape& s = graph_.at(id).shape;
    if (s.rank != out.rank) return false;
    for (int i = 1; i < s.rank; ++i)
      if (s[i] != out[i]) return false;
    return true;
  }

  const Graph& graph_;
  const int batch_;
  std::vector<int> uses_;
  Fusion out_;
};

}  // namespace

bool can_carry(const Node& root, Slot slot) {
  const Facts& facts = op_info(root.op).facts;
  if (facts.carries == Carries::activation) return slot == Slot::act;
  if (facts.carries != Carries::tail) return false;
  // Phases are written in turns: no group of channels is whole in one, nor is there a residual of theirs
  // alone.
  return !facts.phased || (slot != Slot::norm && slot != Slot::residual);
}

Fusion fuse(const Graph& graph, int batch) { return Fuser(graph, batch).run(); }

}  // namespace tendon
