// Counter-based random numbers: Philox4x32-10 (Salmon et al., "Parallel Random Numbers: As Easy as 1, 2, 3",
// SC'11). A draw is a pure function of (seed, stream, index), so every device and every split over threads
// gives the same numbers.
#pragma once

#include <array>
#include <cmath>
#include <cstdint>

#include "base/device.h"

namespace tendon {

// The ten rounds, in place, for a counter and a key of words; kernels for accelerators draw with it too.
TENDON_HD inline void philox_rounds(uint32_t (&c)[4], uint32_t key0, uint32_t key1) {
  for (int round = 0; round < 10; ++round) {
    const uint64_t p0 = static_cast<uint64_t>(0xD2511F53u) * c[0];
    const uint64_t p1 = static_cast<uint64_t>(0xCD9E8D57u) * c[2];
    const uint32_t c1 = c[1], c3 = c[3];
    c[0] = static_cast<uint32_t>(p1 >> 32) ^ c1 ^ key0;
    c[1] = static_cast<uint32_t>(p1);
    c[2] = static_cast<uint32_t>(p0 >> 32) ^ c3 ^ key1;
    c[3] = static_cast<uint32_t>(p0);
    key0 += 0x9E3779B9u;
    key1 += 0xBB67AE85u;
  }
}

// One block of four 32-bit words for a 128-bit counter and a 64-bit key.
std::array<uint32_t, 4> philox4x32(std::array<uint32_t, 4> counter, std::array<uint32_t, 2> key);

// Uniform in (0, 1): the top 24 bits, centred. Above a half the sum has no bit left for the 0.5 and rounds;
// the last of them would round to 1.
TENDON_HD inline float uniform_from(uint32_t word) {
  const float u = (static_cast<float>(word >> 8) + 0.5f) * 0x1p-24f;
  return u < 1.0f ? u : 0x1.fffffep-1f;
}

// The four words of (seed, stream) at a block of the counter.
TENDON_HD inline void philox_block(uint64_t seed, uint64_t stream, uint64_t block, uint32_t (&words)[4]) {
  words[0] = static_cast<uint32_t>(block);
  words[1] = static_cast<uint32_t>(block >> 32);
  words[2] = static_cast<uint32_t>(stream);
  words[3] = static_cast<uint32_t>(stream >> 32);
  philox_rounds(words, static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32));
}

// Draw `lane` of a block, by Box–Muller: two pairs (cosine, sine). In double, so that every platform's libm
// rounds to the same float in all but the rarest draws.
TENDON_HD inline float normal_from(const uint32_t (&words)[4], int lane) {
  const int pair = lane & ~1;
  const double radius = std::sqrt(-2.0 * std::log(static_cast<double>(uniform_from(words[pair]))));
  const double angle = 6.283185307179586476925 * uniform_from(words[pair + 1]);
  return static_cast<float>(radius * (lane & 1 ? std::sin(angle) : std::cos(angle)));
}

// Fills out[0..count) with the standard normal draws first, first+1, … of (seed, stream): block i/4 of the
// counter gives draws 4(i/4) … 4(i/4)+3.
void fill_normal(uint64_t seed, uint64_t stream, uint64_t first, float* out, int64_t count);

// The same indexing for uniforms in (0, 1).
void fill_uniform(uint64_t seed, uint64_t stream, uint64_t first, float* out, int64_t count);

}  // namespace tendon
