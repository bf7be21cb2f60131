#include "base/memory.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "base/error.h"

namespace tendon {

namespace {
constexpr size_t huge_page = 2u << 20;
}

Block::Block(size_t bytes) : bytes_(bytes) {
  if (bytes == 0) return;
  const size_t alignment = bytes >= huge_page ? huge_page : cache_line;
  const size_t rounded = align_up(bytes, alignment);
  auto* p = static_cast<uint8_t*>(std::aligned_alloc(alignment, rounded));
  if (p == nullptr)
    throw BuildError("internal",
                     format("cannot allocate %zu MB; free memory or use a lower precision", bytes >> 20));
  if (alignment == huge_page) madvise(p, rounded, MADV_HUGEPAGE);
  std::memset(p, 0, rounded);
  data_.reset(p);
}

void Block::Free::operator()(uint8_t* p) const { std::free(p); }

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

void MappedFile::release(size_t offset, size_t count) const {
  const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  const size_t from = align_up(offset, page), to = (offset + count) / page * page;
  if (to > from) madvise(const_cast<uint8_t*>(data_) + from, to - from, MADV_DONTNEED);
}

}  // namespace tendon
