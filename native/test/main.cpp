// Runs every registered test, or those whose name contains one of the arguments and none of those behind a
// "-"
// ("kernels" "-many queries"); names those that take long.
#include <malloc.h>

#include <chrono>
#include <cstring>

#include "test/check.h"

namespace {

bool wanted(const char* name, int argc, char** argv) {
  bool any = false, named = false;
  for (int i = 1; i < argc; ++i) {
    const bool without = argv[i][0] == '-';
    const bool found = std::strstr(name, argv[i] + without) != nullptr;
    if (without && found) return false;
    any |= !without;
    named |= found;
  }
  return named || !any;
}

}  // namespace

int main(int argc, char** argv) {
  using namespace tendon::test;
  // One heap for all threads: what is reserved for others would be taken where a test limits memory.
  mallopt(M_ARENA_MAX, 1);
  int passed = 0, failed = 0, skipped = 0;
  for (const Case& test : cases()) {
    if (!wanted(test.name, argc, argv)) {
      ++skipped;
      continue;
    }
    const int before = failures();
    const auto began = std::chrono::steady_clock::now();
    test.body();
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - began;
    if (took.count() > 2) std::printf("%6.1f s  %s\n", took.count(), test.name);
    std::fflush(stdout);
    if (failures() == before) {
      ++passed;
    } else {
      ++failed;
      std::printf("FAILED %s\n", test.name);
    }
  }
  std::printf("native: %d passed, %d failed, %d skipped, %d cases not run here\n", passed, failed, skipped,
              not_run());
  return failed == 0 && passed > 0 ? 0 : 1;
}
