// The steps around a network on the CPU.
#pragma once

#include "backend/backend.h"

namespace tendon {

// Shared by the team where it is worth a meeting.
void run_loop(const LoopArgs& args, const Team& team);

}  // namespace tendon
