#include "backend/cpu/run.h"

#include "compile/dispatch.h"

namespace tendon {

void run_instruction(const KernelTable& kernels, const BoundInstruction& instruction, const Team& team,
                     int64_t call) {
  const int pieces = team.size() == 1 ? 1 : instruction.pieces;
  const auto offer = [&](auto run) {
    team.share(pieces, [&](int piece, int member) { run(Part{piece, pieces, member}); });
  };
  if (call == 0 || instruction.moves.empty()) {
    dispatch(kernels, instruction.args, offer);
  } else {
    dispatch(kernels, instruction.at_call(call), offer);
  }
}

void run_list(const Bound& program, List list, const Team& team, int64_t call) {
  const KernelTable& kernels = *program.program().kernels;
  for (const BoundInstruction& instruction : program.list(list))
    run_instruction(kernels, instruction, team, call);
}

void run_once(const Bound& program, const Team& team) {
  for (const List list : all_lists) run_list(program, list, team);
}

}  // namespace tendon
