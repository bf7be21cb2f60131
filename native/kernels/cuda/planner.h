// The search of plan/search.cpp on a device, a kernel for each of its parts, so that all iterations of a plan
// follow each other without the host. Arithmetic is the CPU's: floats where it has floats, doubles where it
// has doubles. What differs is the order in which doubles are added up, the device's own exp and log, which
// are taken in double and rounded, and the multiply-adds that nvcc fuses: a unit in the last place of a
// float.
#pragma once

#include <cfloat>
#include <cmath>

#include "kernels/cuda/elementwise.h"
#include "kernels/cuda/plan_args.h"
#include "search/draws.h"

namespace tendon::cuda {

constexpr int plan_threads = 256;
constexpr int plan_warps = plan_threads / 32;
constexpr size_t plan_shared_bytes = plan_warps * sizeof(double);

TENDON_DEVICE int64_t plan_rows(const PlanArgs& a) { return a.prior + a.samples; }
TENDON_DEVICE int64_t plan_row(const PlanArgs& a) { return a.horizon * a.action_dim; }

// Draw `index` of a kind, of the tape or of the seed.
TENDON_DEVICE float plan_normal(const PlanCall& call, PlanDraw kind, const float* taped, int64_t index) {
  if (taped != nullptr) return taped[index];
  uint32_t words[4];
  philox_block(call.seed, plan_stream(call.plan, kind), static_cast<uint64_t>(index) / 4, words);
  return normal_from(words, static_cast<int>(index % 4));
}

// NaN stays NaN.
TENDON_DEVICE float clamped(float x, float low, float high) { return x < low ? low : high < x ? high : x; }

TENDON_DEVICE double warp_sum(const Lane& t, double value) {
  for (int mask = 16; mask > 0; mask /= 2) value += t.shuffle_xor(value, mask);
  return value;
}
TENDON_DEVICE double block_sum(const Lane& t, double value, double* slots) {
  value = warp_sum(t, value);
  t.sync();  // the slots may still be read from the call before
  if (t.thread() % 32 == 0) slots[t.thread() / 32] = value;
  t.sync();
  double sum = 0;
  for (int warp = 0; warp < plan_warps; ++warp) sum += slots[warp];
  return sum;
}

// All draws that wait for nothing, and where the distribution starts. A thread for each number of each kind,
// one kind behind the other.
struct PlanBeginKernel {
  using Args = PlanArgs;
  TENDON_HD static int64_t noise_count(const PlanArgs& a) {
    return a.iterations * a.horizon * a.samples * a.action_dim;
  }
  TENDON_HD static int64_t count(const PlanArgs& a) {
    const int64_t row = a.horizon * a.action_dim;
    return noise_count(a) + a.prior * (row + a.model_draws) + row + a.keep * a.action_dim + a.iterations;
  }

  TENDON_DEVICE static void run(const Lane& t, const PlanArgs& a) {
    const PlanCall& call = *a.call;
    const int64_t row = plan_row(a);
    int64_t i = number_of(t);
    // A plan's first thread: nothing in this launch reads what it writes.
    if (i == 0) begin_status(a);
    if (i < noise_count(a)) {
      a.noise[i] = plan_normal(call, PlanDraw::samples, call.samples, i);
      return;
    }
    i -= noise_count(a);
    if (i < a.prior * row) {
      if (a.prior_noise != nullptr) a.prior_noise[i] = plan_normal(call, PlanDraw::prior, call.prior, i);
      return;
    }
    i -= a.prior * row;
    if (i < a.prior * a.model_draws) {
      if (a.prior_model_noise != nullptr)
        a.prior_model_noise[i] = plan_normal(call, PlanDraw::prior_model, call.prior_model, i);
      return;
    }
    i -= a.prior * a.model_draws;
    if (i < row) return start(a, i);
    i -= row;
    if (i < a.keep * a.action_dim) return shift_kept(a, i);
    i -= a.keep * a.action_dim;
    if (i < a.iterations && a.drawn > 0) draw_critics(a, i);
  }

