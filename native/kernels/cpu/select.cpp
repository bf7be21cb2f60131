// Which table this machine can run: asked of the processor, and for AMX tiles of the kernel, once.
#include <string>

#if defined(__x86_64__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

#include "base/error.h"
#include "kernels/cpu/tables.h"

namespace tendon {

namespace {

enum Level : int {
  level_reference,
  level_avx2,
  level_avxvnni,
  level_avx512,
  level_avx512vnni,
  level_avx512bf16,
  level_amx,
  level_neon
};
constexpr const char* level_names[] = {"reference",  "avx2",       "avxvnni", "avx512",
                                       "avx512vnni", "avx512bf16", "amx",     "neon"};

#if defined(__x86_64__)
// The tile registers are switched on per process, by asking.
bool has_amx() {
  unsigned a, b, c, d;
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return false;
  constexpr unsigned bf16 = 1u << 22, tile = 1u << 24, int8 = 1u << 25;
  if ((d & (bf16 | tile | int8)) != (bf16 | tile | int8)) return false;
  constexpr long arch_req_xcomp_perm = 0x1023, tile_data = 18;
  return syscall(SYS_arch_prctl, arch_req_xcomp_perm, tile_data) == 0;
}

// Processors without AVX-512 have it, and the newest with.
bool has_avxvnni() {
  unsigned a, b, c, d;
  return __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a & (1u << 4)) != 0;
}

Level machine_level() {
  __builtin_cpu_init();
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma") || !__builtin_cpu_supports("f16c"))
    return level_reference;
  if (!__builtin_cpu_supports("avx512f") || !__builtin_cpu_supports("avx512bw") ||
      !__builtin_cpu_supports("avx512dq") || !__builtin_cpu_supports("avx512vl"))
    return has_avxvnni() ? level_avxvnni : level_avx2;
  if (!__builtin_cpu_supports("avx512vnni")) return level_avx512;
  if (!__builtin_cpu_supports("avx512bf16")) return level_avx512vnni;
  return has_amx() ? level_amx : level_avx512bf16;
}

const KernelTable& table_of(int level) {
  switch (level) {
    case level_avx2: {
      static const KernelTable table = avx2_kernels();
      return table;
    }
    case level_avxvnni: {
      static const KernelTable table = has_avxvnni() ? avxvnni_kernels() : avx2_kernels();
      return table;
    }
    case level_avx512: {
      static const KernelTable table = avx512_kernels();
      return table;
    }
    case level_avx512vnni: {
      static const KernelTable table = avx512vnni_kernels();
      return table;
    }
    case level_avx512bf16: {
      static const KernelTable table = avx512bf16_kernels();
      return table;
    }
    case level_amx: {
      static const KernelTable table = amx_kernels();
      return table;
    }
    default:
      return reference_kernels();
  }
}
#elif defined(__aarch64__)
Level machine_level() { return level_neon; }

const KernelTable& table_of(int level) {
  static const KernelTable table = neon_kernels();
  return level == level_neon ? table : reference_kernels();
}
#else
Level machine_level() { return level_reference; }
const KernelTable& table_of(int) { return reference_kernels(); }
#endif

}  // namespace

const KernelTable& select_kernels(const char* limit) {
  const std::string name = limit;
  static const Level best = machine_level();
  if (name.empty()) return table_of(best);
  for (int level = level_reference; level <= level_neon; ++level) {
    if (name != level_names[level]) continue;
    // On an Arm machine the x86 names are above nothing it has, and neon is above all that x86 has.
    return table_of(level < best ? level : best);
  }
  std::string names;
  for (const char* known : level_names) names += (names.empty() ? "" : ", ") + std::string(known);
  throw BuildError("config_invalid", format("isa: expected one of %s (TENDON_ISA or the isa option), got %s",
                                            names.c_str(), name.c_str()));
}

}  // namespace tendon
