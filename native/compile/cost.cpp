#include "compile/cost.h"

#include <algorithm>

#include "base/team.h"

namespace tendon {

namespace {

// Up to so many floating-point operations over so many bytes of weights an instruction is done by one member.
// Weights beyond that come from the second cache or from memory, of which each core has its own or its share.
constexpr double solo_flops = 400000, solo_bytes = 64 << 10;
constexpr int64_t solo_copy = 16384;  // numbers
// A piece is worth taking from here on.
constexpr double piece_flops = 200000, piece_bytes = 64 << 10;
constexpr int most_per_member = 4;

}  // namespace

int pieces_of(const Instruction& instruction, int members) {
  if (members == 1) return 1;
  const auto* copy = std::get_if<CopyArgs>(&instruction.args);
  const bool is_large_copy = copy != nullptr && numbers(copy->dims) > solo_copy;
  if (is_large_copy) return members;
  if (instruction.flops < solo_flops && instruction.bytes < solo_bytes) return 1;
  const double worth = std::max(instruction.flops / piece_flops, instruction.bytes / piece_bytes);
  const int each = static_cast<int>(std::clamp(worth / members, 1.0, double{most_per_member}));
  return std::min(each * members, Team::most_pieces);
}

}  // namespace tendon
