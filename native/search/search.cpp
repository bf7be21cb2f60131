#include "search/search.h"

#include <algorithm>
#include <cfloat>
#include <cmath>
#include <cstring>
#include <numeric>

#include "base/error.h"
#include "base/philox.h"
#include "search/draws.h"

namespace tendon {

namespace {

// Numbers from which drawing or copying them is worth a meeting of the team.
constexpr int64_t worth_sharing = 2048;

void need(bool fine, const char* field, const char* expected, double got) {
  if (!fine)
    throw BuildError("config_invalid", format("planner %s: expected %s, got %g", field, expected, got));
}

}  // namespace

void PlannerTable::check() const {
  need(horizon >= 1 && horizon <= 1024, "horizon", "1 to 1024", horizon);
  need(action_dim >= 1 && action_dim <= 1024, "action_dim", "1 to 1024", action_dim);
  need(samples >= 1 && samples <= 1 << 16, "samples", "1 to 65536", samples);
  need(prior >= 0 && prior <= 1 << 16, "prior", "0 to 65536", prior);
  need(keep >= 0 && keep < samples && keep <= elites, "keep", "less than samples, at most elites", keep);
  need(iterations >= 1 && iterations <= 1024, "iterations", "1 to 1024", iterations);
  need(elites >= 1 && elites <= rows(), "elites", "1 to all candidates", elites);
  need(std::isfinite(initial_std) && initial_std > 0, "initial_std", "a positive number", initial_std);
  need(min_std >= 0 && min_std <= max_std, "min_std", "0 to max_std", min_std);
  need(std::isfinite(temperature) && temperature >= 0, "temperature", "0 or more", temperature);
  need(momentum >= 0 && momentum < 1, "momentum", "0 to below 1", momentum);
  need(std::isfinite(control_cost) && control_cost >= 0, "control_cost", "0 or more", control_cost);
  need(std::isfinite(centre_std) && centre_std > 0, "centre_std", "a positive number", centre_std);
  for (const float weight : {ask_min, ask_mean, ask_std})
    need(std::isfinite(weight), "ask weights", "numbers", weight);
  need(critics >= 0 && critics <= 64, "critics", "0 to 64", critics);
  need((critics == 0) == (drawn == 0) && (with_replacement || drawn <= critics), "drawn",
       "1 to critics when there are any", drawn);
  need(mix.empty() || static_cast<int64_t>(mix.size()) == static_cast<int64_t>(horizon) * horizon, "mix",
       "horizon × horizon numbers", static_cast<double>(mix.size()));
}

Search::Search(PlannerTable table, float* actions) : table_(std::move(table)), actions_(actions) {
  table_.check();
  const auto row = static_cast<size_t>(table_.row());
  if (actions_ == nullptr) {
    own_.resize(table_.rows() * row);
    actions_ = own_.data();
  }
  mean_.resize(row), std_.resize(row), previous_.resize(row), best_.resize(row), new_mean_.resize(row);
  noise_.resize(table_.samples * row);
  kept_.resize(table_.keep * row);
  order_.resize(table_.rows());
  weights_.resize(table_.elites), elite_scores_.resize(table_.elites);
}

void Search::reset(uint64_t seed) {
  seed_ = seed;
  plan_ = 0;
  warm_ = false;
  kept_count_ = 0;
}

void Search::begin(const PlanTape& tape, const float* centre) {
  tape_ = tape;
  const int64_t a = table_.action_dim, rest = table_.row() - a;
  std::fill(mean_.begin(), mean_.end(), 0.0f);
  if (centre != nullptr) {
    std::copy_n(centre, table_.row(), mean_.begin());
  } else if (warm_ && table_.warm_start) {
    std::copy_n(previous_.begin() + a, rest, mean_.begin());
  }
  std::fill(std_.begin(), std_.end(), centre != nullptr ? table_.centre_std : table_.initial_std);
  // What was kept of the plan before moves on with time; its last step stays.
  for (int k = 0; k < kept_count_; ++k) {
    float* sequence = kept_.data() + k * table_.row();
    std::memmove(sequence, sequence + a, static_cast<size_t>(rest) * sizeof(float));
  }
  best_score_ = -FLT_MAX;
  worst_count_ = 0;
}

// Draws first … first + count − 1 of a kind, of the tape or of the seed.
void Search::draw(PlanDraw kind, const float* taped, int64_t first, int64_t count, float* out,
                  const Team& team) const {
  if (taped != nullptr) {
    std::copy_n(taped + first, count, out);
    return;
  }
  team.share_range(count, worth_sharing, [&](int64_t begin, int64_t end) {
    fill_normal(seed_, plan_stream(plan_, kind), first + begin, out + begin, end - begin);
  });
}

void Search::draw_prior(float* out, const Team& team) const {
  draw(PlanDraw::prior, tape_.prior, 0, table_.prior * table_.row(), out, team);
}

void Search::draw_prior_model(int64_t width, float* out, const Team& team) const {
  draw(PlanDraw::prior_model, tape_.prior_model, 0, table_.prior * width, out, team);
}

void Search::draw_tail(int iteration, float* out, const Team& team) const {
  const int64_t count = static_cast<int64_t>(table_.rows()) * table_.action_dim;
  draw(PlanDraw::tail, tape_.tail, iteration * count, count, out, team);
}

void Search::draw_model(int iteration, int64_t width, float* out, const Team& team) const {
  draw(PlanDraw::model, tape_.model, iteration * table_.rows() * width, table_.rows() * width, out, team);
}

void Search::draw_critics(int iteration, int32_t* out) const {
  const int64_t first = static_cast<int64_t>(iteration) * table_.drawn;
  if (tape_.critics != nullptr) {
    std::copy_n(tape_.critics + first, table_.drawn, out);
  } else {
    draw_plan_critics(seed_, plan_stream(plan_, PlanDraw::critics), first, table_.critics, table_.drawn,
                      table_.with_replacement, out);
  }
}

void Search::propose(int iteration, const Team& team) {
  const int64_t a = table_.action_dim, h = table_.horizon, n = table_.samples, per_step = n * a;
  const int64_t count = h * per_step;
  const float* noise = noise_.data();
  if (tape_.samples != nullptr) {
    noise = tape_.samples + iteration * count;
  } else {
    draw(PlanDraw::samples, nullptr, iteration * count, count, noise_.data(), team);
  }
  const int64_t first_kept = n - kept_count_;
  const auto propose_row = [&](int64_t i) {
    float* row = actions_ + (table_.prior + i) * table_.row();
    if (i >= first_kept) {
      std::copy_n(kept_.data() + (i - first_kept) * table_.row(), table_.row(), row);
      return;
    }
    for (int64_t t = 0; t < h; ++t)
      for (int64_t j = 0; j < a; ++j) {
        float e = 0;
        if (table_.mix.empty()) {
          e = noise[t * per_step + i * a + j];
        } else {
          for (int64_t u = 0; u < h; ++u) e += table_.mix[t * h + u] * noise[u * per_step + i * a + j];
        }
        row[t * a + j] = std::clamp(mean_[t * a + j] + std_[t * a + j] * e, -1.0f, 1.0f);
      }
  };
  team.share_range(n, std::max<int64_t>(worth_sharing / table_.row(), 1), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) propose_row(i);
  });
}

