#include "session/device_frames.h"

#include <algorithm>
#include <cstring>

#include "backend/layout.h"

namespace tendon {

void DeviceFrames::put(const Frames& frames, float* out) {
  const FrameOptions& o = frames.options();
  Layout layout;
  const auto bytes = static_cast<int64_t>(frames.pixels().size());
  const int64_t pixels = layout.add_bytes_of<uint8_t>(bytes);
  const int64_t values = layout.add(static_cast<int64_t>(frames.values().size()));
  struct Piece {
    int64_t first, weight;
  };
  const auto place = [&layout](const Frames::Axis& axis) {
    return Piece{layout.add(static_cast<int64_t>(axis.first.size())),
                 layout.add(static_cast<int64_t>(axis.weight.size()))};
  };
  const Piece across = place(frames.across()), down = place(frames.down());
  if (layout.bytes() > below_.bytes()) {
    below_ = DeviceBlock(queue_, layout.bytes(), DeviceBlock::Kind::pinned);
    above_ = DeviceBlock(queue_, layout.bytes());
  }
  std::memcpy(below_.floats() + pixels, frames.pixels().data(), static_cast<size_t>(bytes));
  std::copy(frames.values().begin(), frames.values().end(), below_.floats() + values);

  cuda::FramesArgs a{};
  a.count = o.count, a.height = o.height, a.width = o.width, a.channels = o.channels;
  a.top = o.top, a.left = o.left, a.rows = o.rows, a.columns = o.columns;
  a.pixels = reinterpret_cast<const uint8_t*>(above_.floats() + pixels);
  a.values = above_.floats() + values;
  a.out = out;
  const auto bring = [this](const Frames::Axis& axis, const Piece& at) {
    auto* first = reinterpret_cast<int32_t*>(below_.floats() + at.first);
    for (size_t i = 0; i < axis.first.size(); ++i) first[i] = static_cast<int32_t>(axis.first[i]);
    std::copy(axis.weight.begin(), axis.weight.end(), below_.floats() + at.weight);
    return cuda::FrameAxis{axis.taps, reinterpret_cast<const int32_t*>(above_.floats() + at.first),
                           above_.floats() + at.weight};
  };
  if (frames.is_resized()) {
    a.across = bring(frames.across(), across);
    a.down = bring(frames.down(), down);
    const Frames::Lines lines = frames.lines();
    a.first_line = lines.first, a.line_count = lines.count;
    const size_t wanted = static_cast<size_t>(o.count * lines.count * o.columns * o.channels) * sizeof(float);
    if (wanted > lines_.bytes()) lines_ = DeviceBlock(queue_, wanted);
    a.lines = lines_.floats();
  }
  const Device& device = queue_->device();
  device.need(queue_->api().transfer(queue_->get(), above_.data(), below_.data(), layout.bytes()));
  device.need(queue_->api().frames(queue_->get(), a));
}

}  // namespace tendon
