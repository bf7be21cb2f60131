// The emulator as a device: its memory is the host's but a copy apart, a recording is a list of calls.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <utility>
#include <vector>

#include "kernels/cuda/api.h"
#include "kernels/cuda/table.h"

namespace tendon::cuda {

struct Recording {
  std::vector<std::function<void()>> calls;
};

struct Queue {
  bool records = false;
  Recording recording;
};

namespace {

// A chip this small makes products split k at test sizes too.
constexpr int multiprocessors = 6;

void put(Queue* queue, std::function<void()> call) {
  if (queue->records) {
    queue->recording.calls.push_back(std::move(call));
  } else {
    call();
  }
}

Fault fault() {
  return FiberBlock::stuck() > 0 ? "the threads of a block waited for each other in vain" : nullptr;
}

Fault take(Queue*, size_t bytes, void** out) {
  *out = std::calloc(bytes == 0 ? 1 : bytes, 1);
  return *out == nullptr ? "no memory is left" : nullptr;
}
void give(Queue*, void* p) { std::free(p); }

template <class Args>
Fault run(Queue* queue, const Args& a) {
  put(queue, [a] {
    EmulatedStream stream({0, 1}, multiprocessors);
    launch(stream, a);
  });
  return fault();
}

}  // namespace

const Api& emulated_api() {
#define X(name, Args) .name = run<Args>,
  static const Api api = {
      .contract = contract(),
      .count =
          [](int* devices) {
            *devices = 1;
            return Fault{};
          },
      .describe =
          [](int, Description* out) {
            std::snprintf(out->name, sizeof out->name, "CUDA kernels emulated on the CPU");
            out->multiprocessors = multiprocessors;
            out->bytes = UINT64_C(1) << 34;
            return Fault{};
          },
      .open =
          [](int, Queue** out) {
            *out = new Queue;
            return Fault{};
          },
      .close = [](Queue* queue) { delete queue; },
      .take = take,
      .give = give,
      .take_pinned = take,
      .give_pinned = give,
      .transfer =
          [](Queue* queue, void* to, const void* from, size_t bytes) {
            put(queue, [=] { std::memcpy(to, from, bytes); });
            return Fault{};
          },
      .call =
          [](Queue* queue, void (*function)(void*), void* argument) {
            put(queue, [=] { function(argument); });
            return Fault{};
          },
      .wait = [](Queue*) { return fault(); },
      .is_done =
          [](Queue*, bool* out) {
            *out = true;
            return fault();
          },
      .record =
          [](Queue* queue) {
            queue->records = true;
            return Fault{};
          },
      .recorded =
          [](Queue* queue, Recording** out) {
            queue->records = false;
            *out = new Recording(std::exchange(queue->recording, {}));
            return Fault{};
          },
      .forget = [](Recording* recording) { delete recording; },
      .play =
          [](Queue*, Recording* recording) {
            for (const auto& call : recording->calls) call();
            return fault();
          },
      .mark_begin = [](Queue*) { return Fault{}; },
      .mark_end = [](Queue*) { return Fault{}; },
      .between =
          [](Queue*, double* ns) {
            *ns = 0;
            return Fault{};
          },
      .gemm =
          [](Queue* queue, const GemmArgs& a, const Bf16Twins& twins) {
            put(queue, [a, twins] {
              EmulatedStream stream({0, 1}, multiprocessors);
              launch(stream, a, twins);
            });
            return fault();
          },
      TENDON_KERNELS(X) TENDON_LOOP_KERNELS(X).plan =
          [](Queue* queue, PlanStep step, const PlanArgs& a) {
            put(queue, [step, a] {
              EmulatedStream stream({0, 1}, multiprocessors);
              launch(stream, step, a);
            });
            return fault();
          },
  };
#undef X
  return api;
}

}  // namespace tendon::cuda
