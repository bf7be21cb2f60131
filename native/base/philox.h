// Counter-based random numbers: Philox4x32-10 (Salmon et al., "Parallel Random Numbers: As Easy as 1, 2, 3",
// SC'11). A draw is a pure function of (seed, stream, index), so every device and every split over threads
// gives the same numbers.
#pragma once

#include <array>
#include <cstdint>

namespace tendon {

// One block of four 32-bit words for a 128-bit counter and a 64-bit key.
std::array<uint32_t, 4> philox4x32(std::array<uint32_t, 4> counter, std::array<uint32_t, 2> key);

// Uniform in (0, 1): the top 24 bits, centred, so that neither end is ever drawn.
inline float uniform_from(uint32_t word) { return (static_cast<float>(word >> 8) + 0.5f) * 0x1p-24f; }

// Fills out[0..count) with the standard normal draws first, first+1, … of (seed, stream) by Box–Muller: block
// i/4 of the counter gives draws 4(i/4) … 4(i/4)+3, two pairs (cosine, sine).
void fill_normal(uint64_t seed, uint64_t stream, uint64_t first, float* out, int64_t count);

// The same indexing for uniforms in (0, 1).
void fill_uniform(uint64_t seed, uint64_t stream, uint64_t first, float* out, int64_t count);

}  // namespace tendon
