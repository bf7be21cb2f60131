// What this machine can do at most, measured: the denominators of every "share of the machine's limit".
#pragma once

#include "base/pool.h"
#include "kernels/kernels.h"

namespace tendon {

struct MachineLimits {
  double operations_per_s[static_cast<int>(WeightFormat::count)] = {};  // per format of weights, all threads
  double bytes_per_s = 0;                                               // streaming reads, all threads
};

// Takes about half a second. Weights of a format that the kernels widen are limited by f32's arithmetic.
MachineLimits measure_limits(Pool& pool, const KernelTable& kernels);

}  // namespace tendon
