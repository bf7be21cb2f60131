#include "backend/cuda/bf16_copies.h"

#include <utility>
#include <variant>

#include "kernels/cuda/product.h"

namespace tendon {

namespace {

// Numbers of the arena; nowhere for what lies elsewhere.
struct Span {
  int64_t begin = 0, end = 0;
  bool meets(const Span& other) const { return begin < other.end && other.begin < end; }
};

template <class Args>
Span span_of(const Instruction& instruction, const Args& args, const void* field, int64_t floats) {
  const Ref& ref = instruction.refs[static_cast<size_t>(ref_index(args, field))];
  return ref.region == Region::arena ? Span{ref.offset, ref.offset + floats} : Span{};
}

Span written(const Instruction& instruction) {
  return std::visit([&](const auto& a) { return span_of(instruction, a, &a.out, a.written()); },
                    instruction.args);
}

// Whether a product's rows would be fetched as eight numbers of bf16 at a time.
bool wants_copy(const GemmArgs& a) {
  const Rows& r = a.rows;
  return a.format != WeightFormat::f32 && r.count() > cuda::narrow_rows && r.c % 8 == 0 &&
         r.position_stride % 8 == 0 && r.batch_stride % 8 == 0;
}

// Whether `from`, which begins to write at `channel` of what `to` reads, writes some of its channels at every
// position: where they begin, or −1.
int64_t first_channel(const GemmArgs& from, const Rows& to, int64_t channel) {
  const bool alike = from.rows.batch == to.batch && from.rows.per_batch() == to.h * to.w &&
                     (to.batch == 1 || from.out_batch_stride == to.batch_stride) &&
                     (to.h * to.w == 1 || from.out_row_stride == to.position_stride);
  return alike && channel >= 0 && channel + from.n <= to.c ? channel : -1;
}

// The products whose results the instruction at `reader` reads, when they are all that it reads.
std::vector<const Instruction*> writers_of(const std::vector<Instruction>& list, size_t reader) {
  const auto& product = std::get<GemmArgs>(list[reader].args);
  const Rows& rows = product.rows;
  const Span read =
      span_of(list[reader], product, &rows.x,
              (rows.batch - 1) * rows.batch_stride + (rows.h * rows.w - 1) * rows.position_stride + rows.c);
  if (read.end == 0) return {};
  std::vector<const Instruction*> writers;
  std::vector<bool> covered(static_cast<size_t>(rows.c));
  int64_t left = rows.c;
  for (size_t i = reader; i-- > 0 && left > 0;) {
    const Instruction& instruction = list[i];
    const Span span = written(instruction);
    if (!span.meets(read)) continue;
    const auto* gemm = std::get_if<GemmArgs>(&instruction.args);
    const int64_t channel = gemm == nullptr ? -1 : first_channel(*gemm, rows, span.begin - read.begin);
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

std::map<const Instruction*, Bf16Use> find_bf16_copies(const std::vector<Instruction>& list) {
  std::map<const Instruction*, Bf16Use> uses;
  for (size_t i = 0; i < list.size(); ++i) {
    const auto* gemm = std::get_if<GemmArgs>(&list[i].args);
    if (gemm == nullptr || !wants_copy(*gemm)) continue;
    const std::vector<const Instruction*> writers = writers_of(list, i);
    for (const Instruction* writer : writers) uses[writer].writes = true;
    if (!writers.empty()) uses[&list[i]].reads = true;
  }
  return uses;
}

}  // namespace tendon
