// The functions of the reference table. Each is a plain loop that adds up in f32 in the order of the index it
// sums over, and gives every output element to one part whole, so that results are the same bits for any
// number of parts.
#pragma once

#include "kernels/kernels.h"

namespace tendon::reference {

// gemm.cpp
GemmKernels gemm_kernels(WeightFormat format);

double peak(int64_t rounds);

// Defined file by file, but for ops whose arguments define every number of the result by itself.
#define X(name, Args) void run(const Args&, Part);
TENDON_KERNELS(X)
#undef X

}  // namespace tendon::reference
