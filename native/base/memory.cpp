#include "base/memory.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "base/error.h"

namespace tendon {

namespace {
constexpr size_t huge_page = 2u << 20;

// Of whole huge pages, from the border of one; null when there is no memory.
void* map_aligned(size_t bytes) {
  void* whole = mmap(nullptr, bytes + huge_page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (whole == MAP_FAILED) return nullptr;
  auto* begin = static_cast<uint8_t*>(whole);
  const size_t before =
      align_up(reinterpret_cast<uintptr_t>(begin), huge_page) - reinterpret_cast<uintptr_t>(begin);
  if (before > 0) munmap(begin, before);
  if (before < huge_page) munmap(begin + before + bytes, huge_page - before);
  return begin + before;
}
}  // namespace

Block::Block(size_t bytes) : bytes_(bytes) {
  if (bytes == 0) return;
  const bool large = bytes >= huge_page;
  const size_t rounded = align_up(bytes, large ? huge_page : cache_line);
  auto* p = static_cast<uint8_t*>(large ? map_aligned(rounded) : std::aligned_alloc(cache_line, rounded));
  if (p == nullptr)
    throw BuildError("internal",
                     format("cannot allocate %zu MB; free memory or use a lower precision", bytes >> 20));
  data_ = std::unique_ptr<uint8_t, BlockFree>(p, BlockFree{large ? rounded : 0});
  // What was mapped is zero, by whoever first touches it: packing does so on every core.
  if (large) {
    madvise(p, rounded, MADV_HUGEPAGE);
  } else {
    std::memset(p, 0, rounded);
  }
}

void BlockFree::operator()(uint8_t* p) const {
  if (mapped > 0) {
    munmap(p, mapped);
  } else {
    std::free(p);
  }
}

MappedFile::MappedFile(const char* path) {
  const int fd = open(path, O_RDONLY | O_CLOEXEC);
  struct stat info {};
  if (fd < 0 || fstat(fd, &info) != 0 || !S_ISREG(info.st_mode)) {
    const int cause = errno;
    if (fd >= 0) close(fd);
    throw BuildError("file_missing", format("cannot open weights file %s: %s", path, std::strerror(cause)));
  }
  bytes_ = static_cast<size_t>(info.st_size);
  void* p = bytes_ == 0 ? nullptr : mmap(nullptr, bytes_, PROT_READ, MAP_PRIVATE, fd, 0);
  close(fd);
  if (p == MAP_FAILED) throw BuildError("file_missing", format("cannot map weights file %s", path));
  data_ = static_cast<const uint8_t*>(p);
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) munmap(const_cast<uint8_t*>(data_), bytes_);
}

void MappedFile::expect(size_t offset, size_t count) const {
#ifdef MADV_POPULATE_READ
  const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  const size_t from = offset / page * page,
               to = std::min(align_up(offset + count, page), align_up(bytes_, page));
  // A kernel that does not know it, or a page that cannot be read, leaves the work to the reader.
  if (to > from) madvise(const_cast<uint8_t*>(data_) + from, to - from, MADV_POPULATE_READ);
#else
  static_cast<void>(offset), static_cast<void>(count);
#endif
}

void MappedFile::release(size_t offset, size_t count) const {
  const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  const size_t from = align_up(offset, page), to = (offset + count) / page * page;
  if (to > from) madvise(const_cast<uint8_t*>(data_) + from, to - from, MADV_DONTNEED);
}

}  // namespace tendon
