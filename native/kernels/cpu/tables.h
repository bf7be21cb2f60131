// The tables of this build, one per instruction set. Ask select.cpp which of them the machine can run.
#pragma once

#include "kernels/kernels.h"

namespace tendon {

KernelTable avx2_kernels();
KernelTable avxvnni_kernels();
KernelTable avx512_kernels();
KernelTable avx512vnni_kernels();
KernelTable avx512bf16_kernels();
KernelTable amx_kernels();
KernelTable neon_kernels();

}  // namespace tendon
