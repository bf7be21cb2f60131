// Networks of the shapes people use, with random weights, for tests and benches of the core alone.
#pragma once

#include <cmath>
#include <string>
#include <vector>

#include "base/philox.h"
#include "graph/graph.h"

namespace tendon::test {

// Builds graphs whose weights are drawn from one stream, scaled like a trained network's (1/√fan-in).
class NetworkBuilder {
 public:
  explicit NetworkBuilder(uint64_t seed) : seed_(seed) {}
  Graph graph;

  int random(const Shape& shape, float scale, float shift = 0) {
    std::vector<float> v(static_cast<size_t>(shape.count()));
    fill_normal(seed_, stream_++, 0, v.data(), shape.count());
    for (float& x : v) x = x * scale + shift;
    return graph.constant(shape, std::move(v));
  }
  int op(const char* name, std::vector<int> in, std::vector<double> values = {},
         std::vector<int64_t> list = {}) {
    return graph.add(name, std::move(in), {std::move(values), std::move(list)});
  }
  int linear(int x, int64_t n) {
    const int64_t k = graph.at(x).shape.last();
    return op("linear", {x, random({n, k}, 1 / std::sqrt(static_cast<float>(k))), random({n}, 0.1f)});
  }
  int conv1d(int x, int64_t n, int64_t taps, double stride, double pad) {
    const int64_t c = graph.at(x).shape.last();
    return op("conv1d",
              {x, random({n, c, taps}, 1 / std::sqrt(static_cast<float>(c * taps))), random({n}, 0.1f)},
              {stride, pad});
  }
  int upsample1d(int x) {
    const int64_t c = graph.at(x).shape.last();
    return op("conv_transpose1d",
              {x, random({c, c, 4}, 1 / std::sqrt(static_cast<float>(2 * c))), random({c}, 0.1f)}, {2, 1});
  }
  int group_norm(int x, int groups) {
    const int64_t c = graph.at(x).shape.last();
    return op("group_norm", {x, random({c}, 0.1f, 1), random({c}, 0.1f)}, {static_cast<double>(groups)});
  }
  int layer_norm(int x) {
    const int64_t c = graph.at(x).shape.last();
    return op("layer_norm", {x, random({c}, 0.1f, 1), random({c}, 0.1f)});
  }
  int slice(int x, int axis, int64_t start, int64_t length) {
    return op("slice", {x},
              {static_cast<double>(axis), static_cast<double>(start), static_cast<double>(length)});
  }

