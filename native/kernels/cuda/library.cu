// libtendon_cuda: the api's table over the CUDA runtime, which is linked in. A queue is a stream; a recording
// is a graph, launched as one.
#include <cuda_runtime.h>

#include <cstdio>

#include "kernels/cuda/api.h"
#include "kernels/cuda/launch.h"

namespace tendon::cuda {

struct Queue {
  int device;
  int multiprocessors;
  cudaStream_t stream;
  cudaEvent_t begin, end;
};

struct Recording {
  cudaGraphExec_t graph;
};

namespace {

// The runtime's sentences live as long as the library.
Fault fault(cudaError_t error) { return error == cudaSuccess ? nullptr : cudaGetErrorString(error); }

template <class Kernel>
__global__ void entry(const __grid_constant__ typename Kernel::Args a) {
  Kernel::run(Lane{}, a);
}

// What a block may take without asking.
constexpr size_t free_shared_bytes = 48 << 10;

struct Stream {
  Queue* queue;
  cudaError_t error;
  int multiprocessors() const { return queue->multiprocessors; }

  template <class Kernel, class Args>
  void launch(const Grid& grid, int threads, size_t shared_bytes, const Args& a) {
    if (error != cudaSuccess) return;
    if (shared_bytes > free_shared_bytes) {
      error = cudaFuncSetAttribute(entry<Kernel>, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                   static_cast<int>(shared_bytes));
      if (error != cudaSuccess) return;
    }
    const dim3 blocks(static_cast<unsigned>(grid.x), static_cast<unsigned>(grid.y),
                      static_cast<unsigned>(grid.z));
    entry<Kernel><<<blocks, static_cast<unsigned>(threads), shared_bytes, queue->stream>>>(a);
    error = cudaGetLastError();
  }
  template <class Kernel, class Args>
  void launch_alone(const Grid& grid, int threads, const Args& a) {
    launch<Kernel>(grid, threads, 0, a);
  }
};

// The runtime keeps one device per thread; callers come on any.
cudaError_t on_device(Queue* queue) { return cudaSetDevice(queue->device); }

template <class Args>
Fault run(Queue* queue, const Args& a) {
  Stream stream{queue, on_device(queue)};
  launch(stream, a);
  return fault(stream.error);
}

Fault gemm(Queue* queue, const GemmArgs& a, const Bf16Twins& twins) {
  Stream stream{queue, on_device(queue)};
  launch(stream, a, twins);
  return fault(stream.error);
}

Fault plan(Queue* queue, PlanStep step, const PlanArgs& a) {
  Stream stream{queue, on_device(queue)};
  launch(stream, step, a);
  return fault(stream.error);
}

Fault count(int* devices) { return fault(cudaGetDeviceCount(devices)); }

Fault describe(int device, Description* out) {
  cudaDeviceProp p;
  const cudaError_t error = cudaGetDeviceProperties(&p, device);
  if (error != cudaSuccess) return fault(error);
  std::snprintf(out->name, sizeof out->name, "%s", p.name);
  out->major = p.major;
  out->minor = p.minor;
  out->multiprocessors = p.multiProcessorCount;
  out->bytes = p.totalGlobalMem;
  out->loads_late = true;
  return nullptr;
}

void close(Queue* queue) {
  on_device(queue);
  if (queue->begin != nullptr) cudaEventDestroy(queue->begin);
  if (queue->end != nullptr) cudaEventDestroy(queue->end);
  if (queue->stream != nullptr) cudaStreamDestroy(queue->stream);
  delete queue;
}

Fault open(int device, Queue** out) {
  Description description;
  if (const Fault failed = describe(device, &description)) return failed;
  auto* queue = new Queue{device, description.multiprocessors, nullptr, nullptr, nullptr};
  cudaError_t error = on_device(queue);
  if (error == cudaSuccess) error = cudaStreamCreateWithFlags(&queue->stream, cudaStreamNonBlocking);
  if (error == cudaSuccess) error = cudaEventCreate(&queue->begin);
  if (error == cudaSuccess) error = cudaEventCreate(&queue->end);
  if (error != cudaSuccess) {
    close(queue);
    return fault(error);
  }
  *out = queue;
  return nullptr;
}

Fault take(Queue* queue, size_t bytes, void** out) {
  cudaError_t error = on_device(queue);
  if (error == cudaSuccess) error = cudaMalloc(out, bytes == 0 ? 1 : bytes);
  if (error == cudaSuccess) error = cudaMemsetAsync(*out, 0, bytes, queue->stream);
  return fault(error);
}
void give(Queue* queue, void* p) {
  on_device(queue);
  cudaFree(p);
}
Fault take_pinned(Queue* queue, size_t bytes, void** out) {
  const cudaError_t error = on_device(queue);
  return fault(error == cudaSuccess ? cudaMallocHost(out, bytes == 0 ? 1 : bytes) : error);
}
void give_pinned(Queue* queue, void* p) {
  on_device(queue);
  cudaFreeHost(p);
}

Fault transfer(Queue* queue, void* to, const void* from, size_t bytes) {
  const cudaError_t error = on_device(queue);
  return fault(error == cudaSuccess ? cudaMemcpyAsync(to, from, bytes, cudaMemcpyDefault, queue->stream)
                                    : error);
}
Fault call(Queue* queue, void (*function)(void*), void* argument) {
  return fault(cudaLaunchHostFunc(queue->stream, function, argument));
}
Fault wait(Queue* queue) { return fault(cudaStreamSynchronize(queue->stream)); }
Fault is_done(Queue* queue, bool* out) {
  const cudaError_t error = cudaStreamQuery(queue->stream);
  *out = error == cudaSuccess;
  return fault(error == cudaErrorNotReady ? cudaSuccess : error);
}

Fault record(Queue* queue) {
  const cudaError_t error = on_device(queue);
  return fault(error == cudaSuccess ? cudaStreamBeginCapture(queue->stream, cudaStreamCaptureModeThreadLocal)
                                    : error);
}
Fault recorded(Queue* queue, Recording** out) {
  cudaGraph_t graph = nullptr;
  cudaError_t error = cudaStreamEndCapture(queue->stream, &graph);
  cudaGraphExec_t executable = nullptr;
  if (error == cudaSuccess) error = cudaGraphInstantiate(&executable, graph, 0);
  if (graph != nullptr) cudaGraphDestroy(graph);
  // Its first launch would upload it.
  if (error == cudaSuccess) error = cudaGraphUpload(executable, queue->stream);
  if (error == cudaSuccess) *out = new Recording{executable};
  return fault(error);
}
void forget(Recording* recording) {
  cudaGraphExecDestroy(recording->graph);
  delete recording;
}
Fault play(Queue* queue, Recording* recording) {
  const cudaError_t error = on_device(queue);
  return fault(error == cudaSuccess ? cudaGraphLaunch(recording->graph, queue->stream) : error);
}

Fault mark_begin(Queue* queue) { return fault(cudaEventRecord(queue->begin, queue->stream)); }
Fault mark_end(Queue* queue) { return fault(cudaEventRecord(queue->end, queue->stream)); }
Fault between(Queue* queue, double* ns) {
  float ms = 0;
  cudaError_t error = cudaEventSynchronize(queue->end);
  if (error == cudaSuccess) error = cudaEventElapsedTime(&ms, queue->begin, queue->end);
  *ns = ms * 1e6;
  return fault(error);
}

}  // namespace
}  // namespace tendon::cuda

extern "C" __attribute__((visibility("default"))) const tendon::cuda::Api* tendon_cuda_api() {
  using namespace tendon;
  using namespace tendon::cuda;
#define X(name, Args) .name = run<Args>,
  static const Api api = {
      .contract = contract(),
      .count = count,
      .describe = describe,
      .open = open,
      .close = close,
      .take = take,
      .give = give,
      .take_pinned = take_pinned,
      .give_pinned = give_pinned,
      .transfer = transfer,
      .call = call,
      .wait = wait,
      .is_done = is_done,
      .record = record,
      .recorded = recorded,
      .forget = forget,
      .play = play,
      .mark_begin = mark_begin,
      .mark_end = mark_end,
      .between = between,
      .gemm = gemm,
      TENDON_KERNELS(X) TENDON_LOOP_KERNELS(X).plan = plan,
  };
#undef X
  return &api;
}
