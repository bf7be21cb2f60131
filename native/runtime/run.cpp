#include "runtime/run.h"

#include <cstring>

namespace tendon {

namespace {

void run_product(const KernelTable& kernels, const GemmArgs& args, const Team& team, Part part) {
  const GemmKernels& gemm = kernels.gemm[static_cast<int>(args.format)];
  if (gemm.needs_prepare(args)) {
    gemm.prepare(args, part);
    if (part.count > 1) team.sync();
  }
  gemm.multiply(args, part);
}

void run_instruction(const KernelTable& k, const KernelArgs& args, const Team& team, Part part) {
  std::visit(
      [&](const auto& a) {
        using Args = std::decay_t<decltype(a)>;
        if constexpr (std::is_same_v<Args, GemmArgs>) run_product(k, a, team, part);
        if constexpr (std::is_same_v<Args, UnaryArgs>) k.unary(a, part);
        if constexpr (std::is_same_v<Args, BinaryArgs>) k.binary(a, part);
        if constexpr (std::is_same_v<Args, CopyArgs>) k.copy(a, part);
        if constexpr (std::is_same_v<Args, AffineArgs>) k.affine(a, part);
        if constexpr (std::is_same_v<Args, NormArgs>) k.norm(a, part);
        if constexpr (std::is_same_v<Args, GroupNormArgs>) k.group_norm(a, part);
        if constexpr (std::is_same_v<Args, SoftmaxArgs>) k.softmax(a, part);
        if constexpr (std::is_same_v<Args, AttentionArgs>) k.attention(a, part);
        if constexpr (std::is_same_v<Args, MatmulArgs>) k.matmul(a, part);
        if constexpr (std::is_same_v<Args, ReduceArgs>) k.reduce(a, part);
        if constexpr (std::is_same_v<Args, GatherArgs>) k.gather(a, part);
        if constexpr (std::is_same_v<Args, MaxPoolArgs>) k.max_pool(a, part);
      },
      args);
}

}  // namespace

void run_list(const Program& program, List list, const Team& team) {
  team.sync();
  for (const Instruction& instruction : program.list(list)) {
    if (instruction.sync) team.sync();
    if (!instruction.solo) {
      run_instruction(*program.kernels, instruction.args, team, {team.member, team.size});
    } else if (team.member == 0) {
      run_instruction(*program.kernels, instruction.args, team, {0, 1});
    }
  }
  team.sync();
}

void select_call(const Program& program, int64_t call) {
  for (const TableRow& row : program.rows)
    std::memcpy(row.current, row.table + call * row.count, static_cast<size_t>(row.count) * sizeof(float));
}

}  // namespace tendon
