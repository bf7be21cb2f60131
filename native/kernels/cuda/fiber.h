// One block of a CUDA kernel on the CPU: every thread is a fiber that runs until it must wait for others. It
// is strict where a device is merely unlucky: shared memory starts as NaN, a copy in flight arrives only when
// waited for, and each warp runs as far as it gets alone, upwards in one block and downwards in the next, so
// that a missing barrier reads what was there before or writes over what is yet to be read. For tests and for
// the `cuda:emulated` device; never fast.
#pragma once

#include <setjmp.h>
#include <ucontext.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

namespace tendon::cuda {

struct BlockPlace {
  int64_t x = 0, y = 0, z = 0;
};

class FiberBlock {
 public:
  // Runs body(argument, thread) on every thread of the block. A block whose threads wait for each other at
  // different places is left as it is and counted.
  void run(const BlockPlace& at, int threads, size_t shared_bytes,
           void (*body)(FiberBlock&, int, const void*), const void* argument);
  // Blocks left because their threads waited in vain.
  static std::atomic<int64_t>& stuck();

  BlockPlace place;
  int threads() const { return threads_; }
  uint8_t* shared() { return shared_.data(); }

  void sync(int thread) { pause(thread, at_block); }
  // Shows `count` words to the warp, returning when all its lanes have shown theirs; they stay until the
  // warp's next but one.
  void publish(int thread, const uint32_t* words, int count);
  const uint32_t* published(int reader, int of) const;
  const uint32_t* exchange(int thread, const uint32_t* words, int count, int of) {
    publish(thread, words, count);
    return published(thread, of);
  }
  // 16 bytes, of zeros where `from` is null.
  void copy_async(int thread, void* to, const void* from);
  void commit(int thread);
  void wait(int thread, int open);

 private:
  static constexpr size_t stack_bytes = 64 << 10;
  static constexpr int max_words = 32;
  enum Where : uint8_t { ready, at_warp, at_block, finished };
  struct Copy {
    void* to;
    const void* from;
    int group;
  };
  struct Fiber {
    ucontext_t context;  // where it starts
    jmp_buf jump;        // where it paused
    bool started = false;
    Where where = finished;
    int turn = 0;  // which of the two sets of words it shows next
    int groups = 0;
    std::vector<Copy> copies;
    uint32_t words[2][max_words];
  };

  static void enter(unsigned high, unsigned low);
  void pause(int thread, Where where);
  void resume(int thread);
  void run_warp(int first);
  bool release_block();

  int threads_ = 0, current_ = 0;
  bool downwards_ = false;
  void (*body_)(FiberBlock&, int, const void*) = nullptr;
  const void* argument_ = nullptr;
  jmp_buf home_;
  std::vector<std::unique_ptr<Fiber>> fibers_;
  std::vector<std::unique_ptr<uint8_t[]>> stacks_;
  std::vector<uint8_t> shared_;
};

}  // namespace tendon::cuda
