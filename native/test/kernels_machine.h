// The instruction sets of this machine and the CUDA kernels as emulated, each to be compared with the plain
// loops.
#pragma once

#include <cstring>
#include <vector>

#include "kernels/cuda/table.h"
#include "kernels/kernels.h"
#include "test/check.h"

namespace tendon::test {

inline std::vector<const KernelTable*> machine_tables() {
  std::vector<const KernelTable*> tables;
  for (const char* isa : {"avx2", "avxvnni", "avx512", "avx512vnni", "avx512bf16", "amx", "neon"}) {
    const KernelTable* table = &select_kernels(isa);
    // A name above what the machine has gives its best table again.
    if (std::strcmp(table->isa, isa) == 0) tables.push_back(table);
  }
  if (runs_fibers()) {
    tables.push_back(&cuda::emulated_kernels());
  } else {
    skip(1, why_no_fibers);
  }
  return tables;
}

}  // namespace tendon::test
