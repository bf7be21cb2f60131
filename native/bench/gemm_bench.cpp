// Products of the networks Tendon runs, each against what the machine can give, measured in the same run:
// weights per second against reading memory, operations per second against the fastest product of that
// format. Usage: gemm_bench [isa] [threads]; ratios only, the machine may be shared.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "base/memory.h"
#include "base/philox.h"
#include "base/pool.h"
#include "kernels/kernels.h"

namespace {

using namespace tendon;

double now_s() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// Sums a large buffer: every byte is read once, as weights are.
double read_bandwidth(Pool& pool, const Block& block) {
  const double start = now_s();
  pool.run([&](const Team& team) {
    const Part part{team.member, team.size};
    int64_t begin, end;
    part.range(static_cast<int64_t>(block.bytes() / 4), 1024, begin, end);
    float sums[64] = {};
    for (int64_t i = begin; i + 64 <= end; i += 64)
      for (int j = 0; j < 64; ++j) sums[j] += block.floats()[i + j];
    volatile float keep = 0;
    for (const float sum : sums) keep = keep + sum;
  });
  return static_cast<double>(block.bytes()) / (now_s() - start);
}

struct Case {
  const char* name;
  int64_t batch, length, channels, taps, n, groups;
};

// One product over as many copies of its weights as leave every cache, the way a large network is read.
struct Work {
  Work(const KernelTable& table, const Case& c, WeightFormat format, int threads, size_t footprint)
      : gemm(table.gemm[static_cast<int>(format)]) {
    Rows& r = args.rows;
    r.batch = c.batch;
    r.w = r.out_w = c.length;
    r.c = r.position_stride = c.channels;
    r.taps_w = c.taps;
    r.pad_w = c.taps / 2;
    r.batch_stride = c.length * c.channels;
    args.n = args.out_row_stride = c.n;
    args.out_batch_stride = c.length * c.n;
    args.format = format;
    x = Block(static_cast<size_t>(r.batch * r.batch_stride) * 4);
    out = Block(static_cast<size_t>(r.count() * c.n) * 4);
    bias = Block(static_cast<size_t>(c.n) * 4);
    fill_normal(1, 1, 0, x.floats(), r.batch * r.batch_stride);
    std::vector<float> w(static_cast<size_t>(c.n * r.k()));
    fill_normal(1, 2, 0, w.data(), c.n * r.k());
    bytes = gemm.packed_bytes(c.n, r.k());
    copies = std::max<size_t>(1, footprint / bytes);
    for (size_t i = 0; i < copies; ++i) {
      weights.emplace_back(bytes);
      if (i == 0) gemm.pack(w.data(), c.n, r.k(), weights[0].data(), {0, c.n});
      if (i > 0) std::memcpy(weights[i].data(), weights[0].data(), bytes);
    }
    r.x = x.floats();
    args.out = out.floats();
    args.epilogue.bias = bias.floats();
    args.epilogue.groups = c.groups;
    args.epilogue.act = Unary::mish;
    scratch = Block(gemm.scratch_bytes(args, threads));
    args.scratch = scratch.data();
  }

  // Seconds of one product.
  double run(Pool& pool) {
    const int rounds = static_cast<int>(std::max<size_t>(copies, 8));
    const double start = now_s();
    pool.run([&](const Team& team) {
      const Part part{team.member, team.size};
      GemmArgs a = args;
      for (int i = 0; i < rounds; ++i) {
        a.weights = weights[static_cast<size_t>(i) % copies].data();
        if (gemm.needs_prepare(a)) {
          gemm.prepare(a, part);
          team.sync();
        }
        gemm.multiply(a, part);
        team.sync();
      }
    });
    return (now_s() - start) / rounds;
  }

  const GemmKernels& gemm;
  GemmArgs args;
  size_t bytes, copies;
  Block x, out, bias, scratch;
  std::vector<Block> weights;
};

double median(std::vector<double> x) {
  std::sort(x.begin(), x.end());
  return x[x.size() / 2];
}

}  // namespace

int main(int argc, char** argv) {
  const KernelTable& table = select_kernels(argc > 1 ? argv[1] : "");
  const int threads = argc > 2 ? std::atoi(argv[2]) : 0;
  Pool pool(threads);
  const Block memory(size_t{1} << 30);
  const Case cases[] = {
      {"unet251m.b1 T16 512>512 k5", 1, 16, 512, 5, 512, 8},
      {"unet251m.b1 T8 1024>1024 k5", 1, 8, 1024, 5, 1024, 8},
      {"unet251m.b1 T4 2048>2048 k5", 1, 4, 2048, 5, 2048, 8},
      {"unet251m.b1 T4 4096>1024 k5", 1, 4, 4096, 5, 1024, 8},
      {"unet251m.b16 T16 512>512 k5", 16, 16, 512, 5, 512, 8},
      {"unet251m.b16 T8 1024>1024 k5", 16, 8, 1024, 5, 1024, 8},
      {"unet251m.b16 T4 2048>2048 k5", 16, 4, 2048, 5, 2048, 8},
      {"unet5m.b1 T16 128>128 k5", 1, 16, 128, 5, 128, 8},
      {"unet5m.b1 T4 512>512 k5", 1, 4, 512, 5, 512, 8},
      {"tdmpc2 512 rows 512>512", 512, 1, 512, 1, 512, 0},
      {"peak 480 rows 1024>1024", 480, 1, 1024, 1, 1024, 0},
  };
  std::printf("isa %s, %d threads\n%-30s %5s %9s %8s %9s %8s\n", table.isa, pool.size(), "product", "fmt",
              "ms", "GB/s", "of memory", "GFLOP/s");
  const char* names[] = {"f32", "bf16", "i8"};
  for (const Case& c : cases)
    for (int f = 0; f < 3; ++f) {
      if (!table.gemm[f].available) continue;
      const bool large = std::strncmp(c.name, "unet251m", 8) == 0;
      Work work(table, c, static_cast<WeightFormat>(f), pool.size(), large ? size_t{600} << 20 : 0);
      std::vector<double> times, bandwidths;
      for (int round = 0; round < 5; ++round) {
        if (large) bandwidths.push_back(read_bandwidth(pool, memory));
        times.push_back(work.run(pool));
      }
      const double seconds = median(times);
      const double flops = 2.0 * static_cast<double>(work.args.rows.count() * work.args.rows.k() * c.n);
      const double speed = static_cast<double>(work.bytes) / seconds;
      std::printf("%-30s %5s %9.3f %8.1f ", c.name, names[f], seconds * 1e3, speed * 1e-9);
      if (large) std::printf("%8.0f%% ", 100 * speed / median(bandwidths));
      if (!large) std::printf("%9s ", "");
      std::printf("%8.0f\n", flops / seconds * 1e-9);
    }
}
