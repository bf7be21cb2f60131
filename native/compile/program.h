// A compiled network: four lists of instructions over one block of memory. The schedule list runs when a
// sampler's table is set, for all its calls at once; the observation list once per inference, then the
// prepared list (what depends on schedule and observation but not on x_t), again for all calls at once; the
// step list once per call.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "base/memory.h"
#include "compile/weights.h"
#include "graph/graph.h"
#include "kernels/kernels.h"

namespace tendon {

enum class List : uint8_t { schedule, observation, prepared, step, count };

#define X(name, Args) , Args
using KernelArgs = std::variant<GemmArgs TENDON_KERNELS(X)>;
#undef X

struct Instruction {
  KernelArgs args;
  // Too small to share: member 0 does it alone.
  bool solo = false;
  // A barrier before it: something it reads or overwrites was touched by another member since the last one.
  bool sync = true;
  double flops = 0;
  double bytes = 0;  // weights and activations read
  std::string label;
  // Of a product: its node in the graph and which of its matrices it multiplies by.
  int product = -1, phase = 0;
};

struct Binding {
  std::string name;
  Shape shape;  // batch included
  Stage stage;
  float* data;
};

// A value of the schedule or prepared stage: row `call` of the table is copied to `current` before each step.
struct TableRow {
  const float* table;
  float* current;
  int64_t count;
};

struct CompileOptions {
  int batch = 1;                     // rows of a step input of dim 0 = 1
  int calls = 1;                     // rows of the schedule tables
  int threads = 1;                   // members that will share the work
  std::vector<std::string> outputs;  // only what these need; empty: all
  // Inputs that are another program's memory, by name, of the length that this one needs.
  std::vector<std::pair<std::string, float*>> bound;
  bool parallel = false;  // all calls of the table in one step list: step rows are calls × batch
};

struct Program {
  const KernelTable* kernels = nullptr;
  std::shared_ptr<const Weights> weights;
  std::vector<Instruction> lists[static_cast<int>(List::count)];
  std::vector<Binding> inputs, outputs;
  std::vector<TableRow> rows;
  Block memory;
  CompileOptions options;

  const std::vector<Instruction>& list(List l) const { return lists[static_cast<int>(l)]; }
};

// Lowers a rewritten graph (compile/rewrite.h) whose products have been packed into `weights`.
std::unique_ptr<Program> compile(const Graph& graph, std::shared_ptr<const Weights> weights,
                                 const KernelTable& kernels, const CompileOptions& options);

// One line per instruction.
std::string print_program(const Program& program);

}  // namespace tendon
