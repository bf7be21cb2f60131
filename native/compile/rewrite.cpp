#include "compile/rewrite.h"

#include "compile/copier.h"
#include "compile/fold.h"
#include "compile/merge.h"
#include "compile/split.h"

namespace tendon {

namespace {

// Leaves out nodes that no output needs.
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
  g = fold_constants(g);
  g = fold_batch_norms(g);
  g = split_by_stage(merge_equal(g));
  g = Pruner(merge_equal(g)).run();
  g = fold_constants(g);
  return Pruner(g).run();
}

}  // namespace tendon
