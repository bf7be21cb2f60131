// Aligned memory that is taken while building and never while running.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

namespace tendon {

constexpr size_t cache_line = 64;

inline constexpr size_t align_up(size_t n, size_t to = cache_line) { return (n + to - 1) / to * to; }

struct BlockFree {
  size_t mapped = 0;  // bytes; 0: of the heap
  void operator()(uint8_t* p) const;
};

// A zeroed block on cache-line borders; large ones ask for huge pages, and go back to the system when they
// end: in the heap they would leave holes that the next, larger matrix does not fit.
class Block {
 public:
  Block() = default;
  explicit Block(size_t bytes);
  uint8_t* data() const { return data_.get(); }
  float* floats() const { return reinterpret_cast<float*>(data_.get()); }
  size_t bytes() const { return bytes_; }

 private:
  std::unique_ptr<uint8_t, BlockFree> data_;
  size_t bytes_ = 0;
};

// A file mapped read-only. Throws BuildError file_missing; stays valid for the life of the object.
class MappedFile {
 public:
  explicit MappedFile(const char* path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;
  const uint8_t* data() const { return data_; }
  size_t bytes() const { return bytes_; }
  // Tells the kernel that [offset, offset + count) will be read now, so that it is mapped at once and not
  // page by page.
  void expect(size_t offset, size_t count) const;
  // Tells the kernel that [offset, offset + count) will not be read again, so that loading needs one copy
  // only.
  void release(size_t offset, size_t count) const;

 private:
  const uint8_t* data_ = nullptr;
  size_t bytes_ = 0;
};

}  // namespace tendon
