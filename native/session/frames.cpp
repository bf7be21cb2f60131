#include "session/frames.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "backend/cpu/loops.h"
#include "backend/layout.h"
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
}

Shape Frames::shape() const { return {options_.count, options_.rows, options_.columns, options_.channels}; }

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
    axis.first[static_cast<size_t>(i)] = static_cast<int32_t>(low);
    for (int64_t at = low; at < high; ++at)
      axis.weight[static_cast<size_t>(i * axis.taps + at - low)] = static_cast<float>(weight(at) / sum);
  }
  return axis;
}

int64_t Frames::line_count() const {
  const int64_t last = down_.first.back();
  return last + std::min(down_.taps, options_.height - last) - first_line();
}

size_t Frames::lines_floats() const {
  return resized_ ? static_cast<size_t>(options_.count * line_count() * options_.columns * options_.channels)
                  : 0;
}

size_t Frames::room_floats() const {
  return resized_ ? static_cast<size_t>(options_.width * options_.channels) : 0;
}

template <class Run>
void Frames::for_each_step(const Places& at, float* out, Run run) const {
  const FrameOptions& o = options_;
  const FramePixels from{at.pixels, at.values, o.height, o.width, o.channels};
  if (!resized_) return run(CropArgs{from, o.count, o.top, o.left, o.rows, o.columns, out});
  const int64_t first = first_line(), lines = line_count();
  run(AcrossArgs{from, at.across, o.count, first, lines, o.columns, at.lines, at.room});
  run(DownArgs{at.lines, at.down, o.count, first, lines, o.height, o.rows, o.columns, o.channels, out});
}

void Frames::write(float* out) const {
  std::vector<float> lines(lines_floats()), room(room_floats());
  const auto axis = [](const Axis& a) { return FrameAxis{a.taps, a.first.data(), a.weight.data()}; };
  const Places here{pixels_.data(), values_.data(), axis(across_), axis(down_), lines.data(), room.data()};
  for_each_step(here, out, [](const LoopArgs& step) { run_loop(step, Team()); });
}

void FrameLoader::enqueue(const Frames& frames, float* out) {
  const Capabilities& backend = stream_->capabilities();
  const auto grow = [&](Memory& memory, size_t bytes, MemoryKind kind) {
    if (bytes > memory.bytes()) memory = stream_->allocate(bytes, kind);
  };
  grow(lines_, frames.lines_floats() * sizeof(float), MemoryKind::device);
  Frames::Places at{};
  at.lines = lines_.floats();
  if (backend.shares_memory) {
    grow(room_, frames.room_floats() * sizeof(float) * static_cast<size_t>(backend.parts),
         MemoryKind::device);
    at.room = room_.floats();
    at.pixels = frames.pixels_.data(), at.values = frames.values_.data();
    at.across = {frames.across_.taps, frames.across_.first.data(), frames.across_.weight.data()};
    at.down = {frames.down_.taps, frames.down_.first.data(), frames.down_.weight.data()};
  } else {
    // Everything goes up in one copy.
    Layout layout;
    const auto place = [&layout](const auto& pieces) {
      using T = typename std::decay_t<decltype(pieces)>::value_type;
      return layout.add_bytes_of<T>(static_cast<int64_t>(pieces.size()));
    };
    const int64_t pixels = place(frames.pixels_), values = place(frames.values_);
    const int64_t across[] = {place(frames.across_.first), place(frames.across_.weight)};
    const int64_t down[] = {place(frames.down_.first), place(frames.down_.weight)};
    grow(staging_, layout.bytes(), MemoryKind::staging);
    grow(given_, layout.bytes(), MemoryKind::device);
    const auto stage = [this]<class T>(const std::vector<T>& pieces, int64_t offset) {
      std::copy(pieces.begin(), pieces.end(), reinterpret_cast<T*>(staging_.floats() + offset));
      return reinterpret_cast<const T*>(given_.floats() + offset);
    };
    const auto axis = [&](const Frames::Axis& a, const int64_t(&offsets)[2]) {
      return FrameAxis{a.taps, stage(a.first, offsets[0]), stage(a.weight, offsets[1])};
    };
    at.pixels = stage(frames.pixels_, pixels), at.values = stage(frames.values_, values);
    at.across = axis(frames.across_, across), at.down = axis(frames.down_, down);
    stream_->copy(given_.data(), staging_.data(), layout.bytes());
  }
  frames.for_each_step(at, out, [this](const LoopArgs& step) { stream_->enqueue(step); });
}

}  // namespace tendon
