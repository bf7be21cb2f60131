// The core's one public header: describe a network (graph/graph.h), make a Model of it (packed weights for
// this machine), open Sessions on it (a memory plan for a batch), set a sampler's table, infer. Making throws
// BuildError; inferring returns a Status and neither allocates nor throws.
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
#include "sample/table.h"

namespace tendon {

enum class Precision : uint8_t { f32, bf16, i8, automatic };

struct ModelOptions {
  Precision precision = Precision::f32;
  std::string isa;             // as select_kernels
  std::shared_ptr<Pool> pool;  // shared between models; null: one of its own with a thread per core
};

// What `auto` chose and why, and what the compiler made of the network: for `tendon inspect`.
struct ModelReport {
  std::string isa;
  Precision precision;
  double precision_error = 0;  // worst relative error against f32 on the probe inputs
  int64_t parameters = 0;
  size_t packed_bytes = 0;
};

class Model {
 public:
  static std::shared_ptr<Model> make(Graph graph, const ModelOptions& options);
  virtual ~Model() = default;
  virtual const ModelReport& report() const = 0;
};

struct SessionOptions {
  int batch = 1;        // rows of step inputs: candidates, rollouts
  int max_calls = 128;  // longest sampler table
  // Time-parallel denoising (Shih et al. 2023): all calls of a deterministic sampler at once, iterated until
  // the largest change is below the tolerance. 0: sequential.
  double parallel_tolerance = 0;
};

// Names and whole shapes (batch included) of what infer takes and gives.
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

struct InferStats {
  int64_t observe_ns = 0;  // observation stage
  int64_t denoise_ns = 0;  // all steps
  int calls = 0;           // denoiser calls made (fewer than the table's when time-parallel)
};

class Session {
 public:
  static std::unique_ptr<Session> open(std::shared_ptr<Model> model, const SessionOptions& options);
  virtual ~Session() = default;

  virtual const std::vector<Port>& inputs() const = 0;
  virtual const std::vector<Port>& outputs() const = 0;
  virtual std::vector<StageReport> stages() const = 0;
  // One line per instruction: op, shape, kernel, stage, measured time of the last run when profiling.
  virtual std::string print() const = 0;
  virtual size_t arena_bytes() const = 0;

  // Computes the schedule stage for every call of the table. `schedule` gives, per schedule input in port
  // order, the values for each call: (calls, per_batch).
  virtual void set_table(const SamplerTable& table,
                         const std::map<std::string, std::vector<float>>& schedule) = 0;

  // Denoises: observation and goal inputs by name, the start noise (unit variance, batch rows of the step
  // input) and, for stochastic tables, `table.noise_count` further draws of the same size. `out` receives
  // x_0.
  virtual Status denoise(const std::map<std::string, const float*>& inputs, const float* start,
                         const float* noise, float* out, const std::atomic<bool>* cancel,
                         InferStats* stats) = 0;

  // Runs the network once, without a sampler: every input by name, every output by name.
  virtual Status run(const std::map<std::string, const float*>& inputs,
                     const std::map<std::string, float*>& outputs, InferStats* stats) = 0;
};

}  // namespace tendon
