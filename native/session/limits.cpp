#include "session/limits.h"

#include <algorithm>
#include <chrono>
#include <vector>

#include "base/memory.h"

namespace tendon {

namespace {

constexpr size_t bytes_per_member = size_t{96} << 20;  // far beyond any cache
constexpr int64_t rounds = 2'000'000;
constexpr int tries = 4;  // the best one counts: a limit is what the machine can do undisturbed

double seconds_of(Pool& pool, const std::function<void(const Team&)>& job) {
  using Clock = std::chrono::steady_clock;
  double best = 1e9;
  for (int i = 0; i < tries; ++i) {
    const auto begin = Clock::now();
    pool.run(job);
    best = std::min(best, std::chrono::duration<double>(Clock::now() - begin).count());
  }
  return best;
}

}  // namespace

MachineLimits measure_limits(Pool& pool, const KernelTable& kernels) {
  MachineLimits limits;
  for (int format = 0; format < static_cast<int>(WeightFormat::count); ++format) {
    std::vector<double> done(pool.size());
    const double seconds =
        seconds_of(pool, [&](const Team& team) { done[team.member] = kernels.peak[format](rounds); });
    for (const double operations : done) limits.operations_per_s[format] += operations / seconds;
  }
  const Block memory(bytes_per_member * pool.size());
  std::vector<uint64_t> sums(pool.size() * cache_line);
  const double seconds = seconds_of(pool, [&](const Team& team) {
    const auto* from = reinterpret_cast<const uint64_t*>(memory.data() + team.member * bytes_per_member);
    uint64_t sum[8] = {};
    for (size_t i = 0; i < bytes_per_member / sizeof(uint64_t); i += 8)
      for (int k = 0; k < 8; ++k) sum[k] += from[i + k];
    sums[team.member * cache_line] += sum[0] + sum[1] + sum[2] + sum[3] + sum[4] + sum[5] + sum[6] + sum[7];
  });
  limits.bytes_per_s = static_cast<double>(memory.bytes()) / seconds;
  // Zeros were read; anything else would be a fault, and the compiler cannot know.
  if (sums[0] != 0) limits.bytes_per_s = 0;
  return limits;
}

}  // namespace tendon
