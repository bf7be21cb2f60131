// What this machine can do at most, measured: the denominators of every "share of the machine's limit".
#pragma once

#include "base/pool.h"
#include "kernels/kernels.h"

namespace tendon {

// Operations per second of all threads with nothing to wait for, weights being in `format`. A format that the
// kernels widen is limited by f32's arithmetic.
double measure_arithmetic(Pool& pool, const KernelTable& kernels, WeightFormat format);

// Bytes per second at which all threads together read the same `bytes` again and again: from memory when they
// are many, from a cache when they are few.
double measure_reading(Pool& pool, size_t bytes);

}  // namespace tendon
