// Runs every registered test, or those whose name contains one of the arguments.
#include <cstring>

#include "test/check.h"

int main(int argc, char** argv) {
  using namespace tendon::test;
  int passed = 0, failed = 0, skipped = 0;
  for (const Case& test : cases()) {
    bool wanted = argc == 1;
    for (int i = 1; i < argc; ++i) wanted |= std::strstr(test.name, argv[i]) != nullptr;
    if (!wanted) {
      ++skipped;
      continue;
    }
    const int before = failures();
    test.body();
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
