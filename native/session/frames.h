// Camera frames to a network's image input: bytes to numbers, resized, cut out, channels last. The filters
// are laid out when frames are made.
#pragma once

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "backend/backend.h"
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
  // tensors), on the thread that calls.
  void write(float* out) const;

 private:
  friend class FrameLoader;
  struct Axis {
    int64_t taps = 0;
    std::vector<int32_t> first;
    std::vector<float> weight;
  };
  // Where whoever runs the steps finds what they read.
  struct Places {
    const uint8_t* pixels;
    const float* values;
    FrameAxis across, down;
    float *lines, *room;
  };
  static Axis axis(int64_t from, int64_t to, int64_t start, int64_t length);
  // The lines of a frame that a resized one is made of.
  int64_t first_line() const { return down_.first.front(); }
  int64_t line_count() const;
  size_t lines_floats() const;  // of all of them, resized across
  size_t room_floats() const;   // of one as it came
  // Calls run(step) for each step that writes the frames to `out`.
  template <class Run>
  void for_each_step(const Places& at, float* out, Run run) const;

  FrameOptions options_;  // with `rows` and `columns` as they are
  std::vector<uint8_t> pixels_;
  std::vector<float> values_;
  bool resized_;
  Axis across_, down_;
};

// Brings frames to where a stream's kernels write an input: to a device as the bytes they are, an eighth of
// what numbers and their staged copy would take.
class FrameLoader {
 public:
  explicit FrameLoader(std::shared_ptr<Stream> stream) : stream_(std::move(stream)) {}
  // Enqueues what writes the frames' numbers to `out`; they must stay until that is done, and what was
  // enqueued before must be. Takes memory when frames are larger than any before; throws BuildError when
  // there is none.
  void enqueue(const Frames& frames, float* out);

 private:
  std::shared_ptr<Stream> stream_;
  Memory staging_, given_, lines_, room_;
};

}  // namespace tendon
