#include "base/philox.h"

#include <cmath>

namespace tendon {

namespace {

constexpr uint32_t multiplier0 = 0xD2511F53u, multiplier1 = 0xCD9E8D57u;
constexpr uint32_t weyl0 = 0x9E3779B9u, weyl1 = 0xBB67AE85u;
constexpr double two_pi = 6.283185307179586476925;

std::array<uint32_t, 4> block_at(uint64_t seed, uint64_t stream, uint64_t block) {
  return philox4x32({static_cast<uint32_t>(block), static_cast<uint32_t>(block >> 32),
                     static_cast<uint32_t>(stream), static_cast<uint32_t>(stream >> 32)},
                    {static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32)});
}

// Calls write(position in out, lane, block words) for each draw.
template <class Write>
void for_each_draw(uint64_t seed, uint64_t stream, uint64_t first, int64_t count, Write write) {
  std::array<uint32_t, 4> words{};
  uint64_t current = ~0ull;
  for (int64_t i = 0; i < count; ++i) {
    const uint64_t index = first + static_cast<uint64_t>(i);
    if (index / 4 != current) words = block_at(seed, stream, current = index / 4);
    write(i, static_cast<int>(index % 4), words);
  }
}

}  // namespace

std::array<uint32_t, 4> philox4x32(std::array<uint32_t, 4> c, std::array<uint32_t, 2> key) {
  for (int round = 0; round < 10; ++round) {
    const uint64_t p0 = static_cast<uint64_t>(multiplier0) * c[0];
    const uint64_t p1 = static_cast<uint64_t>(multiplier1) * c[2];
    c = {static_cast<uint32_t>(p1 >> 32) ^ c[1] ^ key[0], static_cast<uint32_t>(p1),
         static_cast<uint32_t>(p0 >> 32) ^ c[3] ^ key[1], static_cast<uint32_t>(p0)};
    key = {key[0] + weyl0, key[1] + weyl1};
  }
  return c;
}

void fill_normal(uint64_t seed, uint64_t stream, uint64_t first, float* out, int64_t count) {
  for_each_draw(seed, stream, first, count, [out](int64_t i, int lane, const auto& words) {
    const int pair = lane & ~1;
    // In double, so that every platform's libm rounds to the same float in all but the rarest draws.
    const double radius = std::sqrt(-2.0 * std::log(static_cast<double>(uniform_from(words[pair]))));
    const double angle = two_pi * uniform_from(words[pair + 1]);
    out[i] = static_cast<float>(radius * (lane & 1 ? std::sin(angle) : std::cos(angle)));
  });
}

void fill_uniform(uint64_t seed, uint64_t stream, uint64_t first, float* out, int64_t count) {
  for_each_draw(seed, stream, first, count,
                [out](int64_t i, int lane, const auto& words) { out[i] = uniform_from(words[lane]); });
}

}  // namespace tendon
