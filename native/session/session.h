// The core's one public header: describe a network (graph/graph.h), make a Model of it (packed weights for
// this machine), open Sessions on it (a memory plan for a batch), set a sampler's table, infer. Making throws
// BuildError; inferring returns a Status and neither allocates nor throws. A session serves one call at a
// time; sessions of one pool take turns.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/pool.h"
#include "graph/graph.h"
#include "plan/tree_rollout.h"
#include "sample/table.h"
#include "search/search.h"
#include "session/frames.h"

namespace tendon {

enum class Precision : uint8_t { f32, bf16, i8, automatic };

struct ModelOptions {
  Precision precision = Precision::f32;
  std::string isa;  // as select_kernels
  // cpu, cuda:0, … (backend/cuda/device.h). Empty: the CPU.
  std::string device;
  std::shared_ptr<Pool> pool;  // shared between models; null: one of its own with a thread per core
};

struct ModelReport {
  std::string isa;
  Precision precision = Precision::f32;  // what was chosen, never `automatic`
  double precision_error = 0;            // worst error against f32 on the probe inputs, of the largest output
  int64_t parameters = 0;
  size_t packed_bytes = 0;
};

class Model {
 public:
  static std::shared_ptr<Model> make(Graph graph, const ModelOptions& options);
  virtual ~Model() = default;
  virtual const ModelReport& report() const = 0;
  // Whether sessions run on an accelerator, each on a stream of its own, instead of on the pool.
  virtual bool on_device() const = 0;
};

struct SessionOptions {
  int batch = 1;                     // rows of a step input declared with one row: candidates, rollouts
  std::vector<std::string> outputs;  // only these and what they need; empty: all
};

// Names and whole shapes (batch included) of what a session takes and gives. Schedule ports show one call.
struct Port {
  std::string name;
  Shape shape;
  Stage stage;
};

struct StageReport {
  std::string name;
  int instructions = 0;
  int matrix_products = 0;
  double flops = 0;
  double weight_bytes = 0;
};

struct InstructionReport {
  std::string stage, label;
  double flops = 0, weight_bytes = 0, ns = 0;
};

struct InferStats {
  int64_t observe_ns = 0;  // observation and prepared stages
  int64_t denoise_ns = 0;  // all steps
  int calls = 0;           // denoiser calls made
  int64_t device_ns = 0;   // from upload to result by the device's clock; 0 on the CPU
};

// An input or output by its index in the session's ports. Of an input, numbers or else frames are given.
struct Given {
  int port;
  const float* data;
  Frames* frames = nullptr;

  bool empty() const { return data == nullptr && frames == nullptr; }
  // Writes an input of `count` numbers.
  void write(float* to, int64_t count) const;
};
struct Wanted {
  int port;
  float* data;
};

// Standard normal draws `first`, `first` + 1, … of (seed, stream) (base/philox.h), times `scale`.
struct Draws {
  uint64_t seed = 0, stream = 0, first = 0;
  double scale = 1;
};

// Numbers that are given, or drawn.
struct Noise {
  Noise() = default;
  Noise(const float* numbers) : numbers(numbers) {}
  Noise(const Draws& draws) : draws(draws), is_drawn(true) {}
  bool empty() const { return numbers == nullptr && !is_drawn; }

  const float* numbers = nullptr;
  Draws draws;
  bool is_drawn = false;
};

// All that one chunk is asked with.
struct DenoiseRequest {
  std::vector<Given> inputs;  // every observation input
  Noise start;         // x at the first row: (batch, …) of the step input, already times the first σ
  Noise noise;         // table.noise_draws() draws of that size
  float guidance = 1;  // λ, with two groups
  const float* prefix = nullptr;              // (horizon, action_dim), with
  const float* prefix_weights = nullptr;      // (horizon)
  float* out = nullptr;                       // like start
  const std::atomic<bool>* cancel = nullptr;  // asked between steps; on a device, before the first
};

// Sizes of what denoise takes: floats of one sample batch, draws the table consumes, and one row's layout.
struct SampleShape {
  int64_t count = 0, horizon = 0, action_dim = 0;
  int noise_draws = 0;
};

class Session {
 public:
  static std::unique_ptr<Session> open(std::shared_ptr<Model> model, const SessionOptions& options);
  virtual ~Session() = default;

