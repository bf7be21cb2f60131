#include "backend/cuda/choice.h"

namespace tendon {

namespace {
constexpr size_t word_bytes = 16;
}

DeviceChoice::DeviceChoice(std::shared_ptr<DeviceStream> stream, std::shared_ptr<const Program> program,
                           const std::vector<std::vector<WeightPart>>& all, const DeviceWeights& weights,
                           int places, const std::vector<float*>& inputs)
    : stream_(std::move(stream)) {
  // A segment for each piece of the weights that is not the same for all.
  std::vector<size_t> parts;
  std::vector<cuda::ChooseSegment> segments;
  std::vector<const void*> from;
  int64_t words = 0;
  for (size_t i = 0; i < program->weights.size(); ++i) {
    bool differs = false;
    for (const auto& own : all) differs |= own[i].node != all[0][i].node || own[i].phase != all[0][i].phase;
    if (!differs) continue;
    const auto size = static_cast<int64_t>((program->weights[i].bytes + word_bytes - 1) / word_bytes);
    parts.push_back(i);
    segments.push_back({words, size});
    for (const auto& own : all) from.push_back(weights.data(own[i]));
    words += static_cast<int64_t>(align_up(static_cast<size_t>(size), 256 / word_bytes));
  }
  const auto upload = [this](const void* host, size_t bytes) {
    const Memory memory = allocate(stream_, bytes);
    if (bytes > 0) stream_->copy(memory.data(), host, bytes);
    return memory;
  };
  segments_ = upload(segments.data(), segments.size() * sizeof(cuda::ChooseSegment));
  from_ = upload(from.data(), from.size() * sizeof(void*));
  memory_ = allocate(stream_, static_cast<size_t>(words) * word_bytes * static_cast<size_t>(places));
  for (int place = 0; place < places; ++place) {
    std::vector<uint8_t*> own;
    for (const WeightPart& part : program->weights) own.push_back(weights.data(part));
    uint8_t* at = memory_.data() + static_cast<int64_t>(place) * words * static_cast<int64_t>(word_bytes);
    for (size_t i = 0; i < parts.size(); ++i)
      own[parts[i]] = at + segments[i].begin * static_cast<int64_t>(word_bytes);
    places_.push_back(std::make_unique<DeviceProgram>(stream_, program, std::move(own), inputs));
  }
  choose_.segments = reinterpret_cast<const cuda::ChooseSegment*>(segments_.data());
  choose_.from = reinterpret_cast<const void* const*>(from_.data());
  choose_.places = memory_.data();
  choose_.place_words = words;
  choose_.segment_count = static_cast<int>(segments.size());
  choose_.all = static_cast<int>(all.size());
  choose_.place_count = places;
  stream_->wait();  // what was uploaded is gone behind this function
}

void DeviceChoice::enqueue(const int32_t* chosen) const {
  cuda::ChooseArgs choose = choose_;
  choose.chosen = chosen;
  stream_->device().check(stream_->api().choose(stream_->get(), choose));
  for (const auto& program : places_)
    for (const List list : {List::observation, List::prepared, List::step})
      program->enqueue(*stream_, list, 0);
}

}  // namespace tendon
