// Runs a bound program's lists on a team, from its caller. Nothing here allocates or throws.
#pragma once

#include "base/team.h"
#include "compile/bound.h"

namespace tendon {

// One instruction; of the step list, that of one `call` of the table.
void run_instruction(const KernelTable& kernels, const BoundInstruction& instruction, const Team& team,
                     int64_t call = 0);

// All instructions of the list, each when the one before is done.
void run_list(const Bound& program, List list, const Team& team, int64_t call = 0);

// All lists, one after the other: the network once, for a table of one call.
void run_once(const Bound& program, const Team& team);

}  // namespace tendon