 private:
  // `warm` and `kept_count` stay as they are but for a fresh seed, of which start() knows too.
  TENDON_DEVICE static void begin_status(const PlanArgs& a) {
    if (a.call->fresh) a.status->warm = a.status->kept_count = 0;
    a.status->best_score = -FLT_MAX;
    a.status->worst_count = a.status->found = 0;
  }
  TENDON_DEVICE static void start(const PlanArgs& a, int64_t i) {
    const PlanCall& call = *a.call;
    const bool goes_on = !call.fresh && a.status->warm && a.warm_start && i + a.action_dim < plan_row(a);
    a.mean[i] = call.centred ? a.centre[i] : goes_on ? a.previous[i + a.action_dim] : 0;
    a.std[i] = call.centred ? a.centre_std : a.initial_std;
  }
  // What was kept of the plan before moves on with time, a thread for each action number of a sequence.
  TENDON_DEVICE static void shift_kept(const PlanArgs& a, int64_t i) {
    float* sequence = a.kept + i / a.action_dim * plan_row(a) + i % a.action_dim;
    for (int64_t step = 0; step + 1 < a.horizon; ++step)
      sequence[step * a.action_dim] = sequence[(step + 1) * a.action_dim];
  }
  TENDON_DEVICE static void draw_critics(const PlanArgs& a, int64_t iteration) {
    const PlanCall& call = *a.call;
    int32_t* out = a.asked + iteration * a.drawn;
    if (call.critics == nullptr)
      return draw_plan_critics(call.seed, plan_stream(call.plan, PlanDraw::critics),
                               static_cast<uint64_t>(iteration) * static_cast<uint64_t>(a.drawn), a.critics,
                               a.drawn, a.with_replacement, out);
    for (int d = 0; d < a.drawn; ++d) out[d] = call.critics[iteration * a.drawn + d];
  }
};

// The candidates of an iteration behind the prior's, and what its rollouts draw.
struct PlanProposeKernel {
  using Args = PlanArgs;
  TENDON_HD static int64_t count(const PlanArgs& a) {
    return a.samples * a.horizon * a.action_dim +
           (a.prior + a.samples) * ((a.tail_noise != nullptr ? a.action_dim : 0) + a.model_draws);
  }

  TENDON_DEVICE static void run(const Lane& t, const PlanArgs& a) {
    int64_t i = number_of(t);
    if (i < a.samples * plan_row(a)) return propose(a, i / plan_row(a), i % plan_row(a));
    i -= a.samples * plan_row(a);
    if (a.tail_noise != nullptr) {
      const int64_t tails = plan_rows(a) * a.action_dim;
      if (i < tails) {
        a.tail_noise[i] = plan_normal(*a.call, PlanDraw::tail, a.call->tail, a.iteration * tails + i);
        return;
      }
      i -= tails;
    }
    const int64_t draws = plan_rows(a) * a.model_draws;
    if (i < draws)
      a.model_noise[i] = plan_normal(*a.call, PlanDraw::model, a.call->model, a.iteration * draws + i);
  }

 private:
  TENDON_DEVICE static void propose(const PlanArgs& a, int64_t sample, int64_t j) {
    const int64_t step = j / a.action_dim, per_step = a.samples * a.action_dim;
    float* out = a.actions + (a.prior + sample) * plan_row(a) + j;
    const int64_t first_kept = a.samples - a.status->kept_count;
    if (sample >= first_kept) {
      *out = a.kept[(sample - first_kept) * plan_row(a) + j];
      return;
    }
    const float* noise =
        a.noise + a.iteration * a.horizon * per_step + sample * a.action_dim + j % a.action_dim;
    float e = 0;
    if (a.mix == nullptr) {
      e = noise[step * per_step];
    } else {
      for (int64_t u = 0; u < a.horizon; ++u) e += a.mix[step * a.horizon + u] * noise[u * per_step];
    }
    *out = clamped(a.mean[j] + a.std[j] * e, -1.0f, 1.0f);
  }
};

// A thread per candidate: its return with what the critics asked say of its end; −FLT_MAX where that is no
// number.
struct PlanScoreKernel {
  using Args = PlanArgs;
  TENDON_DEVICE static void run(const Lane& t, const PlanArgs& a) {
    const int64_t i = number_of(t);
    if (i >= plan_rows(a)) return;
    float score = a.returns[i] + (a.critics > 0 ? a.tail_weight[i] * asked(a, i) : 0);
    if (a.control_cost > 0) {
      const float* actions = a.actions + i * plan_row(a);
      double cost = 0;
      for (int64_t j = 0; j < plan_row(a); ++j)
        cost += static_cast<double>(a.mean[j]) * (actions[j] - a.mean[j]) / (a.std[j] * a.std[j]);
      score -= static_cast<float>(a.control_cost * cost);
    }
    a.scores[i] = std::fabs(score) <= exploded_score ? score : -FLT_MAX;  // NaN is not below
  }

