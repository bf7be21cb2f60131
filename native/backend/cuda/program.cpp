#include "backend/cuda/program.h"

#include <variant>

#include "backend/layout.h"

namespace tendon {

namespace {

// Kernels count the numbers of a tensor with 32 bits.
constexpr int64_t most_numbers = INT64_C(1) << 31;

#define X(name, Args)                                                               \
  cuda::Fault put_kernel(const cuda::Api& api, cuda::Queue* queue, const Args& a) { \
    return api.name(queue, a);                                                      \
  }
TENDON_KERNELS(X)
#undef X

int find_port(const std::vector<ProgramPort>& ports, const std::string& name) {
  for (size_t i = 0; i < ports.size(); ++i)
    if (ports[i].name == name) return static_cast<int>(i);
  return -1;
}

}  // namespace

DeviceWeights::DeviceWeights(std::shared_ptr<DeviceQueue> queue, std::shared_ptr<const Weights> weights)
    : weights_(std::move(weights)) {
  size_t total = 0;
  weights_->for_each_part([&](const uint8_t*, size_t bytes) { total += align_up(bytes, 256); });
  memory_ = DeviceBlock(queue, total);
  size_t at = 0;
  weights_->for_each_part([&](const uint8_t* data, size_t bytes) {
    places_[data] = memory_.data() + at;
    queue->device().need(queue->api().transfer(queue->get(), memory_.data() + at, data, bytes));
    at += align_up(bytes, 256);
  });
  queue->wait();  // other queues will read them
}

DeviceProgram::DeviceProgram(std::shared_ptr<DeviceQueue> queue, std::shared_ptr<const Program> program,
                             std::shared_ptr<const DeviceWeights> weights)
    : queue_(std::move(queue)), program_(std::move(program)), weights_(std::move(weights)) {
  Layout layout;
  layout.add(program_->arena);
  std::vector<int64_t> at;
  for (const ProgramPort& port : program_->inputs) at.push_back(layout.add(port.shape.count()));
  if (layout.size() > most_numbers)
    throw BuildError("unsupported", "a device program's values may take 8 GB: use a smaller batch");
  memory_ = DeviceBlock(queue_, layout.bytes());
  for (const int64_t offset : at) inputs_.push_back(memory_.floats() + offset);
  for (const WeightPart& part : program_->weights) parts_.push_back(weights_->data(part));
  for (const auto& list : program_->lists) uses_.merge(find_twins(list));
  if (!uses_.empty()) twins_ = DeviceBlock(queue_, static_cast<size_t>(program_->arena) * sizeof(uint16_t));
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

float* DeviceProgram::input(const std::string& name) const {
  const int i = find_port(program_->inputs, name);
  return i < 0 ? nullptr : inputs_[static_cast<size_t>(i)];
}

float* DeviceProgram::output(const std::string& name) const {
  const int i = find_port(program_->outputs, name);
  return i < 0 ? nullptr : output(static_cast<size_t>(i));
}

cuda::Bf16Twins DeviceProgram::twins_of(const Instruction& instruction) const {
  const auto found = uses_.find(&instruction);
  if (found == uses_.end()) return {};
  // Copies lie as the values do in the arena.
  auto* twins = reinterpret_cast<uint16_t*>(twins_.data());
  const auto& gemm = std::get<GemmArgs>(instruction.args);
  const auto twin_of = [&](const void* field) {
    return twins + instruction.refs[static_cast<size_t>(ref_index(gemm, field))].offset;
  };
  return {found->second.reads ? twin_of(&gemm.rows.x) : nullptr,
          found->second.writes ? twin_of(&gemm.out) : nullptr};
}

void DeviceProgram::put(const Instruction& instruction, int64_t call) const {
  KernelArgs args = instruction.args;
  bind_args(args, instruction.refs, [&](const Ref& ref) { return address(ref, call); });
  const cuda::Api& api = queue_->api();
  cuda::Queue* queue = queue_->get();
  const auto put = [&]<class Args>(const Args& a) {
    if constexpr (std::is_same_v<Args, GemmArgs>)
      return api.gemm(queue, a, twins_of(instruction));
    else
      return put_kernel(api, queue, a);
  };
  queue_->device().need(std::visit(put, args));
}

void DeviceProgram::put(List list, int64_t call) const {
  for (const Instruction& instruction : program_->list(list)) put(instruction, call);
}

}  // namespace tendon
