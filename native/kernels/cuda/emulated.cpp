// The emulator as a device: its memory is the host's but a copy apart, captured work is a list of calls.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <utility>
#include <vector>

#include "kernels/cuda/api.h"
#include "kernels/cuda/table.h"

namespace tendon::cuda {

struct CapturedGraph {
  std::vector<std::function<void()>> calls;
};

struct Stream {
  bool captures = false;
  CapturedGraph graph;
};

namespace {

// A chip this small makes products split k at test sizes too.
constexpr int multiprocessors = 6;

void put(Stream* stream, std::function<void()> call) {
  if (stream->captures) {
    stream->graph.calls.push_back(std::move(call));
  } else {
    call();
  }
}

Error error() {
  return FiberBlock::stuck() > 0 ? "the threads of a block waited for each other in vain" : nullptr;
}

Error allocate(Stream*, size_t bytes, void** out) {
  *out = std::calloc(bytes == 0 ? 1 : bytes, 1);
  return *out == nullptr ? "no memory is left" : nullptr;
}
void deallocate(Stream*, void* p) { std::free(p); }

template <class Args>
Error run(Stream* stream, const Args& a) {
  put(stream, [a] {
    EmulatedStream on({0, 1}, multiprocessors);
    launch(on, a);
  });
  return error();
}

}  // namespace

const Api& emulated_api() {
#define X(name, Args) .name = run<Args>,
  static const Api api = {
      .contract = contract(),
      .count =
          [](int* devices) {
            *devices = 1;
            return Error{};
          },
      .describe =
          [](int, Description* out) {
            std::snprintf(out->name, sizeof out->name, "CUDA kernels emulated on the CPU");
            out->multiprocessors = multiprocessors;
            out->bytes = UINT64_C(1) << 34;
            return Error{};
          },
      .open_stream =
          [](int, Stream** out) {
            *out = new Stream;
            return Error{};
          },
      .close_stream = [](Stream* stream) { delete stream; },
      .allocate = allocate,
      .deallocate = deallocate,
      .allocate_pinned = allocate,
      .deallocate_pinned = deallocate,
      .copy_memory =
          [](Stream* stream, void* to, const void* from, size_t bytes) {
            put(stream, [=] { std::memcpy(to, from, bytes); });
            return Error{};
          },
      .launch_host =
          [](Stream* stream, void (*function)(void*), void* argument) {
            put(stream, [=] { function(argument); });
            return Error{};
          },
      .synchronize = [](Stream*) { return error(); },
      .query =
          [](Stream*, bool* out) {
            *out = true;
            return error();
          },
      .begin_capture =
          [](Stream* stream) {
            stream->captures = true;
            return Error{};
          },
      .end_capture =
          [](Stream* stream, CapturedGraph** out) {
            stream->captures = false;
            *out = new CapturedGraph(std::exchange(stream->graph, {}));
            return Error{};
          },
      .destroy_graph = [](CapturedGraph* graph) { delete graph; },
      .launch_graph =
          [](Stream*, CapturedGraph* graph) {
            for (const auto& call : graph->calls) call();
            return error();
          },
      .record_begin = [](Stream*) { return Error{}; },
      .record_end = [](Stream*) { return Error{}; },
      .elapsed =
          [](Stream*, double* ns) {
            *ns = 0;
            return Error{};
          },
      .gemm =
          [](Stream* stream, const GemmArgs& a, const Bf16Copies& copies) {
            put(stream, [a, copies] {
              EmulatedStream on({0, 1}, multiprocessors);
              launch(on, a, copies);
            });
            return error();
          },
      TENDON_KERNELS(X) TENDON_LOOP_OPS(X).choose = run<ChooseArgs>,
      .plan =
          [](Stream* stream, PlanStep step, const PlanArgs& a) {
            put(stream, [step, a] {
              EmulatedStream on({0, 1}, multiprocessors);
              launch(on, step, a);
            });
            return error();
          },
  };
#undef X
  return api;
}

}  // namespace tendon::cuda
