// How many threads this process can keep busy: what its affinity and its control groups leave of the machine.
#pragma once

#include <pthread.h>

#include <string>
#include <vector>

namespace tendon {

// The cores that this thread may run on, in order; none where that is not known.
std::vector<int> allowed_cores();

// From here on `thread` runs on `core` alone; false, and nothing changes, where it cannot.
bool bind_to_core(pthread_t thread, int core);

// Whole cores that the quotas of control groups leave, at least 1; 0 where nothing limits them. `groups` is
// the text of /proc/self/cgroup, `mount` the folder /sys/fs/cgroup. Reads v2 (cpu.max) and v1
// (cpu.cfs_quota_us), from the process's own group up to the root.
int quota_cores(const std::string& groups, const std::string& mount);

// Of `cores`, those of the machine's fast kind, by the capacity or the highest clock that each has in
// `folder`
// (/sys/devices/system/cpu); all of them where nothing tells kinds apart.
std::vector<int> fast_cores(const std::vector<int>& cores, const std::string& folder);

// Of `cores`, the first of each physical one: two threads on the halves of one core share its arithmetic.
std::vector<int> physical_cores(const std::vector<int>& cores, const std::string& folder);

constexpr const char* cores_folder = "/sys/devices/system/cpu";

// Threads that a pool has by default: one for each fast physical core that is allowed, no more than the
// quota. A quota of 1.5 cores gives one: two threads would be stopped for a quarter of the time.
int default_threads();

}  // namespace tendon
