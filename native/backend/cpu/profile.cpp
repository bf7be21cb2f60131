#include "backend/cpu/profile.h"

#include <algorithm>
#include <chrono>

#include "backend/cpu/run.h"

namespace tendon {

std::vector<double> profile_list(const Bound& program, List list, Pool& pool, int rounds) {
  using Clock = std::chrono::steady_clock;
  const auto& instructions = program.list(list);
  std::vector<std::vector<double>> times(instructions.size(), std::vector<double>(rounds));
  for (int round = 0; round < rounds; ++round) {
    pool.run([&](const Team& team) {
      for (size_t i = 0; i < instructions.size(); ++i) {
        const auto begin = Clock::now();
        run_instruction(*program.program().kernels, instructions[i], team);
        times[i][round] = std::chrono::duration<double, std::nano>(Clock::now() - begin).count();
      }
    });
  }
  std::vector<double> medians;
  for (auto& samples : times) {
    std::nth_element(samples.begin(), samples.begin() + rounds / 2, samples.end());
    medians.push_back(samples[rounds / 2]);
  }
  return medians;
}

}  // namespace tendon
