#include "base/cores.h"

#include <sched.h>

namespace tendon {

std::vector<int> allowed_cores() {
  std::vector<int> cores;
#if defined(__linux__)
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) != 0) return cores;
  for (int core = 0; core < CPU_SETSIZE; ++core)
    if (CPU_ISSET(core, &set)) cores.push_back(core);
#endif
  return cores;
}

bool bind_to_core(pthread_t thread, int core) {
#if defined(__linux__)
  cpu_set_t own;
  CPU_ZERO(&own);
  CPU_SET(core, &own);
  return pthread_setaffinity_np(thread, sizeof own, &own) == 0;
#else
  (void)thread, (void)core;
  return false;
#endif
}

}  // namespace tendon
