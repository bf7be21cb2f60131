// What libtendon_cuda gives the core: one table of functions behind one symbol. The library stands beside the
// core and is opened when a device is asked for (backend/cuda/device.h), so that the core itself needs no
// CUDA. The emulator offers the same table (emulated.cpp).
//
// An Error is a sentence, or null when all went well. Nothing throws across this border.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/cuda/plan_args.h"
#include "kernels/kernels.h"
#include "ops/loops.h"

namespace tendon::cuda {

using Error = const char*;

struct Description {
  char name[128] = {};
  int major = 0, minor = 0;  // compute capability
  int multiprocessors = 0;
  uint64_t bytes = 0;  // of memory
  // Kernels are loaded at their first launch, which should not be within a capture.
  bool loads_late = false;
};

// Copies in bf16 of what products hand to each other (backend/cuda/bf16_copies.h), null for none: of the
// rows, and of the result, each laid out as the f32 beside it.
struct Bf16Copies {
  const uint16_t* x = nullptr;
  uint16_t* out = nullptr;
};

// ---- The table -------------------------------------------------------------------------------------------

struct Stream;         // of one device: what is enqueued there happens in order, while the caller goes on
struct CapturedGraph;  // what was enqueued between `begin_capture` and `end_capture`, launched as one

struct Api {
  uint64_t contract;  // contract() as the library was built with
  Error (*count)(int* devices);
  Error (*describe)(int device, Description* out);
  Error (*open_stream)(int device, Stream** out);
  void (*close_stream)(Stream*);
  // Zeroed memory of the device, and memory of the host that it reads and writes by itself.
  Error (*allocate)(Stream*, size_t bytes, void** out);
  void (*deallocate)(Stream*, void*);
  Error (*allocate_pinned)(Stream*, size_t bytes, void** out);
  void (*deallocate_pinned)(Stream*, void*);
  Error (*copy_memory)(Stream*, void* to, const void* from, size_t bytes);
  Error (*launch_host)(Stream*, void (*function)(void*), void* argument);  // on a thread of the driver's
  Error (*synchronize)(Stream*);
  // Whether all that was enqueued is done; what went wrong with it is told here.
  Error (*query)(Stream*, bool* out);
  Error (*begin_capture)(Stream*);
  Error (*end_capture)(Stream*, CapturedGraph** out);
  void (*destroy_graph)(CapturedGraph*);
  Error (*launch_graph)(Stream*, CapturedGraph*);
  // The device's time between the two.
  Error (*record_begin)(Stream*);
  Error (*record_end)(Stream*);
  Error (*elapsed)(Stream*, double* ns);

  Error (*gemm)(Stream*, const GemmArgs&, const Bf16Copies&);
#define X(name, Args) Error (*name)(Stream*, const Args&);
  TENDON_KERNELS(X)
  TENDON_LOOP_OPS(X)
#undef X
  Error (*choose)(Stream*, const ChooseArgs&);
  Error (*plan)(Stream*, PlanStep, const PlanArgs&);
};

// A number that changes when the arguments do, so that a library of another build is noticed. The first
// factor counts changes that sizes do not show.
constexpr uint64_t contract() {
  uint64_t hash = 1;
#define X(name, Args) sizeof(Args),
  for (const uint64_t size :
       {TENDON_KERNELS(X) TENDON_LOOP_OPS(X) sizeof(Api), sizeof(GemmArgs), sizeof(ChooseArgs),
        sizeof(PlanCall), sizeof(PlanStatus), sizeof(PlanArgs), sizeof(Description),
        static_cast<size_t>(Unary::count), static_cast<size_t>(Binary::count)})
#undef X
    hash = (hash ^ size) * 0x100000001b3u;
  return hash;
}

// The library's one symbol, and the emulator's table.
constexpr const char* api_symbol = "tendon_cuda_api";
const Api& emulated_api();

}  // namespace tendon::cuda
