// The kernels on AVX2 + FMA. Reduced weights are widened as they are read.
#include "kernels/cpu/simd_avx2.h"
#include "kernels/cpu/table.h"
#include "kernels/cpu/tables.h"

namespace tendon {

KernelTable avx2_kernels() { return table<Avx2>("avx2"); }

}  // namespace tendon
