// Fibers change places by setjmp and longjmp, which unlike swapcontext ask nothing of the system. A hardened
// longjmp would take another stack for a broken one.
#undef _FORTIFY_SOURCE
#include "kernels/cuda/fiber.h"

#include <cstring>

namespace tendon::cuda {

std::atomic<int64_t>& FiberBlock::stuck() {
  static std::atomic<int64_t> count{0};
  return count;
}

// makecontext passes ints alone. A fiber that has finished waits here for the next block's body.
void FiberBlock::enter(unsigned high, unsigned low) {
  auto& block =
      *reinterpret_cast<FiberBlock*>(static_cast<uintptr_t>(static_cast<uint64_t>(high) << 32 | low));
  const int thread = block.current_;
  for (;;) {
    block.body_(block, thread, block.argument_);
    block.pause(thread, finished);
  }
}

// The two ends of a change: neither has variables that it would have to find again.
__attribute__((noinline)) void FiberBlock::pause(int thread, Where where) {
  fibers_[thread]->where = where;
  if (_setjmp(fibers_[thread]->jump) == 0) _longjmp(home_, 1);
}

__attribute__((noinline)) void FiberBlock::resume(int thread) {
  current_ = thread;
  if (_setjmp(home_) != 0) return;
  if (fibers_[thread]->started) _longjmp(fibers_[thread]->jump, 1);
  fibers_[thread]->started = true;
  setcontext(&fibers_[thread]->context);
}

void FiberBlock::run(const BlockPlace& at, int threads, size_t shared_bytes,
                     void (*body)(FiberBlock&, int, const void*), const void* argument) {
  place = at;
  threads_ = threads;
  body_ = body;
  argument_ = argument;
  shared_.assign(shared_bytes, 0xff);
  while (static_cast<int>(fibers_.size()) < threads) {
    fibers_.push_back(std::make_unique<Fiber>());
    stacks_.push_back(std::make_unique<uint8_t[]>(stack_bytes));
  }
  const auto self = static_cast<uint64_t>(reinterpret_cast<uintptr_t>(this));
  for (int i = 0; i < threads; ++i) {
    Fiber& fiber = *fibers_[i];
    if (!fiber.started) {
      getcontext(&fiber.context);
      fiber.context.uc_stack.ss_sp = stacks_[i].get();
      fiber.context.uc_stack.ss_size = stack_bytes;
      fiber.context.uc_link = nullptr;
      makecontext(&fiber.context, reinterpret_cast<void (*)()>(enter), 2, static_cast<unsigned>(self >> 32),
                  static_cast<unsigned>(self));
    }
    fiber.where = ready;
    fiber.turn = fiber.groups = 0;
    fiber.copies.clear();
  }
  // Warp by warp, each as far as it gets alone: a warp that should have waited for another has not.
  downwards_ = !downwards_;
  const int warps = threads / 32;
  do {
    for (int i = 0; i < warps; ++i) run_warp((downwards_ ? warps - 1 - i : i) * 32);
  } while (release_block());
  for (int i = 0; i < threads; ++i)
    if (fibers_[i]->where != finished) {
      ++stuck();
      for (int j = 0; j < threads; ++j) fibers_[j]->started = false;  // the next block begins anew
      return;
    }
}

void FiberBlock::run_warp(int first) {
  for (bool together = true; together;) {
    int here = 0;
    for (int i = 0; i < 32; ++i) {
      const int thread = first + (downwards_ ? 31 - i : i);
      if (fibers_[thread]->where == ready) resume(thread);
      here += fibers_[thread]->where == at_warp;
    }
    together = here == 32;
    for (int i = first; together && i < first + 32; ++i) fibers_[i]->where = ready;
  }
}

// Lets the block go on when all who have not finished are at its barrier; false when nobody is there or some
// still wait for their warp.
bool FiberBlock::release_block() {
  int waiting = 0, done = 0;
  for (int i = 0; i < threads_; ++i) {
    waiting += fibers_[i]->where == at_block;
    done += fibers_[i]->where == finished;
  }
  if (waiting == 0 || waiting + done != threads_) return false;
  for (int i = 0; i < threads_; ++i)
    if (fibers_[i]->where == at_block) fibers_[i]->where = ready;
  return true;
}

void FiberBlock::publish(int thread, const uint32_t* words, int count) {
  Fiber& fiber = *fibers_[thread];
  std::memcpy(fiber.words[fiber.turn], words, static_cast<size_t>(count) * sizeof(uint32_t));
  fiber.turn ^= 1;
  pause(thread, at_warp);
}

const uint32_t* FiberBlock::published(int reader, int of) const {
  return fibers_[of]->words[fibers_[reader]->turn ^ 1];
}

void FiberBlock::copy_async(int thread, void* to, const void* from) {
  Fiber& fiber = *fibers_[thread];
  fiber.copies.push_back({to, from, fiber.groups});
}

void FiberBlock::commit(int thread) { ++fibers_[thread]->groups; }

void FiberBlock::wait(int thread, int open) {
  Fiber& fiber = *fibers_[thread];
  size_t kept = 0;
  for (const Copy& copy : fiber.copies) {
    if (copy.group < fiber.groups - open && copy.from == nullptr) {
      std::memset(copy.to, 0, 16);
    } else if (copy.group < fiber.groups - open) {
      std::memcpy(copy.to, copy.from, 16);
    } else {
      fiber.copies[kept++] = copy;
    }
  }
  fiber.copies.resize(kept);
}

}  // namespace tendon::cuda
