#include "session/frames.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/error.h"

namespace tendon {

namespace {
constexpr int64_t bytes = 256;
}

Frames::Frames(const FrameOptions& options, std::vector<uint8_t> pixels, std::vector<float> values)
    : options_(options),
      pixels_(std::move(pixels)),
      values_(std::move(values)),
      resized_(options.resized_height > 0 || options.resized_width > 0) {
  FrameOptions& o = options_;
  const auto within = [](int64_t value, int64_t high) { return value >= 1 && value <= high; };
  if (!within(o.count, 4096) || !within(o.height, 1 << 14) || !within(o.width, 1 << 14) ||
      !within(o.channels, 4))
    throw BuildError("input_invalid",
                     "frames: expected up to 4096 of up to 16384 × 16384 pixels with 1 to 4 channels");
  if (static_cast<int64_t>(pixels_.size()) != o.count * o.height * o.width * o.channels)
    throw BuildError(
        "input_invalid",
        format("frames: expected %lld bytes for %lld × %lld × %lld × %lld, got %zu",
               static_cast<long long>(o.count * o.height * o.width * o.channels),
               static_cast<long long>(o.count), static_cast<long long>(o.height),
               static_cast<long long>(o.width), static_cast<long long>(o.channels), pixels_.size()));
  if (static_cast<int64_t>(values_.size()) != o.channels * bytes)
    throw BuildError("input_invalid", format("frames: expected 256 values for each of %lld channels, got %zu",
                                             static_cast<long long>(o.channels), values_.size()));
  const int64_t height = resized_ ? o.resized_height : o.height;
  const int64_t width = resized_ ? o.resized_width : o.width;
  if (o.rows == 0 && o.columns == 0) {
    o.rows = height;
    o.columns = width;
  }
  if (!within(height, 1 << 14) || !within(width, 1 << 14) || o.top < 0 || o.left < 0 || o.rows < 1 ||
      o.columns < 1 || o.top > height - o.rows || o.left > width - o.columns)
    throw BuildError("input_invalid",
                     format("frames: rows %lld + %lld and columns %lld + %lld are not within %lld × %lld",
                            static_cast<long long>(o.top), static_cast<long long>(o.rows),
                            static_cast<long long>(o.left), static_cast<long long>(o.columns),
                            static_cast<long long>(height), static_cast<long long>(width)));
  if (!resized_) return;
  across_ = axis(o.width, width, o.left, o.columns);
  down_ = axis(o.height, height, o.top, o.rows);
  line_.resize(static_cast<size_t>(o.width * o.channels));
  lines_.resize(static_cast<size_t>(o.height * o.columns * o.channels));
}

Shape Frames::shape() const { return {options_.count, options_.rows, options_.columns, options_.channels}; }

void Frames::write(float* out) {
  const int64_t from = options_.height * options_.width * options_.channels;
  const int64_t to = options_.rows * options_.columns * options_.channels;
  for (int64_t i = 0; i < options_.count; ++i) {
    if (resized_) {
      resample(pixels_.data() + i * from, out + i * to);
    } else {
      copy(pixels_.data() + i * from, out + i * to);
    }
  }
}

// A triangle about each output's centre, as wide as the reduction and never narrower than two inputs.
Frames::Axis Frames::axis(int64_t from, int64_t to, int64_t start, int64_t length) {
  const double scale = static_cast<double>(from) / static_cast<double>(to);
  const double reach = std::max(scale, 1.0);
  Axis axis;
  axis.taps = 2 * static_cast<int64_t>(std::ceil(reach)) + 1;
  axis.first.resize(static_cast<size_t>(length));
  axis.weight.assign(static_cast<size_t>(length * axis.taps), 0.0f);
  for (int64_t i = 0; i < length; ++i) {
    const double centre = scale * (static_cast<double>(start + i) + 0.5);
    const int64_t low = std::max<int64_t>(static_cast<int64_t>(centre - reach + 0.5), 0);
    const int64_t high = std::min(static_cast<int64_t>(centre + reach + 0.5), from);
    double sum = 0;
    const auto weight = [&](int64_t at) {
      return std::max(0.0, 1.0 - std::abs(static_cast<double>(at) - centre + 0.5) / reach);
    };
    for (int64_t at = low; at < high; ++at) sum += weight(at);
    axis.first[static_cast<size_t>(i)] = low;
    for (int64_t at = low; at < high; ++at)
      axis.weight[static_cast<size_t>(i * axis.taps + at - low)] = static_cast<float>(weight(at) / sum);
  }
  return axis;
}

void Frames::copy(const uint8_t* frame, float* out) const {
  const int64_t channels = options_.channels;
  for (int64_t y = 0; y < options_.rows; ++y) {
    const uint8_t* from = frame + ((options_.top + y) * options_.width + options_.left) * channels;
    for (int64_t x = 0; x < options_.columns; ++x)
      for (int64_t c = 0; c < channels; ++c) *out++ = values_[static_cast<size_t>(c * bytes + *from++)];
  }
}

Frames::Lines Frames::lines() const {
  const int64_t first = down_.first.front(), last = down_.first.back();
  return {first, last + std::min(down_.taps, options_.height - last) - first};
}

void Frames::resample(const uint8_t* frame, float* out) {
  const int64_t channels = options_.channels, stride = options_.columns * channels;
  // Taps that would lie beyond the last input weigh nothing and are not read.
  const auto taps = [](const Axis& axis, int64_t i, int64_t length) {
    return std::min(axis.taps, length - axis.first[static_cast<size_t>(i)]);
  };
  const int64_t last = options_.rows - 1;
  const auto [first_line, line_count] = lines();
  for (int64_t y = first_line; y < first_line + line_count; ++y) {
    const uint8_t* from = frame + y * options_.width * channels;
    for (int64_t x = 0; x < options_.width; ++x)
      for (int64_t c = 0; c < channels; ++c)
        line_[static_cast<size_t>(x * channels + c)] =
            values_[static_cast<size_t>(c * bytes + from[x * channels + c])];
    float* to = lines_.data() + y * stride;
    for (int64_t x = 0; x < options_.columns; ++x) {
      const float* weight = across_.weight.data() + x * across_.taps;
      const float* at = line_.data() + across_.first[static_cast<size_t>(x)] * channels;
      const int64_t n = taps(across_, x, options_.width);
      for (int64_t c = 0; c < channels; ++c) {
        float sum = 0;
        for (int64_t j = 0; j < n; ++j) sum += weight[j] * at[j * channels + c];
        to[x * channels + c] = sum;
      }
    }
  }
  for (int64_t y = 0; y <= last; ++y) {
    const float* weight = down_.weight.data() + y * down_.taps;
    const float* from = lines_.data() + down_.first[static_cast<size_t>(y)] * stride;
    const int64_t n = taps(down_, y, options_.height);
    float* to = out + y * stride;
    std::fill(to, to + stride, 0.0f);
    for (int64_t j = 0; j < n; ++j)
      for (int64_t i = 0; i < stride; ++i) to[i] += weight[j] * from[j * stride + i];
  }
}

}  // namespace tendon
