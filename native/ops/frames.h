// Camera frames on their way to a network's image input, number by number: bytes to numbers, cut out, and
// where the size changes summed up across and then down. session/frames.h says what the numbers mean.
#pragma once

#include <cstdint>

#include "base/device.h"

namespace tendon {

// Frames as they came, and what each byte stands for.
struct FramePixels {
  const uint8_t* pixels;  // (count, height, width, channels)
  const float* values;    // (channels, 256)
  int64_t height, width, channels;

  TENDON_HD const uint8_t* line(int64_t frame, int64_t y) const {
    return pixels + (frame * height + y) * width * channels;
  }
  TENDON_HD float number(const uint8_t* line, int64_t x, int64_t channel) const {
    return values[channel * 256 + line[x * channels + channel]];
  }
};

// Output i of an axis is Σ weight[i·taps + j] · input[first[i] + j]. Taps that would lie beyond the last
// input weigh nothing and are not read.
struct FrameAxis {
  int64_t taps;
  const int32_t* first;
  const float* weight;

  TENDON_HD int64_t taps_of(int64_t i, int64_t length) const {
    const int64_t left = length - first[i];
    return left < taps ? left : taps;
  }
};

// Number i of (frames, lines, columns, channels).
struct FrameIndex {
  int64_t frame, line, column, channel;
  TENDON_HD FrameIndex(int64_t i, int64_t lines, int64_t columns, int64_t channels)
      : frame(i / channels / columns / lines),
        line(i / channels / columns % lines),
        column(i / channels % columns),
        channel(i % channels) {}
};

// out (count, rows, columns, channels) ← what is kept of frames whose size stays.
struct CropArgs {
  FramePixels from;
  int64_t count, top, left, rows, columns;
  float* out;

  TENDON_HD int64_t numbers() const { return count * rows * columns * from.channels; }
  TENDON_HD void at(int64_t i) const {
    const FrameIndex n(i, rows, columns, from.channels);
    out[i] = from.number(from.line(n.frame, top + n.line), left + n.column, n.channel);
  }
};

// lines (count, line_count, columns, channels) ← the frames' lines that are needed, resized across.
struct AcrossArgs {
  FramePixels from;
  FrameAxis axis;
  int64_t count, first_line, line_count, columns;
  float* lines;
  float* room;  // a line in numbers for each part that works by lines; null where none does

  TENDON_HD int64_t numbers() const { return count * line_count * columns * from.channels; }
  TENDON_HD void at(int64_t i) const {
    const FrameIndex n(i, line_count, columns, from.channels);
    const uint8_t* line = from.line(n.frame, first_line + n.line);
    const int64_t first = axis.first[n.column], taps = axis.taps_of(n.column, from.width);
    float sum = 0;
    for (int64_t j = 0; j < taps; ++j)
      sum += axis.weight[n.column * axis.taps + j] * from.number(line, first + j, n.channel);
    lines[i] = sum;
  }
};

// out (count, rows, columns, channels) ← those lines, resized down.
struct DownArgs {
  const float* lines;
  FrameAxis axis;
  int64_t count, first_line, line_count, height, rows, columns, channels;
  float* out;

  TENDON_HD int64_t numbers() const { return count * rows * columns * channels; }
  TENDON_HD const float* line(int64_t frame, int64_t row) const {
    return lines + (frame * line_count + axis.first[row] - first_line) * columns * channels;
  }
  TENDON_HD void at(int64_t i) const {
    const FrameIndex n(i, rows, columns, channels);
    const float* from = line(n.frame, n.line) + n.column * channels + n.channel;
    const int64_t taps = axis.taps_of(n.line, height);
    float sum = 0;
    for (int64_t j = 0; j < taps; ++j)
      sum += axis.weight[n.line * axis.taps + j] * from[j * columns * channels];
    out[i] = sum;
  }
};

}  // namespace tendon
