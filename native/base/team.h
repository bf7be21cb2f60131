// What a job of a pool may use. The caller goes through the job as serial code does and offers pieces of it:
// it takes pieces itself, and so does every helper that has a core at the time.
#pragma once

#include <cstdint>

namespace tendon {

class Pool;

class Team {
 public:
  // The caller alone.
  Team() = default;
  explicit Team(Pool& pool, int size) : pool_(&pool), size_(size) {}

  // Members that may take part, the caller included.
  int size() const { return size_; }

  // body(piece, member) for every piece of `pieces`, at most most_pieces; returns when all are done. Pieces
  // run in any order and at the same time; of one member one at a time, so what a piece needs to work in may
  // belong to its member, 0 to size − 1. The body must not throw and offers no pieces itself.
  template <class Body>
  void share(int pieces, const Body& body) const {
    if (pool_ == nullptr || pieces <= 1) {
      for (int piece = 0; piece < pieces; ++piece) body(piece, 0);
      return;
    }
    offer(
        pieces, [](const void* b, int piece, int member) { (*static_cast<const Body*>(b))(piece, member); },
        &body);
  }

  // body(begin, end) over [0, count), in one stretch per member where that is worth a meeting.
  template <class Body>
  void share_range(int64_t count, int64_t worth_sharing, const Body& body) const {
    const int pieces = count < worth_sharing ? 1 : size_;
    share(pieces, [&](int piece, int) { body(count * piece / pieces, count * (piece + 1) / pieces); });
  }

  static constexpr int most_pieces = 0xFFFF;

 private:
  using Call = void (*)(const void* body, int piece, int member);
  void offer(int pieces, Call call, const void* body) const;

  Pool* pool_ = nullptr;
  int size_ = 1;
};

}  // namespace tendon
