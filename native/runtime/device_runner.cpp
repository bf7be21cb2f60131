#include "runtime/device_runner.h"

#include <algorithm>
#include <cstring>

namespace tendon {

namespace {

size_t bytes(int64_t count) { return static_cast<size_t>(count) * sizeof(float); }

}  // namespace

DeviceRunner::DeviceRunner(std::shared_ptr<const Device> device, std::shared_ptr<const DeviceWeights> weights)
    : queue_(std::make_shared<DeviceQueue>(std::move(device))), weights_(std::move(weights)) {}

void DeviceRunner::take(const std::vector<const Program*>& programs) {
  std::vector<const float*> bound;
  for (const Program* program : programs)
    for (const auto& [name, data] : program->options.bound) bound.push_back(data);
  const auto is_bound = [&](const float* data) {
    return std::find(bound.begin(), bound.end(), data) != bound.end();
  };
  for (const Program* program : programs) {
    Entry entry{program, std::make_unique<DeviceProgram>(queue_, *program, weights_), {}, {}, {}, {}};
    int64_t size = 0;
    const auto piece = [&](const Binding& port) {
      const Piece p{port.data, port.shape.count(), size};
      size += (p.count + 63) / 64 * 64;
      return p;
    };
    for (const Binding& input : program->inputs) {
      if (is_bound(input.data)) {
        for (const Entry& other : entries_)
          for (const Binding& output : other.program->outputs)
            if (output.data == input.data)
              entry.there->replace(input.data, input.shape.count(), other.there->at(output.data));
      } else {
        const List list = input.stage & stage_step ? List::step : List::observation;
        entry.up[static_cast<int>(list)].push_back(piece(input));
      }
    }
    for (const Binding& output : program->outputs)
      if (!is_bound(output.data)) entry.down.push_back(piece(output));
    entry.pinned = DeviceBlock(queue_, bytes(size), DeviceBlock::Kind::pinned);
    entries_.push_back(std::move(entry));
  }
  queue_->wait();
  for (Entry& entry : entries_)
    for (const List list : {List::observation, List::step})
      entry.lists[static_cast<int>(list)] =
          std::make_unique<DeviceRecording>(queue_, [&] { put(entry, list); });
}

void DeviceRunner::put(Entry& entry, List list) {
  const auto copy = [&](void* to, const void* from, int64_t count) {
    queue_->device().need(queue_->api().copy(queue_->get(), to, from, bytes(count)));
  };
  for (const Piece& p : entry.up[static_cast<int>(list)])
    copy(entry.there->at(p.host), entry.pinned.floats() + p.at, p.count);
  entry.there->put(list);
  if (list != List::step) return;
  for (const Piece& p : entry.down) copy(entry.pinned.floats() + p.at, entry.there->at(p.host), p.count);
}

bool DeviceRunner::run(const Program& program, List list) {
  for (Entry& entry : entries_) {
    if (entry.program != &program) continue;
    float* pinned = entry.pinned.floats();
    for (const Piece& p : entry.up[static_cast<int>(list)])
      std::memcpy(pinned + p.at, p.host, bytes(p.count));
    if (entry.lists[static_cast<int>(list)]->play() != nullptr || !signal_.await(*queue_)) return false;
    if (list == List::step)
      for (const Piece& p : entry.down) std::memcpy(p.host, pinned + p.at, bytes(p.count));
    return true;
  }
  return false;
}

}  // namespace tendon
