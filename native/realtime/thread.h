// Threads that are to be on time.
#pragma once

#include <functional>
#include <string>

#include "base/thread.h"

namespace tendon {

// A thread that is woken without the slack that saves interrupts. Throws BuildError out_of_resources.
Thread start_thread(std::function<void()> body);

// SCHED_FIFO at 1 to 99. Empty, or for people: what was refused and why.
std::string prefer(const Thread& thread, int fifo_priority);

}  // namespace tendon
