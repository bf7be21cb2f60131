// Into how many pieces the work of an instruction is cut for a team.
#pragma once

#include "compile/program.h"

namespace tendon {

// 1 where sharing would cost more than it saves; else some for each of `members`, so that one that is slower
// than the others, or has lost its core, can take fewer.
int pieces_of(const Instruction& instruction, int members);

}  // namespace tendon
