// Where the time of a program goes: each instruction of a list timed on its own, the whole team in it.
#pragma once

#include <vector>

#include "base/pool.h"
#include "compile/bound.h"

namespace tendon {

// Nanoseconds of each instruction, the median of `rounds` runs of the whole list; its buffers must hold
// inputs.
std::vector<double> profile_list(const Bound& program, List list, Pool& pool, int rounds);

}  // namespace tendon
