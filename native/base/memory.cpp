#include "base/memory.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <mutex>

#include "base/error.h"

namespace tendon {

namespace {
constexpr size_t page = 64u << 10;  // the largest that a system of ours has
constexpr size_t huge_page = 2u << 20;
// From here on a block is mapped by itself: in the heap those that end would leave holes too small for the
// next.
constexpr size_t mapped_from = 256u << 10;
constexpr size_t most_bytes = size_t{1} << 46;

// `bytes` from an address that is a multiple of `border`; null when there is no memory.
void* map_aligned(size_t bytes, size_t border) {
  void* whole = mmap(nullptr, bytes + border, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (whole == MAP_FAILED) return nullptr;
  auto* begin = static_cast<uint8_t*>(whole);
  const size_t before =
      align_up(reinterpret_cast<uintptr_t>(begin), border) - reinterpret_cast<uintptr_t>(begin);
  if (before > 0) munmap(begin, before);
  if (before < border) munmap(begin + before + bytes, border - before);
  return begin + before;
}
}  // namespace

Block::Block(size_t bytes, Touch touch) : bytes_(bytes) {
  if (bytes == 0) return;
  if (bytes > most_bytes)
    throw BuildError("out_of_resources",
                     format("expected a block of memory below 64 TiB, got %zu bytes", bytes));
  const bool mapped = bytes >= mapped_from;
  const size_t border = bytes >= huge_page ? huge_page : mapped ? page : cache_line;
  const size_t rounded = align_up(bytes, border);
  auto* p =
      static_cast<uint8_t*>(mapped ? map_aligned(rounded, border) : std::aligned_alloc(border, rounded));
  if (p == nullptr)
    throw BuildError("out_of_resources",
                     format("cannot allocate %zu MB; free memory or use a lower precision", bytes >> 20));
  data_ = std::unique_ptr<uint8_t, BlockFree>(p, BlockFree{mapped ? rounded : 0});
  if (border == huge_page) madvise(p, rounded, MADV_HUGEPAGE);
  // What was mapped is zero already.
  if (!mapped || touch == Touch::now) std::memset(p, 0, rounded);
}

void BlockFree::operator()(uint8_t* p) const {
  if (mapped > 0) {
    munmap(p, mapped);
  } else {
    std::free(p);
  }
}

// Without O_NONBLOCK a pipe by that name would be waited for.
// Descriptors of the files that were read last: graphs hold their files for as long as they live, which a
// language with a garbage collector decides, and a process has few descriptors.
struct WeightFile::Open {
  explicit Open(const char* path) : file(open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)) {
    if (file < 0 || fstat(file, &info) != 0 || !S_ISREG(info.st_mode)) cause = errno == 0 ? EINVAL : errno;
  }
  ~Open() {
    if (file >= 0) close(file);
  }
  Open(const Open&) = delete;
  Open& operator=(const Open&) = delete;
  int file, cause = 0;
  struct stat info {};
};

namespace {
std::mutex recent_guard;
std::array<std::shared_ptr<const void>, 16> recent;
size_t next_recent = 0;
}  // namespace

WeightFile::WeightFile(const char* path) : path_(path) {
  const std::lock_guard lock(recent_guard);
  const struct stat& info = opened()->info;
  bytes_ = static_cast<size_t>(info.st_size);
  device_ = info.st_dev, number_ = info.st_ino;
}

std::shared_ptr<const WeightFile::Open> WeightFile::opened() const {
  if (auto open = open_.lock()) return open;
  errno = 0;
  const auto open = std::make_shared<Open>(path_.c_str());
  if (open->cause != 0)
    throw BuildError("file_missing",
                     format("cannot open weights file %s: %s", path_.c_str(), std::strerror(open->cause)));
  recent[next_recent++ % recent.size()] = open;
  open_ = open;
  return open;
}

void WeightFile::read(size_t offset, size_t count, void* out) const {
  std::shared_ptr<const Open> open;
  {
    const std::lock_guard lock(recent_guard);
    open = opened();
  }
  const auto refuse = [&](const char* why) {
    throw BuildError("file_corrupt", format("cannot read %zu bytes at %zu of weights file %s: %s", count,
                                            offset, path_.c_str(), why));
  };
  if (open->info.st_dev != device_ || open->info.st_ino != number_) refuse("another file took its place");
  for (size_t done = 0; done < count;) {
    const ssize_t got =
        pread(open->file, static_cast<uint8_t*>(out) + done, count - done, static_cast<off_t>(offset + done));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) refuse(got == 0 ? "it became shorter" : std::strerror(errno));
    done += static_cast<size_t>(got);
  }
}

}  // namespace tendon
