// Stands in for kernels/cpu/select.cpp on a tree without fast kernels: the reference is the best there is.
#include <string>

#include "base/error.h"
#include "kernels/kernels.h"

namespace tendon {

const KernelTable& select_kernels(const char* limit) {
  const std::string name = limit;
  for (const char* known : {"", "reference", "avx2", "avx512", "avx512bf16", "amx", "neon"})
    if (name == known) return reference_kernels();
  throw BuildError("config_invalid",
                   "isa: expected reference, avx2, avx512, avx512bf16, amx or neon, got " + name);
}

}  // namespace tendon
