// A search tree over sampled actions: Sampled MuZero (Hubert et al. 2021) on the pUCT of MuZero
// (Schrittwieser et al. 2020). The tree keeps counts and values; whoever has the model gives what each leaf
// is worth. A node has K actions drawn from β, the policy prior with its spread times τ; the prior of each is
// π/(K·β), so that what β draws too often or too seldom is weighed as π would. Several leaves may be out at
// once: an edge under way counts as visited, without a value (WU-UCT, Liu et al. 2020). Nothing here
// allocates after construction.
#pragma once

#include <cstdint>
#include <vector>

namespace tendon {

// What an action that has not been tried counts, before it is normalised: 0, as MuZero has it, or the mean of
// those that have been (EfficientZero), without which few simulations leave many equally likely actions
// untried.
enum class Untried : uint8_t { zero, mean };

struct TreeTable {
  int horizon = 1;  // actions of the answer
  int action_dim = 0;
  int actions = 20;  // K: drawn at every node
  int simulations = 50;
  int batch = 1;  // leaves that the model is asked about together
  double discount = 0.997;
  double c1 = 1.25, c2 = 19652;  // of pUCT
  double spread = 1;             // τ
  double noise_weight = 0.25;    // of the root's noise, where it is given
  Untried untried = Untried::zero;
  double temperature = 0;  // 0: the most visited action; else drawn by visits^(1/temperature)

  int64_t row() const { return static_cast<int64_t>(actions) * action_dim; }
  // Throws BuildError naming the field.
  void check() const;
};

class Tree {
 public:
  // An action of a node.
  struct Edge {
    int node, action;
  };
  // What the model says of where an edge leads: the reward on the way, the probability that the episode goes
  // on there, its value, and the actions (K, action_dim) drawn there with their normal draws.
  struct Leaf {
    float reward, alive, value;
    const float *actions, *draws;
  };

  explicit Tree(const TreeTable& table);

  // Begins with the root's actions and their draws; `noise` (K), of sum 1, is mixed into its priors, or null.
  void begin(const float* actions, const float* draws, const float* noise);
  // The next edge to be followed; false when there are enough, or when every action of the root has failed.
  bool select(Edge* edge);
  const float* action(Edge edge) const { return actions_.data() + index(edge) * table_.action_dim; }
  // What the model says of the edge selected as number `slot` since the last expansion of slot 0. Gives the
  // new node, or −1 when there is none: another slot made it, or the leaf is not finite, which counts as
  // worst: the edge is never taken again.
  int expand(int slot, const Leaf& leaf);
  // The answer (horizon, action_dim): the most visited actions from the root on, the last one held where the
  // tree ends. With a temperature the first is drawn by `draws`, exponential (K). False without a visit.
  bool finish(const float* draws, float* out);

  const TreeTable& table() const { return table_; }
  // Of the root's actions.
  int visits(int action) const { return visits_[action]; }
  double value(int action) const { return visits_[action] == 0 ? 0 : q(action); }
  const float* root_actions() const { return actions_.data(); }
  int chosen() const { return chosen_; }
  int nodes() const { return nodes_; }
  int depth() const { return depth_; }
  int64_t worst_count() const { return worst_count_; }

 private:
  int64_t index(Edge edge) const { return static_cast<int64_t>(edge.node) * table_.actions + edge.action; }
  void open(int node, const float* actions, const float* draws);
  double q(int64_t edge) const { return reward_[edge] + discount_[edge] * sum_[edge] / visits_[edge]; }
  double mean_q(int node, double above) const;
  double score(int64_t edge, double parent_visits, double untried) const;
  void fail(int64_t edge);
  int most_visited(int node) const;

  TreeTable table_;
  // By edge, node · K + action. `sum_` is of the values that came back through the edge's end.
  std::vector<float> actions_;
  std::vector<double> prior_, reward_, discount_, sum_;
  std::vector<int> visits_, pending_, child_;
  std::vector<uint8_t> failed_;
  // By node: the edge that leads to it, and how many of its actions have not failed.
  std::vector<int64_t> incoming_;
  std::vector<int> viable_;
  // By slot: the edges from the root to the leaf.
  std::vector<int64_t> paths_;
  std::vector<int> lengths_;
  int nodes_ = 0, selected_ = 0, slots_ = 0, root_visits_ = 0, root_pending_ = 0, chosen_ = 0, depth_ = 0;
  double lowest_ = 0, highest_ = 0;  // of all q so far
  int64_t worst_count_ = 0;
};

}  // namespace tendon