// The best `elites` rows, best first; of equal scores the earlier row.
void Search::select(const float* scores) {
  std::iota(order_.begin(), order_.end(), 0);
  std::partial_sort(order_.begin(), order_.begin() + table_.elites, order_.end(),
                    [&](int x, int y) { return scores[x] != scores[y] ? scores[x] > scores[y] : x < y; });
}

void Search::remember_kept() {
  kept_count_ = table_.keep;
  for (int k = 0; k < table_.keep; ++k)
    std::copy_n(actions_ + order_[k] * table_.row(), table_.row(), kept_.data() + k * table_.row());
}

void Search::update(float* scores) {
  const int64_t row = table_.row();
  for (int i = 0; i < table_.rows(); ++i) {
    float& score = scores[i];
    if (table_.control_cost > 0) {
      const float* actions = actions_ + i * row;
      double cost = 0;
      for (int64_t j = 0; j < row; ++j)
        cost += static_cast<double>(mean_[j]) * (actions[j] - mean_[j]) / (std_[j] * std_[j]);
      score -= static_cast<float>(table_.control_cost * cost);
    }
    if (std::fabs(score) <= exploded_score) continue;  // false for NaN too
    score = -FLT_MAX;
    ++worst_count_;
  }
  select(scores);
  const float best = scores[order_[0]];
  double total = 0;
  for (int k = 0; k < table_.elites; ++k) {
    const float score = scores[order_[k]];
    elite_scores_[k] = score;
    // A rollout that failed weighs nothing, whatever the temperature.
    weights_[k] = score == -FLT_MAX ? 0.0f : std::exp(table_.temperature * (score - best));
    total += weights_[k];
  }
  if (total == 0) return;  // every candidate failed: the distribution stays
  for (float& weight : weights_) weight = static_cast<float>(weight / total);
  if (best > best_score_) {
    best_score_ = best;
    std::copy_n(actions_ + order_[0] * row, row, best_.begin());
  }
  if (table_.keep > 0) remember_kept();
  for (int64_t j = 0; j < row; ++j) {
    double mean = 0, square = 0;
    for (int k = 0; k < table_.elites; ++k)
      mean += static_cast<double>(weights_[k]) * actions_[order_[k] * row + j];
    for (int k = 0; k < table_.elites; ++k) {
      const double d = actions_[order_[k] * row + j] - mean;
      square += weights_[k] * d * d;
    }
    mean_[j] = static_cast<float>(table_.momentum * mean_[j] + (1 - table_.momentum) * mean);
    if (!table_.fixed_std)
      std_[j] = std::clamp(static_cast<float>(std::sqrt(square)), table_.min_std, table_.max_std);
  }
}