  virtual const std::vector<Port>& inputs() const = 0;
  virtual const std::vector<Port>& outputs() const = 0;
  virtual std::vector<StageReport> stages() const = 0;
  // One line per instruction: stage, how it is shared, work, what is fused.
  virtual std::string print() const = 0;
  // Every instruction with its measured time, on whatever the inputs hold.
  virtual std::vector<InstructionReport> profile(int rounds) = 0;
  virtual size_t arena_bytes() const = 0;

  // Plans for the table's calls and computes the schedule stage for all of them. `schedule` gives each
  // schedule input's values for every call: (calls, floats per call).
  // With a tolerance, all calls are solved together (sample/denoise.h, ParallelWork) up to it.
  virtual void set_table(const SamplerTable& table, const std::map<std::string, std::vector<float>>& schedule,
                         float parallel_tolerance = 0) = 0;

  // Zeros before set_table.
  virtual SampleShape sample_shape() const = 0;

  // Denoises with the table. The network must have one step input and its first output of the same shape.
  virtual Status denoise(const DenoiseRequest& request, InferStats* stats) = 0;

  // Runs the network once without a sampler, every input given.
  virtual Status run(const std::vector<Given>& inputs, const std::vector<Wanted>& outputs,
                     InferStats* stats) = 0;
};

struct PlanArgs {
  std::vector<Given> inputs;  // every observation input
  PlanTape tape;
  const float* centre =
      nullptr;           // (horizon, action_dim) that the search starts around; null: as the table says
  bool explore = false;  // adds the last spread to the first action
  const std::atomic<bool>* cancel = nullptr;  // asked between iterations; on a device, before the first
};

struct PlanStats {
  int64_t total_ns = 0;
  int64_t worst_count = 0;  // rollouts that were not finite or exploded
  float best_score = 0;
  int64_t device_ns = 0;  // by a device's own clock, 0 on the CPU
};

// A search whose candidates a model scores (the ports: plan/plan.h).
class Planner {
 public:
  // Throws BuildError when the model lacks a port that the table needs.
  static std::unique_ptr<Planner> open(std::shared_ptr<Model> model, const PlannerTable& table);
  virtual ~Planner() = default;

  virtual const std::vector<Port>& inputs() const = 0;
  virtual std::string print() const = 0;
  virtual std::vector<InstructionReport> profile(int rounds) = 0;
  // Forgets the plan before; draws are those of `seed` from its start.
  virtual void reset(uint64_t seed) = 0;
  // Plans; the sequence (horizon · action_dim) goes to `out`. not_finite when every rollout failed.
  virtual Status plan(const PlanArgs& args, float* out, PlanStats* stats) = 0;
  // Normal draws of one rollout of a model that draws its next state; 0 otherwise.
  virtual int64_t model_draws() const = 0;
  // Mean, spread, elites of the last plan.
  virtual Search& search() = 0;
};

struct TreeArgs {
  std::vector<Given> inputs;  // every observation input
  TreeTape tape;
  const float* noise = nullptr;  // (K), of sum 1, mixed into the root's priors
  const std::atomic<bool>* cancel = nullptr;
};

// A tree search through a model (the ports: plan/tree_rollout.h).
class TreePlanner {
 public:
  // Throws BuildError when the model lacks a port that the table needs.
  static std::unique_ptr<TreePlanner> open(std::shared_ptr<Model> model, const TreeTable& table);
  virtual ~TreePlanner() = default;

  virtual const std::vector<Port>& inputs() const = 0;
  virtual std::string print() const = 0;
  virtual void reset(uint64_t seed) = 0;
  // Plans; the sequence (horizon · action_dim) goes to `out`. not_finite when every action of the root
  // failed.
  virtual Status plan(const TreeArgs& args, float* out, PlanStats* stats) = 0;
  virtual int64_t model_draws() const = 0;
  // As the last plan has left it.
  virtual const Tree& tree() const = 0;
};

}  // namespace tendon
