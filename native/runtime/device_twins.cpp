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
    const Span span = std::visit([](const auto& a) { return Span{a.out, a.written()}; }, instruction.args);
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
