// Lowering: nodes become instructions that name buffers; compile/plan.cpp then gives buffers their memory.
#pragma once

#include <string>
#include <vector>

#include "compile/program.h"

namespace tendon {

enum class Keep : uint8_t {
  scratch,     // lives between the instructions that touch it
  persistent,  // read by a later list or by the caller
  constant,    // owned by the weights
};

struct Buffer {
  int64_t count = 0;  // floats
  Keep keep = Keep::scratch;
  const float* constant = nullptr;
  // Filled by the planner.
  float* data = nullptr;
};

// A pointer field inside an instruction's arguments that awaits its buffer.
struct Fix {
  size_t field;  // bytes from the start of the arguments
  int buffer;
  int64_t offset;  // floats
  bool write;
};

struct Pending {
  Instruction instruction;
  std::vector<Fix> fixes;
  bool uses_scratch = false;
};

struct PendingRow {
  int table, current;
  int64_t count;
};

struct PendingPort {
  std::string name;
  Shape shape;
  Stage stage;
  int buffer;
  int64_t offset = 0;  // floats
};

struct Lowered {
  std::vector<Buffer> buffers;
  std::vector<Pending> lists[static_cast<int>(List::count)];
  std::vector<PendingRow> rows;
  std::vector<PendingPort> inputs, outputs;
};

Lowered lower(const Graph& graph, const Weights& weights, const CompileOptions& options);

}  // namespace tendon
