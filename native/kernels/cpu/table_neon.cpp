// The kernels on 64-bit Arm. Reduced weights are widened as they are read.
#include "kernels/cpu/simd_neon.h"
#include "kernels/cpu/table.h"
#include "kernels/cpu/tables.h"

namespace tendon {

KernelTable neon_kernels() { return table<Neon>("neon"); }

}  // namespace tendon
