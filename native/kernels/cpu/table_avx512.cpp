// The kernels on AVX-512. Reduced weights are widened as they are read.
#include "kernels/cpu/simd_avx512.h"
#include "kernels/cpu/table.h"
#include "kernels/cpu/tables.h"

namespace tendon {

KernelTable avx512_kernels() { return table<Avx512>("avx512"); }

}  // namespace tendon
