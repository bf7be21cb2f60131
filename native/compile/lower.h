// Lowering: nodes become instructions that name buffers; compile/place.cpp then gives buffers their places.
#pragma once

#include <string>
#include <vector>

#include "compile/program.h"

namespace tendon {

enum class Keep : uint8_t {
  scratch,     // lives between the instructions that touch it
  persistent,  // read by a later list or by the caller
  input,       // number `index` of the program's inputs
  weight,      // number `index` of the program's weights
};

struct Buffer {
  int64_t count = 0;  // floats
  Keep keep = Keep::scratch;
  int index = 0;
};

// What one pointer of an instruction points to.
struct Use {
  int buffer = -1;     // −1: null
  int64_t offset = 0;  // floats
  int64_t per_call = 0;
  bool write = false;
};

struct Pending {
  Instruction instruction;
  std::vector<Use> uses;  // by pointer
};

struct PendingPort {
  std::string name;
  Shape shape;
  Stage stage;
  Use use;
};

struct Lowered {
  std::vector<Buffer> buffers;
  std::vector<WeightPart> weights;
  std::vector<Pending> lists[list_count];
  std::vector<PendingPort> inputs, outputs;
  int scratch = -1;  // the buffer that all products work in
};

Lowered lower(const Graph& graph, const Weights& weights, const CompileOptions& options);

}  // namespace tendon
