// Memory and barriers. Scratch buffers share an arena by the span of instructions that touch them; persistent
// ones do not. A barrier stands before an instruction that meets, in memory, what another member may have
// touched since the last one.
#include <algorithm>
#include <cstring>
#include <string>

#include "base/error.h"
#include "compile/lower.h"
#include "compile/program.h"

namespace tendon {

namespace {

// Up to this many floating-point operations an instruction is done by one member: sharing would cost a
// barrier.
constexpr double solo_flops = 400000;
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

class Planner {
 public:
  Planner(Lowered& lowered, Program& program, int parts) : in_(lowered), out_(program), parts_(parts) {}

  void run() {
    find_spans();
    const int64_t persistent = place_persistent();
    const int64_t arena = place_scratch();
    const int64_t shared = place_kernel_scratch();
    out_.memory = Block(static_cast<size_t>(persistent + arena + shared) * sizeof(float));
    float* base = out_.memory.floats();
    for (size_t i = 0; i < in_.buffers.size(); ++i) {
      Buffer& b = in_.buffers[i];
      if (b.keep == Keep::constant) continue;
      b.data = base + offset_[i] + (b.keep == Keep::scratch ? persistent : 0);
    }
    for (const auto& [name, data] : out_.options.bound)
      for (const PendingPort& port : in_.inputs)
        if (port.name == name) in_.buffers[port.buffer].data = data;
    scratch_ = shared > 0 ? base + persistent + arena : nullptr;
    scratch_end_ = scratch_ + shared;
    for (int l = 0; l < static_cast<int>(List::count); ++l) resolve(l);
    for (const PendingRow& row : in_.rows)
      out_.rows.push_back({in_.buffers[row.table].data, in_.buffers[row.current].data, row.count});
    for (const PendingPort& port : in_.inputs) out_.inputs.push_back(bind(port));
    for (const PendingPort& port : in_.outputs) out_.outputs.push_back(bind(port));
  }

 private:
  Binding bind(const PendingPort& port) {
    const Buffer& b = in_.buffers[port.buffer];
    float* data = b.keep == Keep::constant ? const_cast<float*>(b.constant) : b.data;
    return {port.name, port.shape, port.stage, data + port.offset};
  }

  void find_spans() {
    spans_.resize(in_.buffers.size());
    for (int l = 0; l < static_cast<int>(List::count); ++l)
      for (size_t i = 0; i < in_.lists[l].size(); ++i)
        for (const Fix& fix : in_.lists[l][i].fixes) {
          Span& span = spans_[fix.buffer];
          if (span.list >= 0 && span.list != l && in_.buffers[fix.buffer].keep == Keep::scratch)
            in_.buffers[fix.buffer].keep = Keep::persistent;
          if (span.list != l) span = {l, static_cast<int>(i), static_cast<int>(i)};
          span.last = static_cast<int>(i);
        }
  }

  int64_t place_persistent() {
    offset_.assign(in_.buffers.size(), 0);
    int64_t top = 0;
    for (size_t i = 0; i < in_.buffers.size(); ++i) {
      if (in_.buffers[i].keep != Keep::persistent) continue;
      offset_[i] = top;
      top += round_up(in_.buffers[i].count);
    }
    return top;
  }

  // Largest first, each at the lowest place free for its whole span.
  int64_t place_scratch() {
    std::vector<int> order;
    for (size_t i = 0; i < in_.buffers.size(); ++i)
      if (in_.buffers[i].keep == Keep::scratch && spans_[i].list >= 0) order.push_back(static_cast<int>(i));
    std::stable_sort(order.begin(), order.end(),
                     [&](int a, int b) { return in_.buffers[a].count > in_.buffers[b].count; });
    std::vector<Slot> slots;  // by start
    int64_t top = 0;
    for (int i : order) {
      const int64_t need = round_up(in_.buffers[i].count);
      int64_t start = 0;
      for (const Slot& slot : slots)
        if (overlap(slot.span, spans_[i]) && start + need > slot.start && start < slot.end) start = slot.end;
      offset_[i] = start;
      top = std::max(top, start + need);
      const Slot slot{start, start + need, spans_[i]};
      slots.insert(std::upper_bound(slots.begin(), slots.end(), slot,
                                    [](const Slot& a, const Slot& b) { return a.start < b.start; }),
                   slot);
    }
    return top;
  }

