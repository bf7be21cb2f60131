#include "plan/rollout.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "plan/ports.h"
#include "backend/cpu/run.h"

namespace tendon {

Rollout::Rollout(WorldModel model, const PlannerTable& table) : model_(std::move(model)), table_(table) {
  const int64_t rows = table.rows(), row = table.row(), a = table.action_dim;
  rollout_ = std::make_unique<Bound>(model_.rollout, model_.weights);
  actions_ = input_memory(*rollout_, "actions", rows * row);
  tail_noise_ = input_memory(*rollout_, "tail_noise", rows * a, true);
  if (const ProgramPort* drawn = find_port(model_.rollout->inputs, "model_noise")) {
    model_noise_ = rollout_->input("model_noise");
    model_draws_ = drawn->shape.count() / rows;
  }
  return_ = output_memory(*rollout_, "return", rows);
  tail_weight_ = output_memory(*rollout_, "tail_weight", rows, table.critics == 0);
  if (table.prior > 0) {
    if (!model_.prior)
      throw BuildError("graph_invalid", "a planner with prior candidates needs prior_actions");
    prior_ = std::make_unique<Bound>(model_.prior, model_.weights);
    prior_noise_ = input_memory(*prior_, "prior_noise", table.prior * row, true);
    if (model_draws_ > 0)
      prior_model_noise_ = input_memory(*prior_, "prior_model_noise", table.prior * model_draws_, true);
    prior_actions_ = output_memory(*prior_, "prior_actions", table.prior * row);
  }
  if (table.critics > 0) members_ = output_memory(*rollout_, "members", rows * table.critics, true);
  if (table.critics > 0 && members_ == nullptr) {
    if (static_cast<int>(model_.critics.size()) != table.critics)
      throw BuildError("graph_invalid",
                       format("a planner of %d critics was given %zu", table.critics, model_.critics.size()));
    for (size_t i = 0; i < model_.critics.size(); ++i) add_critic(model_.critics[i], i);
  }
  scores_.resize(rows);
  drawn_.resize(table.drawn);
}

// It reads the end of the rollout where it lies.
void Rollout::add_critic(const Critic& critic, size_t number) {
  std::vector<std::pair<std::string, float*>> given;
  for (const auto& [input, output] :
       {std::pair{"critic_latent", "tail_latent"}, std::pair{"critic_action", "tail_action"}}) {
    need_port(model_.rollout->outputs, output, -1);
    need_port(critic.program->inputs, input, find_port(model_.rollout->outputs, output)->shape.count());
    given.emplace_back(input, rollout_->output(output));
  }
  critics_.push_back(std::make_unique<Bound>(critic.program, model_.weights, critic.weights, given));
  // A program has the names of the first of those that share it.
  if (critic.program->outputs.size() != 1 || critic.program->outputs[0].shape.count() != table_.rows())
    throw BuildError("graph_invalid",
                     format("planner port value_%zu: expected %d values", number, table_.rows()));
  values_.push_back(critics_.back()->output(size_t{0}));
}

void Rollout::observe(const Search& search, const Team& team) {
  run_list(*rollout_, List::observation, team);
  for (const auto& critic : critics_) run_list(*critic, List::observation, team);
  if (!prior_) return;
  if (prior_noise_ != nullptr) search.draw_prior(prior_noise_, team);
  if (prior_model_noise_ != nullptr) search.draw_prior_model(model_draws_, prior_model_noise_, team);
  run_list(*prior_, List::observation, team);
  run_list(*prior_, List::step, team);
  std::copy_n(prior_actions_, table_.prior * table_.row(), actions_);
}

void Rollout::score(int iteration, const Search& search, const Team& team) {
  if (tail_noise_ != nullptr) search.draw_tail(iteration, tail_noise_, team);
  if (model_noise_ != nullptr) search.draw_model(iteration, model_draws_, model_noise_, team);
  if (table_.critics > 0) search.draw_critics(iteration, drawn_.data());
  run_list(*rollout_, List::step, team);
  if (members_ == nullptr) {
    for (size_t d = 0; d < drawn_.size(); ++d) {
      const int i = drawn_[d];
      if (std::find(drawn_.begin(), drawn_.begin() + d, i) != drawn_.begin() + d) continue;  // asked already
      run_list(*critics_[i], List::step, team);
    }
  }
  combine();
}

// What the critics drawn say of a row. A NaN among them survives, so that the search can count it as worst.
float Rollout::asked(int row) const {
  const auto value = [&](int d) {
    return members_ != nullptr ? members_[row * table_.critics + d] : values_[d][row];
  };
  const auto n = static_cast<float>(table_.drawn);
  float low = INFINITY, mean = 0, square = 0;
  for (const int d : drawn_) {
    low = value(d) >= low ? low : value(d);
    mean += value(d) / n;
  }
  if (table_.ask == Ask::mean || std::isnan(mean)) return mean;
  if (table_.ask == Ask::minimum) return low;
  for (const int d : drawn_) square += (value(d) - mean) * (value(d) - mean);
  const float deviation = table_.drawn > 1 ? std::sqrt(square / (n - 1)) : 0;
  return table_.ask_min * low + table_.ask_mean * mean + table_.ask_std * deviation;
}

void Rollout::combine() {
  for (int i = 0; i < table_.rows(); ++i)
    scores_[i] = return_[i] + (table_.critics > 0 ? tail_weight_[i] * asked(i) : 0);
}

Status plan(Search& search, Rollout& rollout, const PlanTape& tape, const float* centre,
            const std::atomic<bool>* cancel, const Team& team) {
  search.begin(tape, centre);
  rollout.observe(search, team);
  for (int i = 0; i < search.table().iterations; ++i) {
    search.propose(i, team);
    rollout.score(i, search, team);
    search.update(rollout.scores());
    if (cancel != nullptr && cancel->load(std::memory_order_relaxed)) return Status::cancelled;
  }
  return Status::ok;
}

}  // namespace tendon
