#include "measure/peak.h"

#include <algorithm>
#include <chrono>
#include <vector>

#include "base/memory.h"

namespace tendon {

namespace {

constexpr int64_t rounds = 2'000'000;
constexpr size_t read_per_try = size_t{64} << 20;  // per thread
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

// With the widest loads there are; x86 chooses when the program starts.
#if defined(__x86_64__)
__attribute__((target_clones("avx512f", "avx2", "default")))
#endif
uint64_t
sum_of(const uint64_t* from, size_t words) {
  uint64_t sum[32] = {};
  for (size_t i = 0; i + 32 <= words; i += 32)
    for (int k = 0; k < 32; ++k) sum[k] += from[i + k];
  uint64_t total = 0;
  for (const uint64_t s : sum) total += s;
  return total;
}

}  // namespace

double measure_arithmetic(Pool& pool, const KernelTable& kernels, WeightFormat format) {
  std::vector<double> done(pool.size());
  const double seconds = seconds_of(pool, [&](const Team& team) {
    team.share(team.size(),
               [&](int piece, int) { done[piece] = kernels.peak[static_cast<int>(format)](rounds); });
  });
  double operations = 0;
  for (const double own : done) operations += own;
  return operations / seconds;
}

double measure_reading(Pool& pool, size_t bytes) {
  const size_t share = std::max(bytes / pool.size(), size_t{4096}) / 256 * 256;
  const size_t passes = std::max(read_per_try / share, size_t{1});
  const Block memory(share * pool.size());
  std::vector<uint64_t> sums(pool.size() * cache_line);
  const double seconds = seconds_of(pool, [&](const Team& team) {
    team.share(team.size(), [&](int piece, int) {
      const auto* from =
          reinterpret_cast<const uint64_t*>(memory.data() + static_cast<size_t>(piece) * share);
      for (size_t pass = 0; pass < passes; ++pass) {
        sums[static_cast<size_t>(piece) * cache_line] += sum_of(from, share / sizeof(uint64_t));
        asm volatile("" ::: "memory");  // the next pass is not the last one's result again
      }
    });
  });
  return static_cast<double>(passes * share * pool.size()) / seconds;
}

}  // namespace tendon
