// Which cores a thread may run on, and binding it to one.
#pragma once

#include <pthread.h>

#include <vector>

namespace tendon {

// The cores that this thread may run on, in order; none where that is not known.
std::vector<int> allowed_cores();

// From here on `thread` runs on `core` alone; false, and nothing changes, where it cannot.
bool bind_to_core(pthread_t thread, int core);

}  // namespace tendon