 private:
  TENDON_DEVICE static float value(const PlanArgs& a, int64_t row, int d) {
    return a.members == nullptr ? a.values[d][row]
                                : a.members[row * a.critics + a.asked[a.iteration * a.drawn + d]];
  }
  TENDON_DEVICE static float asked(const PlanArgs& a, int64_t row) {
    const auto n = static_cast<float>(a.drawn);
    float low = INFINITY, mean = 0, square = 0, all = 0;
    for (int d = 0; d < a.drawn; ++d) {
      const float v = value(a, row, d);
      low = v >= low ? low : v;
      mean += v / n;
    }
    if (mean != mean) return mean;
    for (int d = 0; d < a.drawn; ++d) square += (value(a, row, d) - mean) * (value(a, row, d) - mean);
    // Zero weights are skipped, not multiplied: what they would weigh may be infinite.
    if (a.ask_min != 0) all += a.ask_min * low;
    if (a.ask_mean != 0) all += a.ask_mean * mean;
    if (a.ask_std != 0 && a.drawn > 1) all += a.ask_std * std::sqrt(square / (n - 1));
    return all;
  }
};

// A warp per candidate counts who is better, or as good and earlier: its place among the elites.
struct PlanRankKernel {
  using Args = PlanArgs;
  TENDON_DEVICE static void run(const Lane& t, const PlanArgs& a) {
    const int64_t i = t.block_x() * plan_warps + t.thread() / 32, lane = t.thread() % 32;
    if (i >= plan_rows(a)) return;  // for all of a warp alike
    const float mine = a.scores[i];
    double better = 0;  // exact, as any integer here
    for (int64_t j = lane; j < plan_rows(a); j += 32)
      better += a.scores[j] > mine || (a.scores[j] == mine && j < i) ? 1 : 0;
    const auto place = static_cast<int64_t>(warp_sum(t, better));
    if (lane != 0 || place >= a.elites) return;
    a.order[place] = static_cast<int32_t>(i);
    a.elite_scores[place] = mine;
  }
};

// One block: how much each elite weighs, the best candidate so far, and those that will stand again.
struct PlanWeighKernel {
  using Args = PlanArgs;
  TENDON_DEVICE static void run(const Lane& t, const PlanArgs& a) {
    auto* slots = reinterpret_cast<double*>(t.shared());
    const float best = a.elite_scores[0];
    double worst = 0, total = 0;
    for (int64_t i = t.thread(); i < plan_rows(a); i += plan_threads)
      worst += a.scores[i] == -FLT_MAX ? 1 : 0;
    worst = block_sum(t, worst, slots);
    for (int64_t k = t.thread(); k < a.elites; k += plan_threads) total += a.weights[k] = weight(a, k, best);
    total = block_sum(t, total, slots);
    const bool moved = total > 0, leads = best > a.status->best_score;
    t.sync();  // all have read the score that the first thread writes over
    if (t.thread() == 0) {
      a.status->worst_count += static_cast<int32_t>(worst);
      a.status->moved = moved ? 1 : 0;
      if (moved && leads) a.status->best_score = best;
      if (moved) a.status->kept_count = static_cast<int32_t>(a.keep);
    }
    if (!moved) return;
    for (int64_t k = t.thread(); k < a.elites; k += plan_threads)
      a.weights[k] = static_cast<float>(a.weights[k] / total);
    const int64_t row = plan_row(a);
    if (leads)
      for (int64_t j = t.thread(); j < row; j += plan_threads) a.best[j] = a.actions[a.order[0] * row + j];
    for (int64_t i = t.thread(); i < a.keep * row; i += plan_threads)
      a.kept[i] = a.actions[a.order[i / row] * row + i % row];
  }

