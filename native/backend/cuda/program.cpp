#include "backend/cuda/program.h"

#include <variant>

#include "backend/layout.h"

namespace tendon {

namespace {

// Kernels count the numbers of a tensor with 32 bits.
constexpr int64_t most_numbers = INT64_C(1) << 31;

#define X(name, Args)                                                                    \
  cuda::Error launch_kernel(const cuda::Api& api, cuda::Stream* stream, const Args& a) { \
    return api.name(stream, a);                                                          \
  }
TENDON_KERNELS(X)
#undef X

std::vector<uint8_t*> places_of(const Program& program, const DeviceWeights& weights) {
  std::vector<uint8_t*> parts;
  for (const WeightPart& part : program.weights) parts.push_back(weights.data(part));
  return parts;
}

}  // namespace

DeviceWeights::DeviceWeights(const std::shared_ptr<DeviceStream>& stream,
                             std::shared_ptr<const Weights> weights)
    : weights_(std::move(weights)) {
  size_t total = 0;
  weights_->for_each_part([&](const uint8_t*, size_t bytes) { total += align_up(bytes, 256); });
  memory_ = allocate(stream, total);
  size_t at = 0;
  weights_->for_each_part([&](const uint8_t* data, size_t bytes) {
    places_[data] = memory_.data() + at;
    stream->copy(memory_.data() + at, data, bytes);
    at += align_up(bytes, 256);
  });
  stream->wait();  // other streams will read them
}

DeviceProgram::DeviceProgram(const std::shared_ptr<DeviceStream>& stream,
                             std::shared_ptr<const Program> program, const DeviceWeights& weights,
                             const std::vector<float*>& inputs)
    : DeviceProgram(stream, program, places_of(*program, weights), inputs) {}

DeviceProgram::DeviceProgram(const std::shared_ptr<DeviceStream>& stream,
                             std::shared_ptr<const Program> program, std::vector<uint8_t*> parts,
                             const std::vector<float*>& inputs)
    : program_(std::move(program)), parts_(std::move(parts)), inputs_(inputs) {
  inputs_.resize(program_->inputs.size());
  Layout layout;
  layout.add(program_->arena);
  std::vector<int64_t> at;
  for (size_t i = 0; i < inputs_.size(); ++i)
    at.push_back(inputs_[i] == nullptr ? layout.add(program_->inputs[i].shape.count()) : 0);
  if (layout.size() > most_numbers)
    throw BuildError("unsupported", "a device program's values may take 8 GB: use a smaller batch");
  memory_ = allocate(stream, layout.bytes());
  for (size_t i = 0; i < inputs_.size(); ++i)
    if (inputs_[i] == nullptr) inputs_[i] = memory_.floats() + at[i];
  for (const auto& list : program_->lists) uses_.merge(find_bf16_copies(list));
  if (!uses_.empty()) copies_ = allocate(stream, static_cast<size_t>(program_->arena) * sizeof(uint16_t));
}

void* DeviceProgram::address(const Ref& ref, int64_t call) const {
  const int64_t offset = ref.offset + call * ref.per_call;
  const auto index = static_cast<size_t>(ref.index);
  if (ref.region == Region::weight) return parts_[index] + offset * static_cast<int64_t>(sizeof(float));
  return (ref.region == Region::input ? inputs_[index] : memory_.floats()) + offset;
}

float* DeviceProgram::output(size_t i) const {
  return static_cast<float*>(address(program_->outputs[i].ref, 0));
}

cuda::Bf16Copies DeviceProgram::copies_of(const Instruction& instruction) const {
  const auto found = uses_.find(&instruction);
  if (found == uses_.end()) return {};
  // Copies lie as the values do in the arena.
  auto* copies = reinterpret_cast<uint16_t*>(copies_.data());
  const auto& gemm = std::get<GemmArgs>(instruction.args);
  const auto copy_of = [&](const void* field) {
    return copies + instruction.refs[static_cast<size_t>(ref_index(gemm, field))].offset;
  };
  return {found->second.reads ? copy_of(&gemm.rows.x) : nullptr,
          found->second.writes ? copy_of(&gemm.out) : nullptr};
}

void DeviceProgram::enqueue(const DeviceStream& stream, const Instruction& instruction, int64_t call) const {
  KernelArgs args = instruction.args;
  bind_args(args, instruction.refs, [&](const Ref& ref) { return address(ref, call); });
  const auto launch = [&]<class Args>(const Args& a) {
    if constexpr (std::is_same_v<Args, GemmArgs>)
      return stream.api().gemm(stream.get(), a, copies_of(instruction));
    else
      return launch_kernel(stream.api(), stream.get(), a);
  };
  stream.device().check(std::visit(launch, args));
}

void DeviceProgram::enqueue(const DeviceStream& stream, List list, int64_t call) const {
  for (const Instruction& instruction : program_->list(list)) enqueue(stream, instruction, call);
}

}  // namespace tendon
