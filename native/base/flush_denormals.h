// Numbers below the smallest normal float read and written as zero, as long as this lives, on this thread. A
// processor takes about a hundred times as long for arithmetic with them, and networks meet them: an
// attention mask of −100 leaves weights of e⁻¹⁰⁰.
#pragma once

#include <cstdint>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace tendon {

class FlushDenormals {
 public:
#if defined(__x86_64__)
  FlushDenormals() : before_(_mm_getcsr()) { _mm_setcsr(before_ | to_zero | are_zero); }
  ~FlushDenormals() { _mm_setcsr(before_); }
  static bool on() { return (_mm_getcsr() & (to_zero | are_zero)) == (to_zero | are_zero); }

 private:
  static constexpr uint32_t to_zero = 0x8000, are_zero = 0x0040;  // of MXCSR
  const uint32_t before_;
#elif defined(__aarch64__)
  FlushDenormals() : before_(read()) { write(before_ | flush); }
  ~FlushDenormals() { write(before_); }
  static bool on() { return (read() & flush) != 0; }

 private:
  static constexpr uint64_t flush = uint64_t{1} << 24;  // FZ of FPCR
  static uint64_t read() {
    uint64_t state;
    asm volatile("mrs %0, fpcr" : "=r"(state));
    return state;
  }
  static void write(uint64_t state) { asm volatile("msr fpcr, %0" ::"r"(state)); }
  const uint64_t before_;
#else
  FlushDenormals() {}
  static bool on() { return false; }
#endif

 public:
  FlushDenormals(const FlushDenormals&) = delete;
  FlushDenormals& operator=(const FlushDenormals&) = delete;
};

}  // namespace tendon
