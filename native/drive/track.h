// What the executor follows: rows of joint targets with their times, as ActionChunk has them, and where
// commands are to begin. Row i is in force from stamp + i·period on; the last row lasts one period and then
// the track is over.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

namespace tendon {

// Between rows. Hold: the row in force, as in training.
enum class Interpolation : uint8_t { hold, linear, cubic, quintic };

struct Track {
  // Changes when commands are to begin anew at `start` (joints), at rest.
  uint64_t episode = 0;
  std::vector<double> start;
  std::optional<int64_t> begun_ns;  // when `start` was measured (Stepper::begin)

  int64_t stamp_ns = 0, period_ns = 1;
  int rows = 0;                // 0: follow nothing
  std::vector<double> values;  // (rows, joints), as large as it will ever be

  int64_t end_ns() const { return stamp_ns + rows * period_ns; }
};

// Writes what is in force at `position` (in rows, 0 ≤ position < rows) of `values` (rows, joints). Cubic:
// Hermite with the slopes of neighbouring rows (Catmull and Rom 1974), one-sided at the first row and zero at
// the last, which is reached at rest. Quintic: their second differences too, so that the acceleration is
// continuous.
template <class Number>
void interpolate(const Number* values, int rows, size_t joints, double position, Interpolation how,
                 double* out);

// Writes the target at `at_ns` (joints); false when the track is over or empty. Before its stamp a track
// waits at its first row.
bool sample(const Track& track, Interpolation how, int64_t at_ns, double* out);

}  // namespace tendon
