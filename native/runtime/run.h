// Runs a bound program's lists on a team. Every member calls the same functions; nothing here allocates or
// throws.
#pragma once

#include "base/pool.h"
#include "compile/bound.h"

namespace tendon {

// One instruction, without the barrier before it; of the step list, that of one `call` of the table.
void run_instruction(const KernelTable& kernels, const BoundInstruction& instruction, const Team& team,
                     int64_t call = 0);

// All instructions of the list, with a barrier before the first and after the last.
void run_list(const Bound& program, List list, const Team& team, int64_t call = 0);

// All lists, one after the other: the network once, for a table of one call.
void run_once(const Bound& program, const Team& team);

}  // namespace tendon
