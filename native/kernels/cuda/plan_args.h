// What the kernels of a plan (planner.h) read and write: one struct for all of them, filled in when the plan
// is recorded, and what changes from one plan to the next, which goes up with it. The words are those of
// search/table.h and search/search.h; memory is the device's.
#pragma once

#include <cstdint>

namespace tendon::cuda {

// Goes up with every plan.
struct PlanCall {
  uint64_t seed, plan;
  // Draws in place of the seed's, each null for the seed's own (search/search.h, PlanTape).
  const float *samples, *tail, *prior, *model, *prior_model, *pick, *explore;
  const int32_t* critics;
  int32_t fresh;     // the first plan of its seed: nothing is left of those before
  int32_t centred;   // the mean starts at `centre`
  int32_t explores;  // the last spread is added to the first action
};

// What plans leave behind for the next one and for the caller.
struct PlanStatus {
  int32_t warm, kept_count;
  int32_t worst_count, found;
  int32_t moved;  // the last iteration had a finite score
  float best_score;
};

constexpr int most_drawn_critics = 32;

struct PlanArgs {
  const PlanCall* call;
  PlanStatus* status;
  // The table.
  int64_t horizon, action_dim, samples, prior, keep, iterations, elites;
  float initial_std, min_std, max_std, centre_std, temperature, momentum, control_cost;
  float ask_min, ask_mean, ask_std;
  int critics, drawn;
  bool fixed_std, with_replacement, warm_start, picks_best, picks_sampled;
  const float* mix;  // (horizon, horizon), null for white noise
  // The search's own memory.
  float *mean, *std, *previous, *best;  // (row)
  const float* centre;                  // (row)
  float* kept;                          // (keep, row)
  float* noise;                         // (iterations, horizon, samples, action_dim)
  float* scores;                        // (rows)
  float *weights, *elite_scores;        // (elites), as `order`, best first
  int32_t* order;
  int32_t* asked;     // (iterations, drawn): critics
  float* answer;      // (row)
  float* elite_rows;  // (elites, row)
  // The programs' ports, null where there is none.
  float *actions, *tail_noise, *model_noise;  // (rows, row), (rows, action_dim), (rows, model_draws)
  float *prior_noise, *prior_model_noise;     // (prior, row), (prior, model_draws)
  int64_t model_draws;
  const float *returns, *tail_weight, *members;  // (rows), (rows), (rows, critics)
  const float* values[most_drawn_critics];       // (rows), of the critics asked, where there are no members
  int iteration;
};
static_assert(sizeof(PlanArgs) <= 4096, "what a kernel may be given");

// The kernels of a plan in the order in which an iteration has them; `begin` and `answer` stand around all.
enum class PlanStep : uint8_t { begin, propose, score, rank, weigh, move, answer };

// Brings the weights of the programs chosen (backend/cuda/choice.h) to where a place reads them: segments
// of 16-byte words, each on a border of 256 bytes in a place.
struct ChooseSegment {
  int64_t begin, words;
};
struct ChooseArgs {
  const int32_t* chosen;          // (place_count)
  const ChooseSegment* segments;  // (segment_count)
  const void* const* from;        // (segment_count, all)
  uint8_t* places;                // (place_count, place_words)
  int64_t place_words;
  int segment_count, all, place_count;
};

}  // namespace tendon::cuda
