// What one denoising step of the 251 M UNet should take on an H200, from the bytes and operations of every
// launch, at batch 1 and 16: a forecast to hold beside `tendon_cuda_bench`, and the reason for the cuts of
// kernels/cuda/product.h. It counts for each product
//   memory   its weights once: all of them together are ten times what the second cache holds
//   cache    weights for every row tile, rows for every column tile (those inside the input), sums there and
//   back flops    those of whole tiles
// and takes the slowest of the three, a launch apart from the next. Nothing here was measured: the four rates
// are assumptions. Usage: tendon_cuda_model [multiprocessors]
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <variant>

#include "backend/cuda/bf16_copies.h"
#include "compile/program.h"
#include "compile/rewrite.h"
#include "kernels/cuda/table.h"
#include "test/networks.h"

namespace {

using namespace tendon;

constexpr double memory_rate = 4.8e12 * 0.9;  // bytes a second: HBM3e of an H200, of which nine tenths arrive
constexpr double cache_rate = 5.5e12;         // of the second cache to all multiprocessors
constexpr double tensor_rate = 989e12 * 0.6;  // bf16 by mma.sync, which does not reach what wgmma does
constexpr double launch_s = 1e-6;             // from one kernel of a graph to the next that waits for it

struct Sum {
  int kernels = 0;
  double memory = 0, cache = 0, flops = 0, seconds = 0;
};

// Numbers of gathered rows that lie inside the input: what is read for one column tile.
double gathered_numbers(const Rows& r) {
  const auto inside = [](int64_t out, int64_t stride, int64_t pad, int64_t taps, int64_t size) {
    int64_t count = 0;
    for (int64_t o = 0; o < out; ++o)
      for (int64_t tap = 0; tap < taps; ++tap) {
        const int64_t at = o * stride - pad + tap;
        count += at >= 0 && at < size;
      }
    return static_cast<double>(count);
  };
  return static_cast<double>(r.batch * r.c) * inside(r.out_h, r.stride_h, r.pad_h, r.taps_h, r.h) *
         inside(r.out_w, r.stride_w, r.pad_w, r.taps_w, r.w);
}

void add_product(const GemmArgs& a, bool reads_bf16, int multiprocessors, Sum& sum) {
  const cuda::GemmCut cut = cuda::cut_gemm(a, multiprocessors);
  const double bytes = a.format == WeightFormat::f32 ? 4 : a.format == WeightFormat::bf16 ? 2 : 1;
  const auto rows = static_cast<double>(a.rows.count()), n = static_cast<double>(a.n),
             k = static_cast<double>(a.rows.k());
  const double memory = n * k * bytes;
  const double sums = cut.finishes ? 2.0 * static_cast<double>(cut.splits) * rows * n * 4 : 0;
  const double cache =
      memory * static_cast<double>(cut.row_tiles) +
      gathered_numbers(a.rows) * (reads_bf16 ? 2 : 4) * static_cast<double>(cut.column_tiles) + sums +
      rows * n * 4;
  const double flops = 2 * static_cast<double>(cut.row_tiles * cut.rows * cut.column_tiles * cut.columns) * k;
  // The last wave of blocks seldom fills the chip.
  const int64_t blocks = cut.row_tiles * cut.column_tiles * cut.splits;
  const int64_t waves = (blocks + multiprocessors - 1) / multiprocessors;
  const double busy = static_cast<double>(blocks) / static_cast<double>(waves * multiprocessors);
  const int kernels = cut.finishes ? 2 : 1;
  sum.kernels += kernels;
  sum.memory += memory, sum.cache += cache, sum.flops += flops;
  sum.seconds += std::max({memory / memory_rate, cache / cache_rate / busy, flops / tensor_rate / busy}) +
                 kernels * launch_s;
}

Sum step_of(const Graph& graph, const Weights& weights, int batch, int multiprocessors) {
  CompileOptions options;
  options.batch = batch;
  options.threads = multiprocessors;
  const auto program = compile(graph, weights, cuda::emulated_kernels(), options);
  Sum sum;
  auto twins = find_bf16_copies(program->list(List::step));
  for (const Instruction& instruction : program->list(List::step)) {
    if (const auto* gemm = std::get_if<GemmArgs>(&instruction.args)) {
      add_product(*gemm, twins[&instruction].reads, multiprocessors, sum);
    } else {
      ++sum.kernels;
      sum.seconds += launch_s;  // small tensors out of the cache
    }
  }
  return sum;
}

}  // namespace

int main(int argc, char** argv) {
  const int multiprocessors = argc > 1 ? std::atoi(argv[1]) : 132;
  if (multiprocessors < 1) {
    std::printf("usage: tendon_cuda_model [multiprocessors, from 1]\n");
    return 1;
  }
  const Graph graph = rewrite(test::make_unet({}, 1));
  const Weights weights(graph, cuda::emulated_kernels(), WeightFormat::bf16, Packing::when_needed);
  std::printf("forecast of a step of unet-251m in bf16 on %d multiprocessors, from assumed rates\n",
              multiprocessors);
  double first = 0;
  for (const int batch : {1, 16}) {
    const Sum s = step_of(graph, weights, batch, multiprocessors);
    if (batch == 1) first = s.seconds;
    std::printf(
        "batch %2d: %d kernels; memory %.0f MB, %.0f us; cache %.0f MB, %.0f us; %.1f GFLOP, %.0f us; "
        "all %.0f us, %.2f times batch 1\n",
        batch, s.kernels, s.memory / 1e6, s.memory / memory_rate * 1e6, s.cache / 1e6,
        s.cache / cache_rate * 1e6, s.flops / 1e9, s.flops / tensor_rate * 1e6, s.seconds * 1e6,
        s.seconds / first);
  }
  return 0;
}
