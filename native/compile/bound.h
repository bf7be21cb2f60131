// A program on this machine: its values have memory, and every argument its pointer. Binding happens once;
// running only moves on what reads one call's row of a table.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/memory.h"
#include "compile/program.h"

namespace tendon {

struct BoundInstruction {
  KernelArgs args;
  int pieces;  // that its work is cut into
  // Pointers that move from call to call: which, and by how many floats.
  std::vector<std::pair<int, int64_t>> moves;

  // The arguments of one call of the table.
  KernelArgs at_call(int64_t call) const;
};

class Bound {
 public:
  // `weights` must stay where they are; `parts` are those of the program or of one alike (are_alike). Inputs
  // that `given` names are read there, the others have memory here.
  Bound(std::shared_ptr<const Program> program, std::shared_ptr<const Weights> weights,
        const std::vector<WeightPart>& parts, const std::vector<std::pair<std::string, float*>>& given = {});
  Bound(std::shared_ptr<const Program> program, std::shared_ptr<const Weights> weights)
      : Bound(program, std::move(weights), program->weights) {}

  const Program& program() const { return *program_; }
  const std::shared_ptr<const Program>& shared_program() const { return program_; }
  const std::vector<BoundInstruction>& list(List l) const { return lists_[static_cast<int>(l)]; }
  // Where an input or output lies, by its number in the program's ports.
  float* input(size_t i) const { return inputs_[i]; }
  float* output(size_t i) const { return outputs_[i]; }
  // By name; null where there is none.
  float* input(const std::string& name) const;
  float* output(const std::string& name) const;
  size_t bytes() const { return memory_.bytes(); }

 private:
  std::shared_ptr<const Program> program_;
  std::shared_ptr<const Weights> weights_;
  Block memory_;
  std::vector<BoundInstruction> lists_[list_count];
  std::vector<float*> inputs_, outputs_;
};

}  // namespace tendon
