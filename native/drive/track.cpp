#include "drive/track.h"

#include <algorithm>
#include <cmath>

namespace tendon {

template <class Number>
void interpolate(const Number* values, int rows, size_t joints, double position, Interpolation how,
                 double* out) {
  const int row = static_cast<int>(position), last = rows - 1;
  const double u = position - row;
  const auto at = [&](int r, size_t j) -> double { return values[static_cast<size_t>(r) * joints + j]; };
  for (size_t j = 0; j < joints; ++j) {
    const double here = at(row, j);
    // On a row exactly nothing else is looked at, not even a neighbour that is not finite.
    if (u == 0 || row == last || how == Interpolation::hold) {
      out[j] = here;
      continue;
    }
    const double next = at(row + 1, j);
    if (how == Interpolation::linear) {
      out[j] = here + u * (next - here);
      continue;
    }
    const bool first = row == 0, final = row + 1 == last;
    const double rise = next - here;
    const double before = first ? here : at(row - 1, j), after = final ? next : at(row + 2, j);
    const double v0 = first ? rise : (next - before) / 2, v1 = final ? 0 : (after - here) / 2;
    if (how == Interpolation::cubic) {
      out[j] = here + u * (v0 + u * (3 * rise - 2 * v0 - v1 + u * (v0 + v1 - 2 * rise)));
      continue;
    }
    const double a0 = first ? 0 : next - 2 * here + before, a1 = final ? 0 : after - 2 * next + here;
    const double c3 = 10 * rise - 6 * v0 - 4 * v1 - 1.5 * a0 + 0.5 * a1;
    const double c4 = -15 * rise + 8 * v0 + 7 * v1 + 1.5 * a0 - a1;
    const double c5 = 6 * rise - 3 * v0 - 3 * v1 - 0.5 * a0 + 0.5 * a1;
    out[j] = here + u * (v0 + u * (0.5 * a0 + u * (c3 + u * (c4 + u * c5))));
  }
}

template void interpolate(const float*, int, size_t, double, Interpolation, double*);
template void interpolate(const double*, int, size_t, double, Interpolation, double*);

bool sample(const Track& track, Interpolation how, int64_t at_ns, double* out) {
  const double position =
      std::max(0.0, static_cast<double>(at_ns - track.stamp_ns) / static_cast<double>(track.period_ns));
  if (!(position < track.rows)) return false;
  interpolate(track.values.data(), track.rows, track.start.size(), position, how, out);
  return true;
}

}  // namespace tendon
