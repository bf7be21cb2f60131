// Keeps in memory what a real-time thread touches, and only that: the program it runs, its stack and its
// data. Locking the whole process (mlockall) is not for a process that V8 lives in: V8 gives pages back with
// MADV_DONTNEED, which fails on locked memory, and V8 then aborts.
#pragma once

#include <cstddef>

namespace tendon {

// Each is false, with errno set, where the system refuses (ulimit -l).
bool keep_resident(const void* from, size_t bytes);
// The code and data of the shared object that holds this function.
bool keep_program_resident();
// The nearest 64 KiB of the calling thread's stack, which are touched as well.
bool keep_stack_resident();

}  // namespace tendon
