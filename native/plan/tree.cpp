#include "plan/tree.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/error.h"

namespace tendon {

namespace {

// As in the search: beyond this a value has left what any reward means.
bool sound(float v) { return std::fabs(v) <= 1e30f; }

void need(bool fine, const char* field, const char* expected, double got) {
  if (!fine) throw BuildError("config_invalid", format("tree %s: expected %s, got %g", field, expected, got));
}

}  // namespace

void TreeTable::check() const {
  need(horizon >= 1 && horizon <= 1024, "horizon", "1 to 1024", horizon);
  need(action_dim >= 1 && action_dim <= 1024, "action_dim", "1 to 1024", action_dim);
  need(actions >= 1 && actions <= 1024, "actions", "1 to 1024", actions);
  need(simulations >= 1 && simulations <= 1 << 14, "simulations", "1 to 16384", simulations);
  need(batch >= 1 && batch <= simulations, "batch", "1 to simulations", batch);
  need(discount >= 0 && discount <= 1, "discount", "0 to 1", discount);
  need(std::isfinite(c1) && c1 >= 0, "c1", "0 or more", c1);
  need(std::isfinite(c2) && c2 > 0, "c2", "a positive number", c2);
  need(std::isfinite(spread) && spread > 0, "spread", "a positive number", spread);
  need(noise_weight >= 0 && noise_weight <= 1, "noise_weight", "0 to 1", noise_weight);
  need(std::isfinite(temperature) && temperature >= 0, "temperature", "0 or more", temperature);
}

Tree::Tree(const TreeTable& table) : table_(table) {
  table_.check();
  const size_t nodes = table_.simulations + 1, edges = nodes * table_.actions;
  actions_.resize(edges * table_.action_dim);
  prior_.resize(edges), reward_.resize(edges), discount_.resize(edges), sum_.resize(edges);
  visits_.resize(edges), pending_.resize(edges), child_.resize(edges), failed_.resize(edges);
  incoming_.resize(nodes), viable_.resize(nodes);
  paths_.resize(nodes * table_.batch), lengths_.resize(table_.batch);
}

// Sampled MuZero's correction: π/β of what a normal of τ times the spread has drawn, over K.
void Tree::open(int node, const float* actions, const float* draws) {
  const int K = table_.actions, a = table_.action_dim;
  const int64_t first = static_cast<int64_t>(node) * K;
  std::copy_n(actions, table_.row(), actions_.begin() + first * a);
  const double bend = 0.5 * (1 - table_.spread * table_.spread), height = std::pow(table_.spread, a) / K;
  for (int k = 0; k < K; ++k) {
    double square = 0;
    for (int j = 0; j < a; ++j) square += static_cast<double>(draws[k * a + j]) * draws[k * a + j];
    const int64_t edge = first + k;
    prior_[edge] = height * std::exp(bend * square);
    reward_[edge] = discount_[edge] = sum_[edge] = 0;
    visits_[edge] = pending_[edge] = failed_[edge] = 0;
    child_[edge] = -1;
  }
  viable_[node] = K;
}

void Tree::begin(const float* actions, const float* draws, const float* noise) {
  open(0, actions, draws);
  const double w = table_.noise_weight;
  if (noise != nullptr)
    for (int k = 0; k < table_.actions; ++k) prior_[k] = (1 - w) * prior_[k] + w * noise[k];
  nodes_ = 1;
  selected_ = slots_ = root_visits_ = root_pending_ = chosen_ = depth_ = 0;
  lowest_ = std::numeric_limits<double>::infinity(), highest_ = -lowest_;
  worst_count_ = 0;
}

// Of a node's tried actions; below the root the mean of the node above counts as one more.
double Tree::mean_q(int node, double above) const {
  double sum = 0;
  int tried = 0;
  for (int k = 0; k < table_.actions; ++k) {
    const int64_t e = static_cast<int64_t>(node) * table_.actions + k;
    if (!failed_[e] && visits_[e] > 0) sum += q(e), ++tried;
  }
  if (node == 0 && tried > 0) return sum / tried;
  return (above + sum) / (tried + 1);
}

// Q, between the lowest and highest so far, plus the prior's share of what has not been tried.
double Tree::score(int64_t edge, double parent_visits, double untried) const {
  const double n = visits_[edge] + pending_[edge];
  const double c = std::log((parent_visits + table_.c2 + 1) / table_.c2) + table_.c1;
  const double explore = c * std::sqrt(parent_visits) / (n + 1) * prior_[edge];
  if (visits_[edge] == 0 && table_.untried == Untried::zero) return explore;
  const double value = visits_[edge] == 0 ? untried : q(edge);
  return explore + (highest_ > lowest_ ? (value - lowest_) / (highest_ - lowest_) : value);
}

bool Tree::select(Edge* edge) {
  if (selected_ == table_.simulations || slots_ == table_.batch || viable_[0] == 0) return false;
  const int K = table_.actions;
  int64_t* path = paths_.data() + static_cast<int64_t>(slots_) * (table_.simulations + 1);
  int length = 0, node = 0;
  double mean = 0;
  for (;;) {
    const double visits =
        node == 0 ? root_visits_ + root_pending_ : visits_[incoming_[node]] + pending_[incoming_[node]];
    if (table_.untried == Untried::mean) mean = mean_q(node, mean);
    int best = -1;
    double lead = 0;
    for (int k = 0; k < K; ++k) {
      const int64_t e = static_cast<int64_t>(node) * K + k;
      if (failed_[e]) continue;
      const double s = score(e, visits, mean);
      if (best < 0 || s > lead) best = k, lead = s;
    }
    const int64_t e = static_cast<int64_t>(node) * K + best;
    path[length++] = e;
    if (child_[e] < 0) {
      *edge = {node, best};
      break;
    }
    node = child_[e];
  }
  // Only now: a path counts as under way for the paths after it.
  for (int i = 0; i < length; ++i) ++pending_[path[i]];
  ++root_pending_;
  lengths_[slots_++] = length;
  depth_ = std::max(depth_, length);
  ++selected_;
  return true;
}

// The edge is out of the search, and with it the way to a node that has no other left.
void Tree::fail(int64_t edge) {
  while (!failed_[edge]) {
    failed_[edge] = 1;
    const int node = static_cast<int>(edge / table_.actions);
    if (--viable_[node] > 0 || node == 0) return;
    edge = incoming_[node];
  }
}

int Tree::expand(int slot, const Leaf& leaf) {
  if (slot == 0) slots_ = 0;
  const int64_t* path = paths_.data() + static_cast<int64_t>(slot) * (table_.simulations + 1);
  const int length = lengths_[slot];
  const int64_t last = path[length - 1];
  for (int i = 0; i < length; ++i) --pending_[path[i]];
  --root_pending_;
  bool fine = sound(leaf.reward) && sound(leaf.value) && sound(leaf.alive);
  for (int64_t j = 0; fine && j < table_.row(); ++j) fine = sound(leaf.actions[j]);
  if (!fine) {
    ++worst_count_;
    fail(last);
    return -1;
  }
  int made = -1;
  if (child_[last] < 0) {
    made = nodes_++;
    open(made, leaf.actions, leaf.draws);
    child_[last] = made;
    incoming_[made] = last;
    reward_[last] = leaf.reward;
    discount_[last] = table_.discount * leaf.alive;
  }
  // The return from each edge's end: rewards of the steps below, then the leaf's value.
  double g = leaf.value;
  for (int i = length - 1; i >= 0; --i) {
    const int64_t e = path[i];
    sum_[e] += g;
    ++visits_[e];
    lowest_ = std::min(lowest_, q(e)), highest_ = std::max(highest_, q(e));
    g = reward_[e] + discount_[e] * g;
  }
  ++root_visits_;
  return made;
}

// Of equal counts the more valuable, then the earlier; −1 where nothing sound has been visited.
int Tree::most_visited(int node) const {
  int best = -1;
  for (int k = 0; k < table_.actions; ++k) {
    const int64_t e = index({node, k});
    if (failed_[e] || visits_[e] == 0) continue;
    const int64_t b = index({node, best});
    if (best < 0 || visits_[e] > visits_[b] || (visits_[e] == visits_[b] && q(e) > q(b))) best = k;
  }
  return best;
}

bool Tree::finish(const float* draws, float* out) {
  chosen_ = most_visited(0);
  if (chosen_ < 0) return false;
  if (table_.temperature > 0 && draws != nullptr) {
    // An exponential race, as the search draws its elite.
    double lead = -1;
    for (int k = 0; k < table_.actions; ++k) {
      if (failed_[k] || visits_[k] == 0) continue;
      const double share = static_cast<double>(visits_[k]) / visits_[most_visited(0)];
      const double run = std::pow(share, 1 / table_.temperature) / draws[k];
      if (run > lead) lead = run, chosen_ = k;
    }
  }
  const int a = table_.action_dim;
  Edge edge{0, chosen_};
  for (int t = 0; t < table_.horizon; ++t) {
    const float* taken = action(edge);
    for (int j = 0; j < a; ++j) out[t * a + j] = std::clamp(taken[j], -1.0f, 1.0f);
    const int next = child_[index(edge)];
    const int k = next < 0 ? -1 : most_visited(next);
    if (k >= 0) {
      edge = {next, k};
      continue;
    }
    for (++t; t < table_.horizon; ++t) std::copy_n(out + (t - 1) * a, a, out + t * a);
  }
  return true;
}

}  // namespace tendon
