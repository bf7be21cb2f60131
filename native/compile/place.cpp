// Places in the arena. Scratch buffers share it by the span of instructions that touch them; persistent ones
// do not.
#include <algorithm>
#include <string>

#include "base/error.h"
#include "compile/cost.h"
#include "compile/lower.h"
#include "compile/program.h"

namespace tendon {

namespace {

constexpr int64_t floats_per_line = static_cast<int64_t>(cache_line / sizeof(float));

struct Span {
  int list = -1, first = 0, last = 0;
};

struct Slot {
  int64_t start, end;  // floats
  Span span;
};

bool overlap(const Span& a, const Span& b) {
  return a.list == b.list && a.first <= b.last && b.first <= a.last;
}

int64_t round_up(int64_t n) { return (n + floats_per_line - 1) / floats_per_line * floats_per_line; }

class Placer {
 public:
  Placer(Lowered& lowered, Program& program) : in_(lowered), out_(program) {}

  void run() {
    measure_kernel_scratch();
    find_spans();
    place_persistent();
    place_scratch();
    for (int l = 0; l < list_count; ++l) finish(l);
    for (const PendingPort& port : in_.inputs) out_.inputs.push_back(finish(port));
    for (const PendingPort& port : in_.outputs) out_.outputs.push_back(finish(port));
    out_.weights = std::move(in_.weights);
  }

 private:
  Ref ref_of(const Use& use) const {
    if (use.buffer < 0) return {};
    const Buffer& b = in_.buffers[use.buffer];
    if (b.keep == Keep::weight) return {Region::weight, b.index, use.offset, use.per_call};
    if (b.keep == Keep::input) return {Region::input, b.index, use.offset, use.per_call};
    return {Region::arena, 0, offset_[use.buffer] + use.offset, use.per_call};
  }
  ProgramPort finish(const PendingPort& port) const {
    return {port.name, port.shape, port.stage, ref_of(port.use)};
  }

  bool is_in_arena(int buffer) const {
    const Keep keep = in_.buffers[buffer].keep;
    return keep == Keep::scratch || keep == Keep::persistent;
  }

  void measure_kernel_scratch() {
    size_t most = 0;
    for (const auto& list : in_.lists)
      for (const Pending& pending : list)
        if (const auto* gemm = std::get_if<GemmArgs>(&pending.instruction.args))
          most = std::max(most, out_.kernels->gemm[static_cast<int>(gemm->format)].scratch_bytes(
                                    *gemm, out_.options.threads));
    if (in_.scratch >= 0)
      in_.buffers[in_.scratch].count = static_cast<int64_t>((most + sizeof(float) - 1) / sizeof(float));
  }

  void find_spans() {
    spans_.resize(in_.buffers.size());
    for (int l = 0; l < list_count; ++l)
      for (size_t i = 0; i < in_.lists[l].size(); ++i)
        for (const Use& use : in_.lists[l][i].uses) {
          if (use.buffer < 0) continue;
          Span& span = spans_[use.buffer];
          if (span.list >= 0 && span.list != l && in_.buffers[use.buffer].keep == Keep::scratch)
            in_.buffers[use.buffer].keep = Keep::persistent;
          if (span.list != l) span = {l, static_cast<int>(i), static_cast<int>(i)};
          span.last = static_cast<int>(i);
        }
  }

  void place_persistent() {
    offset_.assign(in_.buffers.size(), 0);
    for (size_t i = 0; i < in_.buffers.size(); ++i) {
      if (in_.buffers[i].keep != Keep::persistent) continue;
      offset_[i] = out_.arena;
      out_.arena += round_up(in_.buffers[i].count);
    }
  }