 private:
  uint64_t seed_, stream_ = 0;
};

struct UnetShape {
  int64_t action_dim = 2, horizon = 16, cond_dim = 132, step_dim = 128, kernel = 5;
  std::vector<int64_t> down = {512, 1024, 2048};
  int groups = 8;
};

// The conditional 1-D UNet of diffusion_policy and LeRobot (docs/peers.md A2). Stages can be flattened so
// that everything counts as the step's: the same function with nothing hoisted.
inline Graph make_unet(const UnetShape& s, uint64_t seed, bool staged = true) {
  NetworkBuilder b(seed);
  const int x = b.graph.input("x", {1, s.horizon, s.action_dim}, stage_step);
  const int emb = b.graph.input("step_embedding", {1, s.step_dim}, staged ? stage_schedule : stage_step);
  const int cond = b.graph.input("cond", {1, s.cond_dim}, staged ? stage_observation : stage_step);
  int t = b.linear(emb, 4 * s.step_dim);
  t = b.linear(b.op("mish", {t}), s.step_dim);
  const int global = b.op("mish", {b.op("concat", {t, cond}, {1})});

  const auto block = [&](int h, int64_t n) {
    h = b.conv1d(h, n, s.kernel, 1, static_cast<double>(s.kernel / 2));
    return b.op("mish", {b.group_norm(h, s.groups)});
  };
  const auto resblock = [&](int in, int64_t n) {
    int h = block(in, n);
    const int film = b.op("reshape", {b.linear(global, 2 * n)}, {}, {1, 1, 2 * n});
    h = b.op("add", {b.op("mul", {h, b.slice(film, 2, 0, n)}), b.slice(film, 2, n, n)});
    h = block(h, n);
    const int skip = b.graph.at(in).shape.last() == n ? in : b.conv1d(in, n, 1, 1, 0);
    return b.op("add", {h, skip});
  };

  int h = x;
  std::vector<int> skips;
  for (size_t level = 0; level < s.down.size(); ++level) {
    h = resblock(resblock(h, s.down[level]), s.down[level]);
    skips.push_back(h);
    if (level + 1 < s.down.size()) h = b.conv1d(h, s.down[level], 3, 2, 1);
  }
  h = resblock(resblock(h, s.down.back()), s.down.back());
  for (size_t level = s.down.size() - 1; level > 0; --level) {
    h = b.op("concat", {h, skips[level]}, {2});
    h = resblock(resblock(h, s.down[level - 1]), s.down[level - 1]);
    h = b.upsample1d(h);
  }
  h = block(h, s.down[0]);
  b.graph.output("out", b.conv1d(h, s.action_dim, 1, 1, 0));
  return std::move(b.graph);
}

struct ScoreShape {
  int64_t action_dim = 9, obs_dim = 30, goal_len = 2, window = 4, width = 360, heads = 6, layers = 6;
};

// BESO's score transformer (docs/peers.md D): tokens σ, goals, then state and action by turns; all actions
// but the last are already executed and arrive with the observation.
inline Graph make_score_transformer(const ScoreShape& s, uint64_t seed, bool staged = true) {
  NetworkBuilder b(seed);
  const Stage obs = staged ? stage_observation : stage_step;
  const int x = b.graph.input("x", {1, 1, s.action_dim}, stage_step);
  const int sigma = b.graph.input("c_noise", {1, 1, 1}, staged ? stage_schedule : stage_step);
  const int states = b.graph.input("states", {1, s.window, s.obs_dim}, obs);
  const int goals = b.graph.input("goals", {1, s.goal_len, s.obs_dim}, obs);
  const int actions = b.graph.input("actions", {1, s.window - 1, s.action_dim}, obs);
  const int state_tokens = b.linear(states, s.width), goal_tokens = b.linear(goals, s.width);
  const int old_tokens = b.linear(actions, s.width), new_token = b.linear(x, s.width);
  std::vector<int> tokens = {b.linear(sigma, s.width), goal_tokens};
  for (int64_t i = 0; i < s.window; ++i) {
    tokens.push_back(b.slice(state_tokens, 1, i, 1));
    tokens.push_back(i + 1 < s.window ? b.slice(old_tokens, 1, i, 1) : new_token);
  }
  int h = b.op("concat", tokens, {1});
  const int64_t length = b.graph.at(h).shape[1];
  h = b.op("add", {h, b.random({1, length, s.width}, 0.02f)});
  std::vector<float> causal(static_cast<size_t>(length * length), 0.0f);
  for (int64_t i = 0; i < length; ++i)
    for (int64_t j = i + 1; j < length; ++j) causal[i * length + j] = -INFINITY;
  const int mask = b.graph.constant({length, length}, causal);
  for (int64_t layer = 0; layer < s.layers; ++layer) {
    const int n1 = b.layer_norm(h);
    const int a =
        b.op("attention", {b.linear(n1, s.width), b.linear(n1, s.width), b.linear(n1, s.width), mask},
             {static_cast<double>(s.heads)});
    h = b.op("add", {h, b.linear(a, s.width)});
    const int m = b.op("gelu", {b.linear(b.layer_norm(h), 4 * s.width)});
    h = b.op("add", {h, b.linear(m, s.width)});
  }
  h = b.layer_norm(h);
  const int last = b.slice(h, 1, length - 1, 1);
  b.graph.output("out", b.linear(b.op("silu", {b.linear(last, 100)}), s.action_dim));
  return std::move(b.graph);
}

struct WorldShape {
  int64_t latent = 24, width = 40, action_dim = 3;
  int horizon = 3, critics = 4;
  bool members = false;
  bool stochastic = false;  // the next latent is drawn: noise is added to it
  bool uneven = false;      // the last critic is wider than the others
  int layers = 1;           // hidden, of every network
  int64_t bins = 1;         // more: rewards and values are distributions over bins of their symlog
};

// TD-MPC2's model of 5 M parameters, for actions of 6.
inline WorldShape tdmpc2_5m() {
  WorldShape s;
  s.latent = s.width = 512, s.action_dim = 6, s.critics = 5, s.layers = 2, s.bins = 101;
  return s;
}

// A latent world model with a planner's entries (plan/plan.h): dynamics and reward at every step, a policy
// prior, and critics of the end.
inline Graph make_world_model(const WorldShape& s, uint64_t seed) {
  NetworkBuilder b(seed);
  struct Layer {
    int weight, bias, scale, shift;
  };
  const auto layer = [&](int64_t k, int64_t n) {
    return Layer{b.random({n, k}, 1 / std::sqrt(static_cast<float>(k))), b.random({n}, 0.1f),
                 b.random({n}, 0.1f, 1), b.random({n}, 0.1f)};
  };
  const auto normed = [&](const Layer& l, int x) {
    return b.op("mish", {b.op("layer_norm", {b.op("linear", {x, l.weight, l.bias}), l.scale, l.shift})});
  };
  const auto plain = [&](const Layer& l, int x) { return b.op("linear", {x, l.weight, l.bias}); };
  const int64_t joint = s.latent + s.action_dim;
  using Mlp = std::vector<Layer>;
  const auto mlp = [&](int64_t k, int64_t width, int64_t n) {
    Mlp all;
    for (int i = 0; i < s.layers; ++i) all.push_back(layer(i == 0 ? k : width, width));
    all.push_back(layer(width, n));
    return all;
  };
  const auto through = [&](const Mlp& all, int x) {
    for (size_t i = 0; i + 1 < all.size(); ++i) x = normed(all[i], x);
    return plain(all.back(), x);
  };
  const Mlp dynamics = mlp(joint, s.width, s.latent), gains = mlp(joint, s.width, s.bins),
            acting = mlp(s.latent, s.width, s.action_dim);
  std::vector<Mlp> q;
  for (int i = 0; i < s.critics; ++i)
    q.push_back(mlp(joint, s.width + (s.uneven && i + 1 == s.critics ? 1 : 0), s.bins));
  const int bins = s.bins == 1 ? -1 : b.random({s.bins}, 3);
  const auto scalar = [&](int x) {
    if (s.bins == 1) return x;
    return b.op("symexp", {b.op("sum", {b.op("mul", {b.op("softmax", {x}), bins})}, {1})});
  };
  const auto both = [&](int z, int a) { return b.op("concat", {z, a}, {1}); };
  const auto next = [&](int z, int a, int noise, int t) {
    const int mean = through(dynamics, both(z, a));
    if (!s.stochastic) return b.op("tanh", {mean});
    return b.op("tanh", {b.op("add", {mean, b.slice(noise, 1, t * s.latent, s.latent)})});
  };
  const auto reward = [&](int z, int a) { return scalar(through(gains, both(z, a))); };
  const auto prior = [&](int z, int noise) {
    return b.op("tanh", {b.op("add", {through(acting, z), noise})});
  };
  const auto value = [&](int i, int z, int a) { return scalar(through(q[i], both(z, a))); };
  const int64_t row = s.horizon * s.action_dim;
  const int latent = b.graph.input("latent", {1, s.latent}, stage_observation);
  const int noise = b.graph.input("prior_noise", {1, row}, stage_step);
  const auto drawn = [&](const char* name) {
    return s.stochastic ? b.graph.input(name, {1, s.horizon * s.latent}, stage_step) : -1;
  };
  const int prior_drawn = drawn("prior_model_noise"), model_drawn = drawn("model_noise");
  std::vector<int> acted;
  int z = latent;
  for (int t = 0; t < s.horizon; ++t) {
    acted.push_back(prior(z, b.slice(noise, 1, t * s.action_dim, s.action_dim)));
    z = next(z, acted.back(), prior_drawn, t);
  }
  b.graph.output("prior_actions", b.op("concat", acted, {1}));
  const int actions = b.graph.input("actions", {1, row}, stage_step);
  const int tail = b.graph.input("tail_noise", {1, s.action_dim}, stage_step);
  int total = -1;
  z = latent;
  for (int t = 0; t < s.horizon; ++t) {
    const int a = b.slice(actions, 1, t * s.action_dim, s.action_dim);
    const int gain = reward(z, a);
    total = total < 0 ? gain : b.op("add", {total, gain});
    z = next(z, a, model_drawn, t);
  }
  const int last = prior(z, tail);
  b.graph.output("return", total);
  b.graph.output("tail_weight", b.op("affine", {total}, {0, 0.9}));
  std::vector<int> values;
  for (int i = 0; i < s.critics; ++i) values.push_back(value(i, z, last));
  if (s.members) {
    b.graph.output("members", b.op("concat", values, {1}));
  } else {
    b.graph.output("tail_latent", z);
    b.graph.output("tail_action", last);
    const int cz = b.graph.input("critic_latent", {1, s.latent}, stage_step);
    const int ca = b.graph.input("critic_action", {1, s.action_dim}, stage_step);
    for (int i = 0; i < s.critics; ++i) b.graph.output("value_" + std::to_string(i), value(i, cz, ca));
  }
  // A tree's entries (plan/tree_rollout.h).
  b.graph.output("root_state", b.op("affine", {latent}, {1, 0}));
  const int from = b.graph.input("node_state", {1, s.latent}, stage_step);
  const int taken = b.graph.input("node_action", {1, s.action_dim}, stage_step);
  const int node_drawn = s.stochastic ? b.graph.input("node_model_noise", {1, s.latent}, stage_step) : -1;
  const int after = next(from, taken, node_drawn, 0);
  b.graph.output("next_state", after);
  b.graph.output("node_reward", reward(from, taken));
  b.graph.output("node_value", value(0, after, taken));
  const int at = b.graph.input("sample_state", {1, s.latent}, stage_step);
  const int drawn_action = b.graph.input("sample_noise", {1, s.action_dim}, stage_step);
  b.graph.output("sample_action", prior(at, drawn_action));
  return std::move(b.graph);
}

}  // namespace tendon::test
