#include "chunk/track.h"

#include <algorithm>
#include <cmath>

namespace tendon {

bool sample(const Track& track, Interpolation how, int64_t at_ns, double* out) {
  const double position =
      std::max(0.0, static_cast<double>(at_ns - track.stamp_ns) / static_cast<double>(track.period_ns));
  if (!(position < track.rows)) return false;
  const size_t joints = track.start.size();
  const int row = static_cast<int>(position), last = track.rows - 1;
  const double u = position - row;
  const auto at = [&](int r, size_t j) { return track.values[static_cast<size_t>(r) * joints + j]; };
  for (size_t j = 0; j < joints; ++j) {
    const double here = at(row, j);
    // On a row exactly nothing else is looked at, not even a neighbour that is not finite.
    if (u == 0 || row == last) {
      out[j] = here;
      continue;
    }
    const double next = at(row + 1, j);
    if (how == Interpolation::linear) {
      out[j] = here + u * (next - here);
      continue;
    }
    const double rise = next - here;
    const double into = row == 0 ? rise : (next - at(row - 1, j)) / 2;
    const double from = row + 1 == last ? 0 : (at(row + 2, j) - here) / 2;
    out[j] = here + u * (into + u * ((3 * rise - 2 * into - from) + u * (into + from - 2 * rise)));
  }
  return true;
}

}  // namespace tendon