bool Search::finish(bool explore, float* out) {
  const int64_t row = table_.row();
  if (best_score_ == -FLT_MAX) {
    ++plan_;
    return false;
  }
  if (table_.pick == Pick::mean) {
    std::copy(mean_.begin(), mean_.end(), out);
  } else if (table_.pick == Pick::best) {
    std::copy(best_.begin(), best_.end(), out);
  } else {
    // An exponential race: the elite of the largest weight / draw is drawn with its weight's probability.
    int winner = 0;
    float lead = -1;
    for (int k = 0; k < table_.elites; ++k) {
      float e;
      if (tape_.pick != nullptr) {
        e = tape_.pick[k];
      } else {
        fill_uniform(seed_, plan_stream(plan_, PlanDraw::pick), k, &e, 1);
        e = -std::log(e);
      }
      if (weights_[k] / e > lead) lead = weights_[k] / e, winner = k;
    }
    std::copy_n(actions_ + order_[winner] * row, row, out);
  }
  if (explore)
    for (int64_t j = 0; j < table_.action_dim; ++j) {
      float e;
      if (tape_.explore != nullptr) {
        e = tape_.explore[j];
      } else {
        fill_normal(seed_, plan_stream(plan_, PlanDraw::explore), j, &e, 1);
      }
      out[j] += std_[j] * e;
    }
  for (int64_t j = 0; j < row; ++j) out[j] = std::clamp(out[j], -1.0f, 1.0f);
  std::copy(mean_.begin(), mean_.end(), previous_.begin());
  warm_ = true;
  ++plan_;
  return true;
}

void Search::adopt(const Outcome& o) {
  const int64_t row = table_.row();
  std::copy_n(o.mean, row, mean_.begin());
  std::copy_n(o.std, row, std_.begin());
  std::copy_n(o.weights, table_.elites, weights_.begin());
  std::copy_n(o.elite_scores, table_.elites, elite_scores_.begin());
  for (int k = 0; k < table_.elites; ++k) {
    order_[k] = o.elites[k];
    std::copy_n(o.elite_rows + k * row, row, actions_ + order_[k] * row);
  }
  best_score_ = o.best_score;
  worst_count_ = o.worst_count;
}

}  // namespace tendon
