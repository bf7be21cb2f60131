// libtendon_cuda: the api's table over the CUDA runtime, which is linked in. Captured work is a CUDA graph.
#include <cuda_runtime.h>

#include <cstdio>

#include "kernels/cuda/api.h"
#include "kernels/cuda/launch.h"

namespace tendon::cuda {

struct Stream {
  int device;
  int multiprocessors;
  cudaStream_t handle;
  cudaEvent_t begin, end;
};

struct CapturedGraph {
  cudaGraphExec_t executable;
};

namespace {

// The runtime's sentences live as long as the library.
Error error_text(cudaError_t error) { return error == cudaSuccess ? nullptr : cudaGetErrorString(error); }

template <class Kernel>
__global__ void entry(const __grid_constant__ typename Kernel::Args a) {
  Kernel::run(Lane{}, a);
}

// What a block may take without asking.
constexpr size_t free_shared_bytes = 48 << 10;

struct Launcher {
  Stream* stream;
  cudaError_t error;
  int multiprocessors() const { return stream->multiprocessors; }

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
    entry<Kernel><<<blocks, static_cast<unsigned>(threads), shared_bytes, stream->handle>>>(a);
    error = cudaGetLastError();
  }
  template <class Kernel, class Args>
  void launch_alone(const Grid& grid, int threads, const Args& a) {
    launch<Kernel>(grid, threads, 0, a);
  }
};

// The runtime keeps one device per thread; callers come on any.
cudaError_t on_device(Stream* stream) { return cudaSetDevice(stream->device); }

template <class Args>
Error run(Stream* stream, const Args& a) {
  Launcher launcher{stream, on_device(stream)};
  launch(launcher, a);
  return error_text(launcher.error);
}

Error gemm(Stream* stream, const GemmArgs& a, const Bf16Copies& copies) {
  Launcher launcher{stream, on_device(stream)};
  launch(launcher, a, copies);
  return error_text(launcher.error);
}

Error plan(Stream* stream, PlanStep step, const PlanArgs& a) {
  Launcher launcher{stream, on_device(stream)};
  launch(launcher, step, a);
  return error_text(launcher.error);
}

Error count(int* devices) { return error_text(cudaGetDeviceCount(devices)); }

Error describe(int device, Description* out) {
  cudaDeviceProp p;
  const cudaError_t error = cudaGetDeviceProperties(&p, device);
  if (error != cudaSuccess) return error_text(error);
  std::snprintf(out->name, sizeof out->name, "%s", p.name);
  out->major = p.major;
  out->minor = p.minor;
  out->multiprocessors = p.multiProcessorCount;
  out->bytes = p.totalGlobalMem;
  out->loads_late = true;
  return nullptr;
}

void close_stream(Stream* stream) {
  on_device(stream);
  if (stream->begin != nullptr) cudaEventDestroy(stream->begin);
  if (stream->end != nullptr) cudaEventDestroy(stream->end);
  if (stream->handle != nullptr) cudaStreamDestroy(stream->handle);
  delete stream;
}

Error open_stream(int device, Stream** out) {
  Description description;
  if (const Error failed = describe(device, &description)) return failed;
  auto* stream = new Stream{device, description.multiprocessors, nullptr, nullptr, nullptr};
  cudaError_t error = on_device(stream);
  if (error == cudaSuccess) error = cudaStreamCreateWithFlags(&stream->handle, cudaStreamNonBlocking);
  if (error == cudaSuccess) error = cudaEventCreate(&stream->begin);
  if (error == cudaSuccess) error = cudaEventCreate(&stream->end);
  if (error != cudaSuccess) {
    close_stream(stream);
    return error_text(error);
  }
  *out = stream;
  return nullptr;
}

Error allocate(Stream* stream, size_t bytes, void** out) {
  cudaError_t error = on_device(stream);
  if (error == cudaSuccess) error = cudaMalloc(out, bytes == 0 ? 1 : bytes);
  if (error == cudaSuccess) error = cudaMemsetAsync(*out, 0, bytes, stream->handle);
  return error_text(error);
}
void deallocate(Stream* stream, void* p) {
  on_device(stream);
  cudaFree(p);
}
Error allocate_pinned(Stream* stream, size_t bytes, void** out) {
  const cudaError_t error = on_device(stream);
  return error_text(error == cudaSuccess ? cudaMallocHost(out, bytes == 0 ? 1 : bytes) : error);
}
void deallocate_pinned(Stream* stream, void* p) {
  on_device(stream);
  cudaFreeHost(p);
}

Error copy_memory(Stream* stream, void* to, const void* from, size_t bytes) {
  const cudaError_t error = on_device(stream);
  return error_text(error == cudaSuccess ? cudaMemcpyAsync(to, from, bytes, cudaMemcpyDefault, stream->handle)
                                         : error);
}
Error launch_host(Stream* stream, void (*function)(void*), void* argument) {
  return error_text(cudaLaunchHostFunc(stream->handle, function, argument));
}
Error synchronize(Stream* stream) { return error_text(cudaStreamSynchronize(stream->handle)); }
Error query(Stream* stream, bool* out) {
  const cudaError_t error = cudaStreamQuery(stream->handle);
  *out = error == cudaSuccess;
  return error_text(error == cudaErrorNotReady ? cudaSuccess : error);
}

Error begin_capture(Stream* stream) {
  const cudaError_t error = on_device(stream);
  return error_text(error == cudaSuccess
                        ? cudaStreamBeginCapture(stream->handle, cudaStreamCaptureModeThreadLocal)
                        : error);
}
Error end_capture(Stream* stream, CapturedGraph** out) {
  cudaGraph_t graph = nullptr;
  cudaError_t error = cudaStreamEndCapture(stream->handle, &graph);
  cudaGraphExec_t executable = nullptr;
  if (error == cudaSuccess) error = cudaGraphInstantiate(&executable, graph, 0);
  if (graph != nullptr) cudaGraphDestroy(graph);
  // Its first launch would upload it.
  if (error == cudaSuccess) error = cudaGraphUpload(executable, stream->handle);
  if (error == cudaSuccess) *out = new CapturedGraph{executable};
  return error_text(error);
}
void destroy_graph(CapturedGraph* captured) {
  cudaGraphExecDestroy(captured->executable);
  delete captured;
}
Error launch_graph(Stream* stream, CapturedGraph* captured) {
  const cudaError_t error = on_device(stream);
  return error_text(error == cudaSuccess ? cudaGraphLaunch(captured->executable, stream->handle) : error);
}

Error record_begin(Stream* stream) { return error_text(cudaEventRecord(stream->begin, stream->handle)); }
Error record_end(Stream* stream) { return error_text(cudaEventRecord(stream->end, stream->handle)); }
Error elapsed(Stream* stream, double* ns) {
  float ms = 0;
  cudaError_t error = cudaEventSynchronize(stream->end);
  if (error == cudaSuccess) error = cudaEventElapsedTime(&ms, stream->begin, stream->end);
  *ns = ms * 1e6;
  return error_text(error);
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
      .open_stream = open_stream,
      .close_stream = close_stream,
      .allocate = allocate,
      .deallocate = deallocate,
      .allocate_pinned = allocate_pinned,
      .deallocate_pinned = deallocate_pinned,
      .copy_memory = copy_memory,
      .launch_host = launch_host,
      .synchronize = synchronize,
      .query = query,
      .begin_capture = begin_capture,
      .end_capture = end_capture,
      .destroy_graph = destroy_graph,
      .launch_graph = launch_graph,
      .record_begin = record_begin,
      .record_end = record_end,
      .elapsed = elapsed,
      .gemm = gemm,
      TENDON_KERNELS(X) TENDON_LOOP_OPS(X).choose = run<ChooseArgs>,
      .plan = plan,
  };
#undef X
  return &api;
}
