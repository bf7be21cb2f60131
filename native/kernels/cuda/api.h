// What libtendon_cuda gives the core: one table of functions behind one symbol. The library stands beside the
// core and is opened when a device is asked for (backend/cuda/device.h), so that the core itself needs no CUDA.
// The emulator offers the same table (emulated.cpp).
//
// A Fault is a sentence, or null when all went well. Nothing throws across this border.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/cuda/plan_args.h"
#include "kernels/kernels.h"

namespace tendon::cuda {

using Fault = const char*;

struct Description {
  char name[128] = {};
  int major = 0, minor = 0;  // compute capability
  int multiprocessors = 0;
  uint64_t bytes = 0;  // of memory
  // Kernels are loaded at their first launch, which should not be while a recording is made.
  bool loads_late = false;
};

// Copies in bf16 of what products hand to each other (backend/cuda/bf16_copies.h), null for none: of the rows,
// and of the result, each laid out as the f32 beside it.
struct Bf16Twins {
  const uint16_t* x = nullptr;
  uint16_t* out = nullptr;
};

// ---- The sampler's share of a step (sample/table.h has the meaning of the numbers) -----------------------

// x ← x + pre_noise·ε, then the network's input c_in·x, once for each guidance group.
struct FeedArgs {
  float* x;
  const float* noise;  // read when pre_noise ≠ 0
  float pre_noise, c_in;
  float* net_in;
  int64_t count;
  int64_t groups;
};

// A sampler row's combination of x, the network's answer, the history and fresh noise.
struct CombineArgs {
  float a_x, a_f, clip, guide, w_x, w_f, w_d, w_h1, w_h2, w_h3, w_s, w_noise, h_x, h_d;
  bool save, push;
  float *x, *saved, *h1, *h2, *h3;
  const float* net_out;   // guided: conditional, then unconditional
  const float* guidance;  // λ; null for one group
  const float* noise;
  const float* prefix;          // (row), read when guide ≠ 0
  const float* prefix_weights;  // (row / action_dim)
  int64_t count, row, action_dim;
};

// Standard normal draws of base/philox.h.
struct DrawArgs {
  uint64_t seed, stream, first;
  float* out;
  int64_t count;
};

// ---- Camera frames (session/frames.h has the meaning of the numbers) -------------------------------------

// Output i of an axis is Σ weight[i·taps + j] · input[first[i] + j].
struct FrameAxis {
  int64_t taps;
  const int32_t* first;
  const float* weight;
};

struct FramesArgs {
  int64_t count, height, width, channels;
  int64_t top, left, rows, columns;  // what is kept, of the frames or of what they are resized to
  const uint8_t* pixels;             // (count, height, width, channels)
  const float* values;               // (channels, 256)
  // Frames that are resized: a line is a row of the frame, resized across; null for those that are not.
  FrameAxis across, down;
  int64_t first_line, line_count;
  float* lines;  // (count, line_count, columns, channels)
  float* out;    // (count, rows, columns, channels)
};

// What the library offers beside the ops' own kernels: loops around a network.
#define TENDON_LOOP_KERNELS(X) \
  X(feed, FeedArgs)            \
  X(combine, CombineArgs)      \
  X(draw, DrawArgs)            \
  X(choose, ChooseArgs)        \
  X(frames, FramesArgs)

// ---- The table -------------------------------------------------------------------------------------------

struct Queue;      // a stream of one device: what is put there happens in order, behind the caller's back
struct Recording;  // what was put into a queue between `record` and `recorded`, played as one

struct Api {
  uint64_t contract;  // contract() as the library was built with
  Fault (*count)(int* devices);
  Fault (*describe)(int device, Description* out);
  Fault (*open)(int device, Queue** out);
  void (*close)(Queue*);
  // Zeroed memory of the device, and memory of the host that it reads and writes by itself.
  Fault (*take)(Queue*, size_t bytes, void** out);
  void (*give)(Queue*, void*);
  Fault (*take_pinned)(Queue*, size_t bytes, void** out);
  void (*give_pinned)(Queue*, void*);
  Fault (*transfer)(Queue*, void* to, const void* from, size_t bytes);
  Fault (*call)(Queue*, void (*function)(void*), void* argument);  // on a thread of the driver's
  Fault (*wait)(Queue*);
  // Whether all that was put there has happened; a fault of it is told here.
  Fault (*is_done)(Queue*, bool* out);
  Fault (*record)(Queue*);
  Fault (*recorded)(Queue*, Recording** out);
  void (*forget)(Recording*);
  Fault (*play)(Queue*, Recording*);
  // The device's time between its passing of the two.
  Fault (*mark_begin)(Queue*);
  Fault (*mark_end)(Queue*);
  Fault (*between)(Queue*, double* ns);

  Fault (*gemm)(Queue*, const GemmArgs&, const Bf16Twins&);
#define X(name, Args) Fault (*name)(Queue*, const Args&);
  TENDON_KERNELS(X)
  TENDON_LOOP_KERNELS(X)
#undef X
  Fault (*plan)(Queue*, PlanStep, const PlanArgs&);
};

// A number that changes when the arguments do, so that a library of another build is noticed. The first
// factor counts changes that sizes do not show.
constexpr uint64_t contract() {
  uint64_t hash = 1;
#define X(name, Args) sizeof(Args),
  for (const uint64_t size : {TENDON_KERNELS(X) TENDON_LOOP_KERNELS(X) sizeof(Api), sizeof(GemmArgs),
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
