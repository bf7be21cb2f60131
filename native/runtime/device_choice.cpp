#include "runtime/device_choice.h"

#include <map>
#include <string>
#include <variant>

namespace tendon {

namespace {

constexpr size_t word_bytes = 16;

// Blocks of a model's weights by where they begin.
class Blocks {
 public:
  explicit Blocks(const Weights& weights) {
    weights.for_each_part([this](const uint8_t* data, size_t bytes) {
      if (bytes > 0) blocks_[data] = bytes;
    });
  }
  struct Found {
    const uint8_t* begin = nullptr;  // null: no weight
    size_t bytes = 0;
  };
  Found find(const void* p) const {
    const auto* at = static_cast<const uint8_t*>(p);
    auto it = blocks_.upper_bound(at);
    if (it == blocks_.begin()) return {};
    --it;
    return at < it->first + it->second ? Found{it->first, it->second} : Found{};
  }

 private:
  std::map<const uint8_t*, size_t> blocks_;
};

// Takes the pointers out of arguments, which are then what is left to compare.
std::vector<const void*> take_pointers(KernelArgs& args) {
  std::vector<const void*> pointers;
  std::visit(
      [&](auto& a) {
        std::decay_t<decltype(a)>::refs(a, [&](auto& pointer) {
          pointers.push_back(pointer);
          pointer = nullptr;
        });
      },
      args);
  return pointers;
}

// Bytes into a program's memory, −1 for what lies elsewhere.
int64_t offset_in(const Program& program, const void* p) {
  const auto* at = static_cast<const uint8_t*>(p);
  const uint8_t* begin = program.memory.data();
  return at >= begin && at < begin + program.memory.bytes() ? at - begin : -1;
}

// The blocks of `other` where the first program has those that are the keys; throws where they are not alike.
std::map<const uint8_t*, const uint8_t*> counterparts(const Program& first, const Program& other,
                                                      const Blocks& blocks, int which) {
  std::map<const uint8_t*, const uint8_t*> found;
  const auto need = [which](bool alike) {
    if (!alike)
      throw BuildError("unsupported", format("planner: a device needs critics that are alike but for their "
                                             "weights; critic %d differs from critic 0: run on the CPU",
                                             which));
  };
  for (int l = 0; l < static_cast<int>(List::count); ++l) {
    need(first.lists[l].size() == other.lists[l].size());
    for (size_t i = 0; i < first.lists[l].size(); ++i) {
      KernelArgs mine = first.lists[l][i].args, theirs = other.lists[l][i].args;
      const auto p = take_pointers(mine), q = take_pointers(theirs);
      need(mine == theirs);
      for (size_t k = 0; k < p.size(); ++k) {
        if (p[k] == q[k]) continue;  // null, what both are given, and constants of both
        const int64_t offset = offset_in(first, p[k]);
        need(offset == offset_in(other, q[k]));
        if (offset >= 0) continue;
        const Blocks::Found a = blocks.find(p[k]), b = blocks.find(q[k]);
        need(a.begin != nullptr && b.begin != nullptr && a.bytes == b.bytes && p[k] == a.begin &&
             q[k] == b.begin);
        const auto [it, is_new] = found.emplace(a.begin, b.begin);
        need(is_new || it->second == b.begin);
      }
    }
  }
  return found;
}

}  // namespace

DeviceChoice::DeviceChoice(std::shared_ptr<DeviceQueue> queue,
                           const std::vector<std::unique_ptr<Program>>& all,
                           std::shared_ptr<const DeviceWeights> weights, int places)
    : queue_(std::move(queue)) {
  const Program& first = *all.front();
  const Blocks blocks(*first.weights);
  // By block of the first program: where each has its own.
  std::map<const uint8_t*, std::vector<const void*>> sources;
  for (size_t i = 1; i < all.size(); ++i)
    for (const auto& [mine, theirs] : counterparts(first, *all[i], blocks, static_cast<int>(i))) {
      auto& row = sources.try_emplace(mine, all.size(), weights->places().find(mine)).first->second;
      row[i] = weights->places().find(theirs);
    }
  std::vector<cuda::ChooseSegment> segments;
  std::vector<const void*> from;
  int64_t words = 0;
  for (const auto& [block, row] : sources) {
    const auto size = static_cast<int64_t>((blocks.find(block).bytes + word_bytes - 1) / word_bytes);
    segments.push_back({words, size});
    from.insert(from.end(), row.begin(), row.end());
    words += static_cast<int64_t>(align_up(static_cast<size_t>(size), 256 / word_bytes));
  }
  const auto bring = [this](const void* host, size_t bytes) {
    DeviceBlock block(queue_, bytes);
    if (bytes > 0) queue_->device().need(queue_->api().transfer(queue_->get(), block.data(), host, bytes));
    return block;
  };
  segments_ = bring(segments.data(), segments.size() * sizeof(cuda::ChooseSegment));
  from_ = bring(from.data(), from.size() * sizeof(void*));
  memory_ = DeviceBlock(queue_, static_cast<size_t>(words) * word_bytes * static_cast<size_t>(places));
  for (int place = 0; place < places; ++place) {
    places_.push_back(std::make_unique<DeviceProgram>(queue_, first, weights));
    uint8_t* at = memory_.data() + static_cast<int64_t>(place) * words * static_cast<int64_t>(word_bytes);
    size_t i = 0;
    for (const auto& [block, row] : sources) {
      const size_t bytes = blocks.find(block).bytes;
      places_.back()->replace(
          reinterpret_cast<const float*>(block), static_cast<int64_t>((bytes + 3) / sizeof(float)),
          reinterpret_cast<float*>(at + segments[i++].begin * static_cast<int64_t>(word_bytes)));
    }
  }
  choose_.segments = reinterpret_cast<const cuda::ChooseSegment*>(segments_.data());
  choose_.from = reinterpret_cast<const void* const*>(from_.data());
  choose_.places = memory_.data();
  choose_.place_words = words;
  choose_.segment_count = static_cast<int>(segments.size());
  choose_.all = static_cast<int>(all.size());
  choose_.place_count = places;
  queue_->wait();  // what was copied up is gone behind this function
}

void DeviceChoice::put(const int32_t* chosen) const {
  cuda::ChooseArgs choose = choose_;
  choose.chosen = chosen;
  queue_->device().need(queue_->api().choose(queue_->get(), choose));
  for (const auto& program : places_)
    for (const List list : {List::observation, List::prepared, List::step}) program->put(list);
}

}  // namespace tendon
