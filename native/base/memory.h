// Aligned memory that is taken while building and never while running.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

namespace tendon {

constexpr size_t cache_line = 64;

inline constexpr size_t align_up(size_t n, size_t to = cache_line) { return (n + to - 1) / to * to; }

struct BlockFree {
  size_t mapped = 0;  // bytes; 0: of the heap
  void operator()(uint8_t* p) const;
};

// When the pages of a large block are first written: at once, so that whoever runs meets no page fault, or by
// who fills it, on whichever core that is.
enum class Touch : uint8_t { now, later };

// A zeroed block on cache-line borders. Large ones are mapped by themselves and go back to the system when
// they end; the largest ask for huge pages.
class Block {
 public:
  Block() = default;
  explicit Block(size_t bytes, Touch touch = Touch::now);
  uint8_t* data() const { return data_.get(); }
  float* floats() const { return reinterpret_cast<float*>(data_.get()); }
  size_t bytes() const { return bytes_; }

 private:
  std::unique_ptr<uint8_t, BlockFree> data_;
  size_t bytes_ = 0;
};

// A file that weights are read from, piece by piece: into memory that is used again, copying costs less than
// the page faults of a mapping, and a file that becomes shorter gives an error. Throws BuildError
// file_missing.
class WeightFile {
 public:
  explicit WeightFile(const char* path);
  size_t bytes() const { return bytes_; }
  // From any thread. Throws BuildError file_corrupt, or file_missing when it went away meanwhile.
  void read(size_t offset, size_t count, void* out) const;

 private:
  struct Open;
  std::shared_ptr<const Open> opened() const;

  std::string path_;
  size_t bytes_ = 0;
  uint64_t device_ = 0, number_ = 0;
  mutable std::weak_ptr<const Open> open_;  // as long as it is among those that were read last
};

}  // namespace tendon
