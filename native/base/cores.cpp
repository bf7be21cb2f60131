#include "base/cores.h"

#include <sched.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <thread>

namespace tendon {

namespace {

std::string text_of(const std::string& path) {
  std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

// Cores of `quota` µs in every `period` µs; 0 for none.
int cores_of(double quota, double period) {
  if (!(quota > 0) || !(period > 0)) return 0;
  return std::max(1, static_cast<int>(std::min(quota / period, 1e6)));
}

int quota_v2(const std::string& folder) {
  double quota = 0, period = 0;
  const std::string text = text_of(folder + "/cpu.max");  // "max 100000" where there is none
  return std::sscanf(text.c_str(), "%lf %lf", &quota, &period) == 2 ? cores_of(quota, period) : 0;
}

int quota_v1(const std::string& folder) {
  double quota = 0, period = 0;
  if (std::sscanf(text_of(folder + "/cpu.cfs_quota_us").c_str(), "%lf", &quota) != 1) return 0;
  if (std::sscanf(text_of(folder + "/cpu.cfs_period_us").c_str(), "%lf", &period) != 1) return 0;
  return cores_of(quota, period);
}

}  // namespace

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

int quota_cores(const std::string& groups, const std::string& mount) {
  int least = 0;
  const auto meet = [&](int cores) {
    if (cores > 0 && (least == 0 || cores < least)) least = cores;
  };
  std::istringstream lines(groups);
  for (std::string line; std::getline(lines, line);) {
    // "0::/path" of v2; "4:cpu,cpuacct:/path" of v1.
    const size_t first = line.find(':'), second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    std::string path = line.substr(second + 1);
    if (path.find("..") != std::string::npos) path = "/";
    const bool v2 = controllers.empty();
    if (!v2 && ("," + controllers + ",").find(",cpu,") == std::string::npos) continue;
    // In a container the path may be that of the machine and not be there; its own root is.
    for (;; path = path.substr(0, path.rfind('/'))) {
      if (!path.empty() && path.back() == '/') path.pop_back();
      if (v2) {
        meet(quota_v2(mount + path));
      } else {
        meet(quota_v1(mount + "/" + controllers + path));
        meet(quota_v1(mount + "/cpu" + path));
      }
      if (path.empty()) break;
    }
  }
  return least;
}

std::vector<int> fast_cores(const std::vector<int>& cores, const std::string& folder) {
  // Cores of one kind differ by some percent, as the maker sorted them; kinds by more.
  constexpr double same_kind = 0.85;
  for (const char* measure : {"/cpu_capacity", "/cpufreq/cpuinfo_max_freq"}) {
    std::vector<double> speeds;
    for (const int core : cores)
      speeds.push_back(std::atof(text_of(folder + "/cpu" + std::to_string(core) + measure).c_str()));
    if (speeds.empty() || *std::min_element(speeds.begin(), speeds.end()) <= 0) continue;
    const double least = same_kind * *std::max_element(speeds.begin(), speeds.end());
    std::vector<int> fast;
    for (size_t i = 0; i < cores.size(); ++i)
      if (speeds[i] >= least) fast.push_back(cores[i]);
    return fast;
  }
  return cores;
}

std::vector<int> physical_cores(const std::vector<int>& cores, const std::string& folder) {
  std::vector<int> first;
  std::vector<std::string> seen;
  for (const int core : cores) {
    const std::string twins =
        text_of(folder + "/cpu" + std::to_string(core) + "/topology/thread_siblings_list");
    if (!twins.empty() && std::find(seen.begin(), seen.end(), twins) != seen.end()) continue;
    seen.push_back(twins);
    first.push_back(core);
  }
  return first;
}

int default_threads() {
  const int allowed =
      static_cast<int>(physical_cores(fast_cores(allowed_cores(), cores_folder), cores_folder).size());
  const int cores =
      allowed > 0 ? allowed : std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
  const int quota = quota_cores(text_of("/proc/self/cgroup"), "/sys/fs/cgroup");
  return quota > 0 ? std::min(cores, quota) : cores;
}

}  // namespace tendon
