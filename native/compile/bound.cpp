#include "compile/bound.h"

#include "base/error.h"

namespace tendon {

namespace {

constexpr int64_t border = static_cast<int64_t>(cache_line / sizeof(float));
int64_t padded(int64_t floats) { return (floats + border - 1) / border * border; }

float* by_name(const std::vector<ProgramPort>& ports, const std::vector<float*>& at,
               const std::string& name) {
  for (size_t i = 0; i < ports.size(); ++i)
    if (ports[i].name == name) return at[i];
  return nullptr;
}

}  // namespace

KernelArgs BoundInstruction::at_call(int64_t call) const {
  KernelArgs moved = args;
  std::visit(
      [&]<class Args>(Args& a) {
        int index = 0;
        auto move = moves.begin();
        Args::refs(a, [&](auto& pointer) {
          using Pointer = std::decay_t<decltype(pointer)>;
          if (move != moves.end() && move->first == index) {
            pointer = reinterpret_cast<Pointer>(reinterpret_cast<uintptr_t>(pointer) +
                                                static_cast<uintptr_t>(call * move->second) * sizeof(float));
            ++move;
          }
          ++index;
        });
      },
      moved);
  return moved;
}

Bound::Bound(std::shared_ptr<const Program> program, std::shared_ptr<const Weights> weights,
             const std::vector<WeightPart>& parts, const std::vector<std::pair<std::string, float*>>& given)
    : program_(std::move(program)), weights_(std::move(weights)) {
  std::vector<int64_t> at;
  int64_t total = padded(program_->arena);
  for (const ProgramPort& port : program_->inputs) {
    float* elsewhere = nullptr;
    for (const auto& [name, data] : given)
      if (name == port.name) elsewhere = data;
    inputs_.push_back(elsewhere);
    at.push_back(total);
    if (elsewhere == nullptr) total += padded(port.shape.count());
  }
  memory_ = Block(static_cast<size_t>(total) * sizeof(float));
  for (size_t i = 0; i < inputs_.size(); ++i)
    if (inputs_[i] == nullptr) inputs_[i] = memory_.floats() + at[i];
  // Weights are written by nobody: what an instruction or a caller has of them is to be read.
  const auto address = [&](const Ref& ref) -> void* {
    const auto index = static_cast<size_t>(ref.index);
    switch (ref.region) {
      case Region::weight: {
        const uint8_t* data = weights_->data(parts[index]);
        // Matrices that wait for a PackingStream have no place yet.
        return data == nullptr ? nullptr : const_cast<uint8_t*>(data) + ref.offset * sizeof(float);
      }
      case Region::input:
        return inputs_[index] + ref.offset;
      default:
        return memory_.floats() + ref.offset;
    }
  };
  for (const List l : all_lists)
    for (const Instruction& instruction : program_->list(l)) {
      BoundInstruction bound{instruction.args, instruction.pieces, {}};
      bind_args(bound.args, instruction.refs, address);
      for (size_t i = 0; i < instruction.refs.size(); ++i)
        if (instruction.refs[i].per_call != 0)
          bound.moves.emplace_back(static_cast<int>(i), instruction.refs[i].per_call);
      lists_[static_cast<int>(l)].push_back(std::move(bound));
    }
  for (const ProgramPort& port : program_->outputs)
    outputs_.push_back(static_cast<float*>(address(port.ref)));
}

float* Bound::input(const std::string& name) const { return by_name(program_->inputs, inputs_, name); }
float* Bound::output(const std::string& name) const { return by_name(program_->outputs, outputs_, name); }

}  // namespace tendon
