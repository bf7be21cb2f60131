#include "runtime/device_twins.h"

#include <utility>
#include <variant>

#include "kernels/cuda/product.h"

namespace tendon {

namespace {

struct Span {
  const float* begin;
  int64_t floats;
  bool meets(const Span& other) const {
    return begin < other.begin + other.floats && other.begin < begin + floats;
  }
};

int64_t numbers(const int64_t (&dims)[4]) { return dims[0] * dims[1] * dims[2] * dims[3]; }

Span written(const GemmArgs& a) {
  return {a.out, (a.rows.batch - 1) * a.out_batch_stride + (a.rows.per_batch() - 1) * a.out_row_stride + a.n};
}
Span written(const UnaryArgs& a) { return {a.out, a.count}; }
Span written(const AffineArgs& a) { return {a.out, a.count}; }
Span written(const BinaryArgs& a) { return {a.out, numbers(a.dims)}; }
Span written(const CopyArgs& a) {
  int64_t last = 0;
  for (int d = 0; d < 4; ++d) last += (a.dims[d] - 1) * a.out_stride[d];
  return {a.out, last + 1};
}
Span written(const NormArgs& a) { return {a.out, a.rows * a.n}; }
Span written(const GroupNormArgs& a) { return {a.out, a.batch * a.positions * a.channels}; }
Span written(const SoftmaxArgs& a) { return {a.out, a.rows * a.n}; }
Span written(const AttentionArgs& a) { return {a.out, a.batch * a.q_len * a.heads * a.head_dim}; }
Span written(const MatmulArgs& a) { return {a.out, a.batch * a.m * a.n}; }
Span written(const ReduceArgs& a) { return {a.out, a.outer * a.inner}; }
Span written(const GatherArgs& a) { return {a.out, a.rows * a.n}; }
Span written(const MaxPoolArgs& a) { return {a.out, a.rows.count() * a.rows.c}; }

// Whether a product's rows would be fetched as eight numbers of bf16 at a time.
bool wants_twin(const GemmArgs& a) {
  const Rows& r = a.rows;
  return a.format != WeightFormat::f32 && r.count() > cuda::narrow_rows && r.c % 8 == 0 &&
         r.position_stride % 8 == 0 && r.batch_stride % 8 == 0;
}

// Whether `from` writes some of the channels that `to` reads, at every position: where they begin, or −1.
int64_t first_channel(const GemmArgs& from, const Rows& to) {
  const int64_t channel = from.out - to.x;
  const bool alike = from.rows.batch == to.batch && from.rows.per_batch() == to.h * to.w &&
                     (to.batch == 1 || from.out_batch_stride == to.batch_stride) &&
                     (to.h * to.w == 1 || from.out_row_stride == to.position_stride);
  return alike && channel >= 0 && channel + from.n <= to.c ? channel : -1;
}

// The products whose results the instruction at `reader` reads, when they are all that it reads.
std::vector<const Instruction*> writers_of(const std::vector<Instruction>& list, size_t reader) {
  const Rows& rows = std::get<GemmArgs>(list[reader].args).rows;
  const Span read{
      rows.x, (rows.batch - 1) * rows.batch_stride + (rows.h * rows.w - 1) * rows.position_stride + rows.c};
  std::vector<const Instruction*> writers;
  std::vector<bool> covered(static_cast<size_t>(rows.c));
  int64_t left = rows.c;
  for (size_t i = reader; i-- > 0 && left > 0;) {
    const Instruction& instruction = list[i];
    const Span span = std::visit([](const auto& a) { return written(a); }, instruction.args);
    if (!span.meets(read)) continue;
    const auto* gemm = std::get_if<GemmArgs>(&instruction.args);
    const int64_t channel = gemm == nullptr ? -1 : first_channel(*gemm, rows);
    if (channel < 0) return {};
    for (int64_t c = channel; c < channel + gemm->n; ++c) {
      if (covered[static_cast<size_t>(c)]) return {};
      covered[static_cast<size_t>(c)] = true;
    }
    left -= gemm->n;
    writers.push_back(&instruction);
  }
  if (left > 0) writers.clear();
  return writers;
}

}  // namespace

std::map<const Instruction*, TwinUse> find_twins(const std::vector<Instruction>& list) {
  std::map<const Instruction*, TwinUse> uses;
  for (size_t i = 0; i < list.size(); ++i) {
    const auto* gemm = std::get_if<GemmArgs>(&list[i].args);
    if (gemm == nullptr || !wants_twin(*gemm)) continue;
    const std::vector<const Instruction*> writers = writers_of(list, i);
    for (const Instruction* writer : writers) uses[writer].writes = true;
    if (!writers.empty()) uses[&list[i]].reads = true;
  }
  return uses;
}

}  // namespace tendon
