#include "realtime/resident.h"

#if defined(__linux__)
#include <link.h>
#endif
#include <sys/mman.h>

#include <cstdint>
#include <cstring>

namespace tendon {

bool keep_resident(const void* from, size_t bytes) { return bytes == 0 || mlock(from, bytes) == 0; }

#if defined(__linux__)
bool keep_program_resident() {
  static const char anchor = 0;
  struct Search {
    bool kept = true;
  } search;
  dl_iterate_phdr(
      [](dl_phdr_info* object, size_t, void* found) {
        const auto here = reinterpret_cast<uintptr_t>(&anchor);
        const auto each_segment = [&](auto&& body) {
          for (int i = 0; i < object->dlpi_phnum; ++i)
            if (const auto& s = object->dlpi_phdr[i]; s.p_type == PT_LOAD)
              body(object->dlpi_addr + s.p_vaddr, s.p_memsz);
        };
        bool ours = false;
        each_segment([&](uintptr_t at, size_t bytes) { ours |= here >= at && here - at < bytes; });
        if (!ours) return 0;
        each_segment([&](uintptr_t at, size_t bytes) {
          static_cast<Search*>(found)->kept &= keep_resident(reinterpret_cast<const void*>(at), bytes);
        });
        return 1;
      },
      &search);
  return search.kept;
}
#else
bool keep_program_resident() { return true; }
#endif

__attribute__((noinline)) bool keep_stack_resident() {
  volatile char below[64 * 1024];
  std::memset(const_cast<char*>(below), 0, sizeof below);
  return keep_resident(const_cast<char*>(below), sizeof below);
}

}  // namespace tendon
