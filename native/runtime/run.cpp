#include "runtime/run.h"

#include "compile/dispatch.h"

namespace tendon {

void run_instruction(const KernelTable& kernels, const BoundInstruction& instruction, const Team& team,
                     int64_t call) {
  if (instruction.solo && team.member != 0) return;
  const Part part = instruction.solo ? Part{0, 1} : Part{team.member, team.size};
  const auto between = [&] {
    if (!instruction.solo) team.sync();
  };
  if (call == 0 || instruction.moves.empty()) {
    dispatch(kernels, instruction.args, part, between);
  } else {
    dispatch(kernels, instruction.at_call(call), part, between);
  }
}

void run_list(const Bound& program, List list, const Team& team, int64_t call) {
  const KernelTable& kernels = *program.program().kernels;
  team.sync();
  for (const BoundInstruction& instruction : program.list(list)) {
    if (instruction.sync) team.sync();
    run_instruction(kernels, instruction, team, call);
  }
  team.sync();
}

void run_once(const Bound& program, const Team& team) {
  for (const List list : all_lists) run_list(program, list, team);
}

}  // namespace tendon
