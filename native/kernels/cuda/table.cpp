#include "kernels/cuda/table.h"

#include <algorithm>
#include <vector>

namespace tendon::cuda {

namespace {

// ---- Packing ---------------------------------------------------------------------------------------------

template <class W>
size_t packed_bytes(int64_t n, int64_t k) {
  const int64_t scales = W::bytes_per_number == 1 ? n * static_cast<int64_t>(sizeof(float)) : 0;
  return static_cast<size_t>(weight_bytes<W>(n, k) + scales);
}

void pack_f32(const float* w, int64_t, int64_t k, void* out, Channels channels) {
  constexpr int columns = F32Weights::columns;
  for (int64_t c = 0; c < channels.count; ++c) {
    const int64_t row = channels.first + c;
    float* to = static_cast<float*>(out) + row / columns * padded_k<F32Weights>(k) * columns + row % columns;
    for (int64_t i = 0; i < k; ++i) to[i * columns] = w[c * k + i];
  }
}

// Calls put(offset in numbers, channel, k) for every number of every fragment of the tiles of `channels`.
template <class W, class Put>
void for_each_fragment(Channels channels, int64_t k, Put put) {
  static_assert(pack_channels % W::columns == 0);
  constexpr int numbers = W::step / 2;  // of a lane in one fetch
  const int64_t first_tile = channels.first / W::columns;
  int64_t at = first_tile * W::columns * padded_k<W>(k);
  for (int64_t tile = first_tile; tile < up(channels.first + channels.count, W::columns); ++tile)
    for (int64_t first = 0; first < padded_k<W>(k); first += W::step)
      for (int m = 0; m < gemm_tiles; ++m)
        for (int lane = 0; lane < 32; ++lane)
          for (int j = 0; j < numbers; ++j, ++at)
            put(at, tile * W::columns + m * 16 + fragment_channel(lane, j % 8),
                first + j / 8 * 16 + fragment_k(lane, j % 8));
}

void pack_bf16(const float* w, int64_t, int64_t k, void* out, Channels channels) {
  auto* packed = static_cast<uint16_t*>(out);
  for_each_fragment<Bf16Weights>(channels, k, [&](int64_t at, int64_t channel, int64_t i) {
    const int64_t c = channel - channels.first;
    packed[at] = c < channels.count && i < k ? to_bf16(w[c * k + i]) : 0;
  });
}

// Round to the nearest of 255 steps of the channel's largest number. The comparison also turns NaN into 0,
// which a cast to an integer must never meet.
void pack_i8(const float* w, int64_t n, int64_t k, void* out, Channels channels) {
  auto* scales = const_cast<float*>(channel_scales(out, n, k)) + channels.first;
  std::vector<float> inverse(static_cast<size_t>(channels.count));
  for (int64_t c = 0; c < channels.count; ++c) {
    float largest = 0;
    for (int64_t i = 0; i < k; ++i) largest = std::max(largest, std::fabs(w[c * k + i]));
    scales[c] = largest / 127.0f;
    inverse[c] = std::isnormal(scales[c]) ? 1.0f / scales[c] : 0.0f;
  }
  auto* packed = static_cast<uint8_t*>(out);
  for_each_fragment<I8Weights>(channels, k, [&](int64_t at, int64_t channel, int64_t i) {
    const int64_t c = channel - channels.first;
    const bool inside = c < channels.count && i < k;
    const float q = inside ? std::nearbyint(w[c * k + i] * inverse[c]) : 0.0f;
    const float clamped = q >= -127 ? std::min(q, 127.0f) : q < -127 ? -127.0f : 0.0f;
    packed[at] = static_cast<uint8_t>(static_cast<int>(clamped) + 128);
  });
}

// ---- The kernels, emulated -------------------------------------------------------------------------------

template <class Args>
void run(const Args& a, Part part) {
  EmulatedStream stream(part, part.count);
  launch(stream, a);
}

size_t scratch_bytes(const GemmArgs& a, int parts) { return gemm_scratch(a, parts); }
bool needs_prepare(const GemmArgs&) { return true; }
void sums(const GemmArgs& a, Part part) {
  EmulatedStream stream(part, part.count);
  launch_sums(stream, {a, cut_gemm(a, part.count), {}});
}
void finish_sums(const GemmArgs& a, Part part) {
  EmulatedStream stream(part, part.count);
  launch_finish(stream, {a, cut_gemm(a, part.count), {}});
}

double no_peak(int64_t) { return 0; }

template <class W>
constexpr GemmKernels product(void (*pack)(const float*, int64_t, int64_t, void*, Channels)) {
  return {true, packed_bytes<W>, pack, scratch_bytes, needs_prepare, sums, finish_sums};
}

}  // namespace

const KernelTable& emulated_kernels() {
#define X(name, Args) .name = run<Args>,
  static const KernelTable table = {
      .isa = "cuda",
      .gemm = {product<F32Weights>(pack_f32), product<Bf16Weights>(pack_bf16), product<I8Weights>(pack_i8)},
      TENDON_KERNELS(X).peak = {no_peak, no_peak, no_peak},
  };
#undef X
  return table;
}

}  // namespace tendon::cuda
