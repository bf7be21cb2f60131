#include "runtime/device_program.h"

#include <variant>

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

}  // namespace

void Places::add(const void* host, size_t bytes, uint8_t* device) {
  ranges_.push_back({static_cast<const uint8_t*>(host), bytes, device});
}

uint8_t* Places::find(const void* host) const {
  if (host == nullptr) return nullptr;
  const auto* p = static_cast<const uint8_t*>(host);
  for (auto range = ranges_.rbegin(); range != ranges_.rend(); ++range)
    if (p >= range->host && p < range->host + range->bytes) return range->device + (p - range->host);
  throw BuildError("internal", "an instruction reads memory that has no place on the device");
}

DeviceWeights::DeviceWeights(std::shared_ptr<DeviceQueue> queue, std::shared_ptr<const Weights> weights)
    : weights_(std::move(weights)) {
  size_t total = 0;
  weights_->for_each_part([&](const uint8_t*, size_t bytes) { total += align_up(bytes, 256); });
  memory_ = DeviceBlock(queue, total);
  size_t at = 0;
  weights_->for_each_part([&](const uint8_t* data, size_t bytes) {
    places_.add(data, bytes, memory_.data() + at);
    queue->device().need(queue->api().transfer(queue->get(), memory_.data() + at, data, bytes));
    at += align_up(bytes, 256);
  });
  queue->wait();  // other queues will read them
}

DeviceProgram::DeviceProgram(std::shared_ptr<DeviceQueue> queue, const Program& program,
                             std::shared_ptr<const DeviceWeights> weights)
    : queue_(std::move(queue)),
      program_(program),
      weights_(std::move(weights)),
      memory_(queue_, program.memory.bytes()),
      places_(weights_->places()) {
  if (program.memory.bytes() / sizeof(float) > static_cast<size_t>(most_numbers))
    throw BuildError("unsupported", "a device program's values may take 8 GB: use a smaller batch");
  places_.add(program.memory.data(), program.memory.bytes(), memory_.data());
  for (const auto& list : program.lists) uses_.merge(find_twins(list));
  if (!uses_.empty()) twins_ = DeviceBlock(queue_, program.memory.bytes() / 2);
}

uint16_t* DeviceProgram::twin_of(const float* host) const {
  return reinterpret_cast<uint16_t*>(twins_.data()) + (host - program_.memory.floats());
}

cuda::Bf16Twins DeviceProgram::twins_of(const Instruction& instruction) const {
  const auto found = uses_.find(&instruction);
  if (found == uses_.end()) return {};
  const auto& gemm = std::get<GemmArgs>(instruction.args);
  return {found->second.reads ? twin_of(gemm.rows.x) : nullptr,
          found->second.writes ? twin_of(gemm.out) : nullptr};
}

void DeviceProgram::replace(const float* host, int64_t count, float* device) {
  places_.add(host, static_cast<size_t>(count) * sizeof(float), reinterpret_cast<uint8_t*>(device));
}

const void* DeviceProgram::in_table(const void* host, int64_t call) const {
  const auto* p = static_cast<const float*>(host);
  for (const TableRow& row : program_.rows)
    if (p >= row.current && p < row.current + row.count)
      return row.table + call * row.count + (p - row.current);
  return host;
}

void DeviceProgram::put(const Instruction& instruction, int64_t call) const {
  KernelArgs args = instruction.args;
  std::visit(
      [&](auto& a) {
        std::decay_t<decltype(a)>::refs(a, [&](auto& pointer) {
          using Pointer = std::decay_t<decltype(pointer)>;
          pointer = reinterpret_cast<Pointer>(places_.find(in_table(pointer, call)));
        });
      },
      args);
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
  for (const Instruction& instruction : program_.list(list)) put(instruction, call);
}

}  // namespace tendon
