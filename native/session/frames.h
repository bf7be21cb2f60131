// Camera frames to a network's image input: bytes to numbers, resized, cut out, channels last. Everything is
// laid out when frames are made, so that writing them neither allocates nor throws.
#pragma once

#include <cstdint>
#include <vector>

#include "base/shape.h"

namespace tendon {

struct FrameOptions {
  int64_t count = 1, height = 0, width = 0, channels = 0;  // frames as they came
  int64_t resized_height = 0, resized_width = 0;           // 0: not resized
  int64_t top = 0, left = 0, rows = 0, columns = 0;        // what is kept after that; 0 rows: all
};

class Frames {
 public:
  // pixels (count, height, width, channels); values (channels, 256): the number each byte stands for.
  // Throws BuildError when sizes do not fit together.
  Frames(const FrameOptions& options, std::vector<uint8_t> pixels, std::vector<float> values);

  // (count, rows, columns, channels)
  Shape shape() const;
  // Bilinear with a filter as wide as the reduction (torchvision's Resize with antialias, its default for
  // tensors).
  void write(float* out);

  // For whoever writes them elsewhere (session/device_frames.h).
  // Output i of an axis is Σ weight[i·taps + j] · input[first[i] + j].
  struct Axis {
    int64_t taps = 0;
    std::vector<int64_t> first;
    std::vector<float> weight;
  };
  // The rows of a frame that a resized one is made of.
  struct Lines {
    int64_t first, count;
  };
  const FrameOptions& options() const { return options_; }  // with `rows` and `columns` as they are
  const std::vector<uint8_t>& pixels() const { return pixels_; }
  const std::vector<float>& values() const { return values_; }
  bool is_resized() const { return resized_; }
  const Axis& across() const { return across_; }
  const Axis& down() const { return down_; }
  Lines lines() const;

 private:
  static Axis axis(int64_t from, int64_t to, int64_t start, int64_t length);
  void copy(const uint8_t* frame, float* out) const;
  void resample(const uint8_t* frame, float* out);

  FrameOptions options_;
  std::vector<uint8_t> pixels_;
  std::vector<float> values_;
  bool resized_;
  Axis across_, down_;
  std::vector<float> line_;   // a row of the frame in numbers, (width, channels)
  std::vector<float> lines_;  // all rows, resized across, (height, columns, channels)
};

}  // namespace tendon