 private:
  // A rollout that failed weighs nothing, whatever the temperature.
  TENDON_DEVICE static float weight(const PlanArgs& a, int64_t k, float best) {
    const float score = a.elite_scores[k];
    if (score == -FLT_MAX) return 0;
    return static_cast<float>(std::exp(static_cast<double>(a.temperature * (score - best))));
  }
};

// A warp per number of the distribution.
struct PlanMoveKernel {
  using Args = PlanArgs;
  TENDON_DEVICE static void run(const Lane& t, const PlanArgs& a) {
    const int64_t j = t.block_x() * plan_warps + t.thread() / 32, row = plan_row(a);
    if (j >= row || a.status->moved == 0) return;  // for all of a warp alike
    double mean = 0, square = 0;
    for (int64_t k = t.thread() % 32; k < a.elites; k += 32)
      mean += static_cast<double>(a.weights[k]) * a.actions[a.order[k] * row + j];
    mean = warp_sum(t, mean);
    for (int64_t k = t.thread() % 32; k < a.elites; k += 32) {
      const double d = a.actions[a.order[k] * row + j] - mean;
      square += a.weights[k] * d * d;
    }
    square = warp_sum(t, square);
    if (t.thread() % 32 != 0) return;
    a.mean[j] = static_cast<float>(a.momentum * a.mean[j] + (1 - a.momentum) * mean);
    if (!a.fixed_std) a.std[j] = clamped(static_cast<float>(std::sqrt(square)), a.min_std, a.max_std);
  }
};

// One block: the answer, what the next plan starts from, and the elites for whoever looks.
struct PlanAnswerKernel {
  using Args = PlanArgs;
  TENDON_DEVICE static void run(const Lane& t, const PlanArgs& a) {
    auto* slots = reinterpret_cast<double*>(t.shared());
    const int64_t row = plan_row(a);
    for (int64_t i = t.thread(); i < a.elites * row; i += plan_threads)
      a.elite_rows[i] = a.actions[a.order[i / row] * row + i % row];
    if (a.status->best_score == -FLT_MAX) return;  // for all alike; `found` is still 0
    const float* from = a.mean;
    if (a.picks_best) from = a.best;
    if (a.picks_sampled) from = a.actions + a.order[winner(t, a, slots)] * row;
    for (int64_t j = t.thread(); j < row; j += plan_threads) {
      float x = from[j];
      if (a.call->explores && j < a.action_dim)
        x += a.std[j] * plan_normal(*a.call, PlanDraw::explore, a.call->explore, j);
      a.answer[j] = clamped(x, -1.0f, 1.0f);
      a.previous[j] = a.mean[j];
    }
    if (t.thread() == 0) a.status->found = a.status->warm = 1;
  }

 private:
  // An exponential race: the elite of the largest weight / draw is drawn with its weight's probability; of
  // equal ones the first. Weights are not negative, so that −1 is behind all.
  TENDON_DEVICE static int64_t winner(const Lane& t, const PlanArgs& a, double* slots) {
    float lead = -1;
    int64_t first = 0;
    for (int64_t k = t.thread(); k < a.elites; k += plan_threads) {
      const float speed = a.weights[k] / race_draw(a, k);
      if (speed > lead) lead = speed, first = k;
    }
    for (int mask = 16; mask > 0; mask /= 2) {
      const float theirs = t.shuffle_xor(lead, mask);
      const auto at = static_cast<int64_t>(t.shuffle_xor(static_cast<double>(first), mask));
      if (theirs > lead || (theirs == lead && at < first)) lead = theirs, first = at;
    }
    // The warps' leaders meet: a lead and a place each.
    auto* leads = reinterpret_cast<float*>(slots);
    auto* places = reinterpret_cast<int32_t*>(leads + plan_warps);
    if (t.thread() % 32 == 0)
      leads[t.thread() / 32] = lead, places[t.thread() / 32] = static_cast<int32_t>(first);
    t.sync();
    int best = 0;
    for (int warp = 1; warp < plan_warps; ++warp)
      if (leads[warp] > leads[best] || (leads[warp] == leads[best] && places[warp] < places[best]))
        best = warp;
    return places[best];
  }
  TENDON_DEVICE static float race_draw(const PlanArgs& a, int64_t k) {
    if (a.call->pick != nullptr) return a.call->pick[k];
    uint32_t words[4];
    philox_block(a.call->seed, plan_stream(a.call->plan, PlanDraw::pick), static_cast<uint64_t>(k) / 4,
                 words);
    return static_cast<float>(-std::log(static_cast<double>(uniform_from(words[k % 4]))));
  }
};

// Sixteen bytes a thread of the weights that the places read.
struct ChooseKernel {
  using Args = ChooseArgs;
  TENDON_DEVICE static void run(const Lane& t, const ChooseArgs& a) {
    struct alignas(16) Words {
      uint32_t at[4];
    };
    const int64_t i = number_of(t), place = i / a.place_words, word = i % a.place_words;
    if (place >= a.place_count) return;
    int s = 0;
    while (s + 1 < a.segment_count && word >= a.segments[s + 1].begin) ++s;
    const ChooseSegment& segment = a.segments[s];
    if (word - segment.begin >= segment.words) return;
    const void* from = a.from[s * a.all + a.chosen[place]];
    reinterpret_cast<Words*>(a.places)[i] = static_cast<const Words*>(from)[word - segment.begin];
  }
};

}  // namespace tendon::cuda
