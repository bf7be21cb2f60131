// What a process that holds an arm up asks of its system.
#pragma once

namespace tendon {

// Keeps this process's pages in memory from now on, those to come as they are touched; false without the
// right (CAP_IPC_LOCK, or ulimit -l).
bool lock_memory();

}  // namespace tendon