  int64_t place_kernel_scratch() {
    size_t most = 0;
    for (const auto& list : in_.lists)
      for (const Pending& pending : list)
        if (pending.uses_scratch) {
          const auto& gemm = std::get<GemmArgs>(pending.instruction.args);
          most =
              std::max(most, out_.kernels->gemm[static_cast<int>(gemm.format)].scratch_bytes(gemm, parts_));
        }
    return round_up(static_cast<int64_t>((most + sizeof(float) - 1) / sizeof(float)));
  }

  struct Touch {
    const float *begin, *end;
    bool write, solo;
  };

  void resolve(int l) {
    std::vector<Touch> since;  // the last barrier
    for (Pending& pending : in_.lists[l]) {
      Instruction& instruction = pending.instruction;
      instruction.solo = instruction.flops < solo_flops && !is_large_copy(instruction);
      std::vector<Touch> mine;
      for (const Fix& fix : pending.fixes) {
        const Buffer& b = in_.buffers[fix.buffer];
        const float* base = b.keep == Keep::constant ? b.constant : b.data;
        std::visit(
            [&](auto& args) {
              const float* p = base + fix.offset;
              std::memcpy(reinterpret_cast<char*>(&args) + fix.field, &p, sizeof p);
            },
            instruction.args);
        if (b.keep != Keep::constant) mine.push_back({base, base + b.count, fix.write, instruction.solo});
      }
      if (pending.uses_scratch) {
        std::get<GemmArgs>(instruction.args).scratch = scratch_;
        mine.push_back({scratch_, scratch_end_, true, instruction.solo});
      }
      instruction.sync = false;
      for (const Touch& a : since)
        for (const Touch& b : mine)
          if ((a.write || b.write) && a.begin < b.end && b.begin < a.end && !(a.solo && b.solo))
            instruction.sync = true;
      if (instruction.sync) since.clear();
      since.insert(since.end(), mine.begin(), mine.end());
      out_.lists[l].push_back(std::move(instruction));
    }
  }

  static bool is_large_copy(const Instruction& instruction) {
    const auto* copy = std::get_if<CopyArgs>(&instruction.args);
    return copy != nullptr && copy->dims[0] * copy->dims[1] * copy->dims[2] * copy->dims[3] > 16384;
  }

  Lowered& in_;
  Program& out_;
  const int parts_;
  std::vector<Span> spans_;
  std::vector<int64_t> offset_;
  float *scratch_ = nullptr, *scratch_end_ = nullptr;
};

}  // namespace

// Sizes that a batch or a table multiply, before anything computes with them: of a value, and of the rows
// that a product gathers.
static void check_sizes(const Graph& graph, const CompileOptions& options) {
  constexpr double most = 0x1p42;
  for (const Node& node : graph.nodes()) {
    if (node.stage == stage_model) continue;
    const double step = (node.stage & stage_step) != 0 ? options.batch : 1;
    double count = static_cast<double>(node.shape.count()) * step * options.calls;
    if (op_info(node.op).kind == OpKind::product) {
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

std::unique_ptr<Program> compile(const Graph& graph, std::shared_ptr<const Weights> weights,
                                 const KernelTable& kernels, const CompileOptions& options) {
  check_sizes(graph, options);
  auto program = std::make_unique<Program>();
  program->kernels = &kernels;
  program->weights = weights;
  program->options = options;
  Lowered lowered = lower(graph, *weights, options);
  Planner(lowered, *program, options.threads).run();
  return program;
}

std::string print_program(const Program& program) {
  constexpr const char* names[] = {"schedule", "observation", "prepared", "step"};
  std::string text;
  for (int l = 0; l < static_cast<int>(List::count); ++l)
    for (const Instruction& instruction : program.lists[l])
      text += format("%-11s %-5s %10.0f flop  %s\n", names[l],
                     instruction.solo ? "solo" : (instruction.sync ? "sync" : "team"), instruction.flops,
                     instruction.label.c_str());
  return text;
}

}  // namespace tendon
