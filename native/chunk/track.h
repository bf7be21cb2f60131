// What the executor follows: rows of joint targets with their times, as ActionChunk has them, and where
// commands are to begin. Row i is in force from stamp + i·period on; the last row lasts one period and then
// the track is over.
#pragma once

#include <cstdint>
#include <vector>

namespace tendon {

enum class Interpolation : uint8_t { linear, cubic, quintic };

struct Track {
  // Changes when commands are to begin anew at `start` (joints), at rest.
  uint64_t episode = 0;
  std::vector<double> start;

  int64_t stamp_ns = 0, period_ns = 1;
  int rows = 0;                // 0: follow nothing
  std::vector<double> values;  // (rows, joints), as large as it will ever be

  int64_t end_ns() const { return stamp_ns + rows * period_ns; }
};

// Writes the target at `at_ns` (joints); false when the track is over or empty. Before its stamp a track
// waits at its first row. Cubic: Hermite with the slopes of neighbouring rows (Catmull and Rom 1974),
// one-sided at the first row and zero at the last, where the track comes to rest. Quintic: their second
// differences too, so that the acceleration is continuous.
bool sample(const Track& track, Interpolation how, int64_t at_ns, double* out);

}  // namespace tendon