  // Behind the persistent ones: largest first, each at the lowest place free for its whole span.
  void place_scratch() {
    const int64_t base = out_.arena;
    std::vector<int> order;
    for (size_t i = 0; i < in_.buffers.size(); ++i)
      if (in_.buffers[i].keep == Keep::scratch && spans_[i].list >= 0) order.push_back(static_cast<int>(i));
    std::stable_sort(order.begin(), order.end(),
                     [&](int a, int b) { return in_.buffers[a].count > in_.buffers[b].count; });
    std::vector<Slot> slots;  // by start
    for (int i : order) {
      const int64_t need = round_up(in_.buffers[i].count);
      int64_t start = base;
      for (const Slot& slot : slots)
        if (overlap(slot.span, spans_[i]) && start + need > slot.start && start < slot.end) start = slot.end;
      offset_[i] = start;
      out_.arena = std::max(out_.arena, start + need);
      const Slot slot{start, start + need, spans_[i]};
      slots.insert(std::upper_bound(slots.begin(), slots.end(), slot,
                                    [](const Slot& a, const Slot& b) { return a.start < b.start; }),
                   slot);
    }
  }

  // Refs, and into how many pieces the work is cut.
  void finish(int l) {
    for (Pending& pending : in_.lists[l]) {
      Instruction& instruction = pending.instruction;
      for (const Use& use : pending.uses) instruction.refs.push_back(ref_of(use));
      instruction.pieces = pieces_of(instruction, out_.options.threads);
      out_.lists[l].push_back(std::move(instruction));
    }
  }

  Lowered& in_;
  Program& out_;
  std::vector<Span> spans_;
  std::vector<int64_t> offset_;
};

}  // namespace

const char* list_name(List list) {
  constexpr const char* names[] = {"schedule", "observation", "prepared", "step"};
  return names[static_cast<int>(list)];
}

// Sizes that a batch or a table multiply, before anything computes with them: of a value, and of the rows
// that a product gathers.
static void check_sizes(const Graph& graph, const CompileOptions& options) {
  constexpr double most = 0x1p42;
  for (const Node& node : graph.nodes()) {
    if (node.stage == stage_model) continue;
    const double step = (node.stage & stage_step) != 0 ? options.batch : 1;
    double count = static_cast<double>(node.shape.count()) * step * options.calls;
    if (op_info(node.op).is_product()) {
      const double channels = static_cast<double>(node.shape.last());
      const double k = static_cast<double>(graph.at(node.inputs[1]).shape.count()) / channels;
      count = std::max(count, count / channels * k);
    }
    if (count > most)
      throw BuildError(
          "config_invalid",
          format("batch %d and %d calls: expected sizes that fit a memory, got %g numbers for %s %s",
                 options.batch, options.calls, count, op_info(node.op).name, node.shape.text().c_str()));
  }
}

std::shared_ptr<const Program> compile(const Graph& graph, const Weights& weights, const KernelTable& kernels,
                                       const CompileOptions& options) {
  check_sizes(graph, options);
  auto program = std::make_shared<Program>();
  program->kernels = &kernels;
  program->options = options;
  Lowered lowered = lower(graph, weights, options);
  Placer(lowered, *program).run();
  return program;
}

bool are_alike(const Program& a, const Program& b) {
  if (a.kernels != b.kernels || a.weights.size() != b.weights.size() || a.inputs.size() != b.inputs.size() ||
      a.outputs.size() != b.outputs.size() || a.arena != b.arena)
    return false;
  for (size_t i = 0; i < a.weights.size(); ++i)
    if (a.weights[i].bytes != b.weights[i].bytes) return false;
  for (size_t i = 0; i < a.inputs.size(); ++i)
    if (a.inputs[i].name != b.inputs[i].name || !(a.inputs[i].ref == b.inputs[i].ref)) return false;
  for (size_t i = 0; i < a.outputs.size(); ++i)
    if (!(a.outputs[i].ref == b.outputs[i].ref)) return false;
  for (const List l : all_lists) {
    if (a.list(l).size() != b.list(l).size()) return false;
    for (size_t i = 0; i < a.list(l).size(); ++i) {
      const Instruction &mine = a.list(l)[i], &theirs = b.list(l)[i];
      if (!(mine.args == theirs.args) || mine.refs != theirs.refs || mine.pieces != theirs.pieces)
        return false;
    }
  }
  return true;
}

std::string print_program(const Program& program) {
  std::string text;
  for (const List list : all_lists)
    for (const Instruction& instruction : program.list(list))
      text += format("%-11s %5d %10.0f flop  %s\n", list_name(list), instruction.pieces, instruction.flops,
                     instruction.label.c_str());
  return text;
}

}  // namespace tendon
