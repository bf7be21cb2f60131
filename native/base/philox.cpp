#include "base/philox.h"

namespace tendon {

namespace {

// Calls write(position in out, lane, block words) for each draw.
template <class Write>
void for_each_draw(uint64_t seed, uint64_t stream, uint64_t first, int64_t count, Write write) {
  uint32_t words[4] = {};
  uint64_t current = ~0ull;
  for (int64_t i = 0; i < count; ++i) {
    const uint64_t index = first + static_cast<uint64_t>(i);
    if (index / 4 != current) philox_block(seed, stream, current = index / 4, words);
    write(i, static_cast<int>(index % 4), words);
  }
}

}  // namespace

std::array<uint32_t, 4> philox4x32(std::array<uint32_t, 4> counter, std::array<uint32_t, 2> key) {
  uint32_t words[4] = {counter[0], counter[1], counter[2], counter[3]};
  philox_rounds(words, key[0], key[1]);
  return {words[0], words[1], words[2], words[3]};
}

void fill_normal(uint64_t seed, uint64_t stream, uint64_t first, float* out, int64_t count) {
  for_each_draw(seed, stream, first, count,
                [out](int64_t i, int lane, const auto& words) { out[i] = normal_from(words, lane); });
}

void fill_uniform(uint64_t seed, uint64_t stream, uint64_t first, float* out, int64_t count) {
  for_each_draw(seed, stream, first, count,
                [out](int64_t i, int lane, const auto& words) { out[i] = uniform_from(words[lane]); });
}

}  // namespace tendon
