// Camera frames on a device, as session/frames.h defines them: bytes to numbers, cut out, and where the size
// changes summed up across and then down, in the CPU's order. A thread per number.
#pragma once

#include "kernels/cuda/api.h"
#include "kernels/cuda/elementwise.h"

namespace tendon::cuda {

TENDON_DEVICE float pixel_value(const FramesArgs& a, int64_t frame, int64_t y, int64_t x, int64_t channel) {
  return a.values[channel * 256 + a.pixels[((frame * a.height + y) * a.width + x) * a.channels + channel]];
}

// Number i of (frames, lines, columns, channels).
struct FrameIndex {
  int64_t frame, line, column, channel;
};
TENDON_DEVICE FrameIndex frame_index(const FramesArgs& a, int64_t lines, int64_t i) {
  const int64_t position = i / a.channels;
  return {position / a.columns / lines, position / a.columns % lines, position % a.columns, i % a.channels};
}

struct CropKernel {
  using Args = FramesArgs;
  TENDON_DEVICE static void run(const Lane& t, const FramesArgs& a) {
    const int64_t i = number_of(t);
    if (i >= a.count * a.rows * a.columns * a.channels) return;
    const FrameIndex at = frame_index(a, a.rows, i);
    a.out[i] = pixel_value(a, at.frame, a.top + at.line, a.left + at.column, at.channel);
  }
};

// The lines that are needed, of all columns kept.
struct AcrossKernel {
  using Args = FramesArgs;
  TENDON_DEVICE static void run(const Lane& t, const FramesArgs& a) {
    const int64_t i = number_of(t);
    if (i >= a.count * a.line_count * a.columns * a.channels) return;
    const FrameIndex at = frame_index(a, a.line_count, i);
    const FrameAxis& axis = a.across;
    const int64_t first = axis.first[at.column];
    float sum = 0;
    // Taps beyond the last column weigh nothing and are not read.
    for (int64_t j = 0; j < axis.taps && first + j < a.width; ++j)
      sum += axis.weight[at.column * axis.taps + j] *
             pixel_value(a, at.frame, a.first_line + at.line, first + j, at.channel);
    a.lines[i] = sum;
  }
};

struct DownKernel {
  using Args = FramesArgs;
  TENDON_DEVICE static void run(const Lane& t, const FramesArgs& a) {
    const int64_t i = number_of(t);
    if (i >= a.count * a.rows * a.columns * a.channels) return;
    const FrameIndex at = frame_index(a, a.rows, i);
    const FrameAxis& axis = a.down;
    const int64_t first = axis.first[at.line], stride = a.columns * a.channels;
    const float* line = a.lines + (at.frame * a.line_count + first - a.first_line) * stride +
                        at.column * a.channels + at.channel;
    float sum = 0;
    for (int64_t j = 0; j < axis.taps && first + j < a.height; ++j)
      sum += axis.weight[at.line * axis.taps + j] * line[j * stride];
    a.out[i] = sum;
  }
};

}  // namespace tendon::cuda
