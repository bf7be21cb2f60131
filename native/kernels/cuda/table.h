// The CUDA kernels as a table of the CPU's kind: how weights are packed and how much scratch a product needs,
// for programs that a device runs, and the kernels themselves as the emulator (fiber.h) runs them, for tests
// where there is none.
#pragma once

#include "kernels/cuda/launch.h"

namespace tendon::cuda {

// `Part::count` and `parts` stand for the multiprocessors that a product is cut for.
const KernelTable& emulated_kernels();

// Where launch.h's launches go in the emulator: this part's blocks of every launch.
class EmulatedStream {
 public:
  EmulatedStream(Part part, int multiprocessors) : part_(part), multiprocessors_(multiprocessors) {}
  int multiprocessors() const { return multiprocessors_; }

  template <class Kernel, class Args>
  void launch(const Grid& grid, int threads, size_t shared_bytes, const Args& a) {
    static thread_local FiberBlock block;
    for_blocks(grid,
               [&](const BlockPlace& place) { block.run(place, threads, shared_bytes, body<Kernel>, &a); });
  }
  // Threads that never wait need no fibers.
  template <class Kernel, class Args>
  void launch_alone(const Grid& grid, int threads, const Args& a) {
    static thread_local FiberBlock block;
    for_blocks(grid, [&](const BlockPlace& place) {
      block.place = place;
      for (int i = 0; i < threads; ++i) body<Kernel>(block, i, &a);
    });
  }

 private:
  template <class Kernel>
  static void body(FiberBlock& block, int thread, const void* args) {
    Kernel::run(Lane{&block, thread}, *static_cast<const typename Kernel::Args*>(args));
  }
  template <class Run>
  void for_blocks(const Grid& grid, Run run) {
    int64_t begin, end;
    part_.range(grid.x * grid.y * grid.z, 1, begin, end);
    for (int64_t i = begin; i < end; ++i) run({i % grid.x, i / grid.x % grid.y, i / grid.x / grid.y});
  }

  Part part_;
  int multiprocessors_;
};

}  // namespace tendon::cuda
