// The frame of every rewriting pass: a graph copied node by node, of which a pass changes what it must.
#pragma once

#include <vector>

#include "graph/graph.h"

namespace tendon {

inline std::vector<float> values_of(const Graph& graph, int id) {
  std::vector<float> v(static_cast<size_t>(graph.at(id).shape.count()));
  graph.at(id).data->read(v.data(), graph.at(id).shape.count());
  return v;
}

// Of ops that have one.
inline int axis_of(const Node& node) {
  return static_cast<int>((node.attrs.as<AxisAttrs>().axis + node.shape.rank) % node.shape.rank);
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
    return to_.add(node, mapped(node));
  }

  const Graph& from_;
  Graph to_;
  std::vector<int> map_;
};

}  // namespace tendon
