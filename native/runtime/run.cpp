#include "runtime/run.h"

#include <cstring>

#include "compile/dispatch.h"

namespace tendon {

void run_list(const Program& program, List list, const Team& team) {
  const KernelTable& kernels = *program.kernels;
  team.sync();
  for (const Instruction& instruction : program.list(list)) {
    if (instruction.sync) team.sync();
    if (!instruction.solo) {
      dispatch(kernels, instruction.args, {team.member, team.size}, [&] { team.sync(); });
    } else if (team.member == 0) {
      dispatch(kernels, instruction.args, {0, 1}, [] {});
    }
  }
  team.sync();
}

void select_call(const Program& program, int64_t call) {
  for (const TableRow& row : program.rows)
    std::memcpy(row.current, row.table + call * row.count, static_cast<size_t>(row.count) * sizeof(float));
}

}  // namespace tendon
