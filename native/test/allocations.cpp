#include "test/allocations.h"

#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <new>

namespace {
std::atomic<int64_t> count{0};
inline void note() { count.fetch_add(1, std::memory_order_relaxed); }
}  // namespace

int64_t tendon::test::allocations() { return count.load(); }

// A sanitizer has put itself where malloc was, so that only what C++ allocates is counted under one.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || !defined(__GLIBC__)
bool tendon::test::counts_all() { return false; }

void* operator new(size_t bytes) {
  note();
  if (void* p = std::malloc(bytes > 0 ? bytes : 1)) return p;
  throw std::bad_alloc();
}
void* operator new[](size_t bytes) { return operator new(bytes); }
void* operator new(size_t bytes, const std::nothrow_t&) noexcept {
  note();
  return std::malloc(bytes > 0 ? bytes : 1);
}
void* operator new[](size_t bytes, const std::nothrow_t& tag) noexcept { return operator new(bytes, tag); }
void operator delete(void* p) noexcept { std::free(p); }
void operator delete[](void* p) noexcept { std::free(p); }
void operator delete(void* p, size_t) noexcept { std::free(p); }
void operator delete[](void* p, size_t) noexcept { std::free(p); }
#else
bool tendon::test::counts_all() { return true; }

// glibc's own, by the names it exports them under; operator new comes to these. What glibc maps for its heap
// it maps inside, so that nothing counts twice.
extern "C" {
void* __libc_malloc(size_t);
void* __libc_calloc(size_t, size_t);
void* __libc_realloc(void*, size_t);
void* __libc_memalign(size_t, size_t);

void* malloc(size_t bytes) noexcept {
  note();
  return __libc_malloc(bytes);
}
void* calloc(size_t items, size_t bytes) noexcept {
  note();
  return __libc_calloc(items, bytes);
}
void* realloc(void* p, size_t bytes) noexcept {
  note();
  return __libc_realloc(p, bytes);
}
void* memalign(size_t border, size_t bytes) noexcept {
  note();
  return __libc_memalign(border, bytes);
}
void* aligned_alloc(size_t border, size_t bytes) noexcept { return memalign(border, bytes); }
int posix_memalign(void** out, size_t border, size_t bytes) noexcept {
  void* p = memalign(border, bytes);
  if (p == nullptr) return ENOMEM;
  *out = p;
  return 0;
}
void* mmap(void* at, size_t bytes, int protection, int flags, int file, off_t offset) noexcept {
  note();
  return reinterpret_cast<void*>(syscall(SYS_mmap, at, bytes, protection, flags, file, offset));
}
void* mmap64(void* at, size_t bytes, int protection, int flags, int file, off64_t offset) noexcept {
  return mmap(at, bytes, protection, flags, file, offset);
}
}
#endif
