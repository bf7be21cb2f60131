// Runs a program's lists on a team. Every member calls the same functions; nothing here allocates or throws.
#pragma once

#include "base/pool.h"
#include "compile/program.h"

namespace tendon {

// All instructions of the list, with a barrier before the first and after the last.
void run_list(const Program& program, List list, const Team& team);

// Brings row `call` of every schedule and prepared table to where the step list reads it. Member 0's work.
void select_call(const Program& program, int64_t call);

}  // namespace tendon
