#include "backend/cpu/search.h"

#include <algorithm>
#include <cmath>

#include "backend/cpu/run.h"

namespace tendon {

CpuSearch::CpuSearch(CpuStream& stream, Search& search, const SearchPorts& ports,
                     std::vector<std::unique_ptr<CpuExecutable>> critics)
    : stream_(stream), search_(search), ports_(ports), critics_(std::move(critics)) {
  scores_.resize(static_cast<size_t>(search.table().rows()));
  drawn_.resize(static_cast<size_t>(search.table().drawn));
}

void CpuSearch::give(const PlanTape& tape, const float* centre, bool explore) {
  tape_ = tape;
  centre_ = centre;
  explore_ = explore;
}

void CpuSearch::enqueue_begin() {
  task<&CpuSearch::begin>(0);
  for (const auto& critic : critics_) stream_.enqueue(*critic, List::observation, 0);
}

void CpuSearch::begin(int, const Team& team) {
  search_.begin(tape_, centre_);
  if (ports_.prior_noise != nullptr) search_.draw_prior(ports_.prior_noise, team);
  if (ports_.prior_model_noise != nullptr)
    search_.draw_prior_model(ports_.model_draws, ports_.prior_model_noise, team);
}

void CpuSearch::propose(int iteration, const Team& team) {
  search_.propose(iteration, team);
  if (ports_.tail_noise != nullptr) search_.draw_tail(iteration, ports_.tail_noise, team);
  if (ports_.model_noise != nullptr)
    search_.draw_model(iteration, ports_.model_draws, ports_.model_noise, team);
  if (!drawn_.empty()) search_.draw_critics(iteration, drawn_.data());
}

void CpuSearch::update(int, const Team& team) {
  if (ports_.members == nullptr)
    for (size_t d = 0; d < drawn_.size(); ++d) {
      const auto earlier = drawn_.begin() + static_cast<int64_t>(d);
      if (std::find(drawn_.begin(), earlier, drawn_[d]) != earlier) continue;  // asked already
      run_list(critics_[static_cast<size_t>(drawn_[d])]->bound(), List::step, team);
    }
  const bool asks = search_.table().critics > 0;
  for (int i = 0; i < search_.table().rows(); ++i)
    scores_[static_cast<size_t>(i)] = ports_.returns[i] + (asks ? ports_.tail_weight[i] * asked(i) : 0);
  search_.update(scores_.data());
}

// What the critics drawn say of a row. A NaN among them survives, so that the search can count it as worst.
float CpuSearch::asked(int row) const {
  const PlannerTable& table = search_.table();
  const auto value = [&](int d) {
    return ports_.members != nullptr ? ports_.members[row * table.critics + d]
                                     : critics_[static_cast<size_t>(d)]->output(0)[row];
  };
  const auto n = static_cast<float>(table.drawn);
  float low = INFINITY, mean = 0, square = 0;
  for (const int d : drawn_) {
    low = value(d) >= low ? low : value(d);
    mean += value(d) / n;
  }
  if (table.ask == Ask::mean || std::isnan(mean)) return mean;
  if (table.ask == Ask::minimum) return low;
  for (const int d : drawn_) square += (value(d) - mean) * (value(d) - mean);
  const float deviation = table.drawn > 1 ? std::sqrt(square / (n - 1)) : 0;
  return table.ask_min * low + table.ask_mean * mean + table.ask_std * deviation;
}

}  // namespace tendon
