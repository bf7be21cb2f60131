// A small test runner, so that `npm test` needs nothing but a compiler: TEST registers, CHECK records a
// failure and goes on, main() in main.cpp prints a summary and fails the process when anything failed.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

namespace tendon::test {

struct Case {
  const char* name;
  void (*body)();
};

inline std::vector<Case>& cases() {
  static std::vector<Case> all;
  return all;
}

inline int& failures() {
  static int count = 0;
  return count;
}

// Cases that could not run here, counted; the reason is printed.
inline int& not_run() {
  static int count = 0;
  return count;
}

inline void skip(int count, const std::string& why) {
  not_run() += count;
  std::printf("not run: %d cases: %s\n", count, why.c_str());
}

// Fibers swap stacks, which sanitizers follow slowly and not quite, and another machine's emulator slowly:
// what the CUDA emulator runs is left to the plain build then (TENDON_TEST_FIBERS=off).
inline bool runs_fibers() {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  return false;
#else
  const char* said = std::getenv("TENDON_TEST_FIBERS");
  return said == nullptr || std::strcmp(said, "off") != 0;
#endif
}
constexpr const char* why_no_fibers = "the CUDA emulator's fibers under a sanitizer or qemu";

struct Register {
  Register(const char* name, void (*body)()) { cases().push_back({name, body}); }
};

inline void fail(const char* file, int line, const std::string& what) {
  ++failures();
  std::printf("%s:%d: %s\n", file, line, what.c_str());
}

// Compares got with want; prints the worst element, its index, both values and the tolerance.
// An element passes when |got − want| ≤ relative·max(|want|, floor).
inline bool near_all(const char* file, int line, const char* label, const float* got, const float* want,
                     int64_t count, double relative, double floor) {
  double worst = -1;
  int64_t at = -1;
  for (int64_t i = 0; i < count; ++i) {
    const double allowed = relative * std::fmax(std::fabs(static_cast<double>(want[i])), floor);
    const double excess =
        std::isfinite(got[i]) && std::isfinite(want[i])
            ? std::fabs(static_cast<double>(got[i]) - want[i]) / allowed
            : (got[i] == want[i] || (std::isnan(got[i]) && std::isnan(want[i])) ? 0.0 : INFINITY);
    if (excess > worst) worst = excess, at = i;
  }
  if (worst <= 1.0) return true;
  char text[640];
  std::snprintf(text, sizeof text, "%s: element %lld: got %.9g, want %.9g, %.2f times the tolerance %.2g",
                label, static_cast<long long>(at), got[at], want[at], worst, relative);
  fail(file, line, text);
  return false;
}

}  // namespace tendon::test

#define TENDON_JOIN2(a, b) a##b
#define TENDON_JOIN(a, b) TENDON_JOIN2(a, b)
#define TEST(name)                                                                                      \
  static void TENDON_JOIN(test_body_, __LINE__)();                                                      \
  static ::tendon::test::Register TENDON_JOIN(test_case_, __LINE__)(name,                               \
                                                                    TENDON_JOIN(test_body_, __LINE__)); \
  static void TENDON_JOIN(test_body_, __LINE__)()
#define CHECK(condition)                                                                 \
  do {                                                                                   \
    if (!(condition)) ::tendon::test::fail(__FILE__, __LINE__, "CHECK(" #condition ")"); \
  } while (0)
#define CHECK_NEAR(label, got, want, count, relative, floor) \
  ::tendon::test::near_all(__FILE__, __LINE__, label, got, want, count, relative, floor)
#define CHECK_THROWS(expression, wanted_code)                                                       \
  do {                                                                                              \
    bool threw = false;                                                                             \
    try {                                                                                           \
      (void)(expression);                                                                           \
    } catch (const ::tendon::BuildError& e) {                                                       \
      threw = std::string(e.code()) == (wanted_code);                                               \
    }                                                                                               \
    if (!threw) ::tendon::test::fail(__FILE__, __LINE__, #expression " should throw " wanted_code); \
  } while (0)
