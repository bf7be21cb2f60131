// What a planner is: numbers. One loop (search/search.h) serves the MPPI of TD-MPC and TD-MPC2, information-
// theoretic MPPI, CEM, iCEM and random shooting; each is a row of this table (docs/planning.md prints them).
#pragma once

#include <cstdint>
#include <vector>

namespace tendon {

enum class Ask : uint8_t { mean, minimum, weighted };  // of the critics that are asked
enum class Pick : uint8_t { mean, sampled, best };     // what a plan answers with

struct PlannerTable {
  int horizon = 0, action_dim = 0;
  int samples = 0;  // candidates drawn around the mean, per iteration
  int prior = 0;    // candidates of the policy prior, the first rows of every iteration
  int keep = 0;     // best candidates of the iteration before that stand again, in place of the last drawn
  int iterations = 1;
  int elites = 1;  // candidates, best first, that the distribution is made of
  float initial_std = 1;
  float min_std = 0, max_std = 1e9f;
  bool fixed_std = false;
  float temperature = 0;   // weight exp(temperature·(score − best)); 0: all elites alike
  float momentum = 0;      // of the mean, from one iteration to the next
  float control_cost = 0;  // score −= control_cost · Σ mean·(action − mean)/std²
  int critics = 0;         // critics there are
  int drawn = 0;           // critics asked per iteration, drawn anew each time
  bool with_replacement = false;
  Ask ask = Ask::mean;
  // Ask::weighted: ask_min·min + ask_mean·mean + ask_std·std, of n − 1; a negative ask_std doubts what the
  // critics do not agree on (MoDem-V2).
  float ask_min = 0, ask_mean = 1, ask_std = 0;
  Pick pick = Pick::mean;
  bool warm_start = true;   // the mean begins as the one before, a step on
  float centre_std = 0.1f;  // spread of the first iteration around a centre, where a plan is given one
  std::vector<float> mix;  // (horizon, horizon): noise of step t = Σ mix[t, u]·draw[u]; empty for white noise

  int rows() const { return prior + samples; }
  int64_t row() const { return static_cast<int64_t>(horizon) * action_dim; }
  // Throws BuildError naming the field.
  void check() const;
};

}  // namespace tendon
