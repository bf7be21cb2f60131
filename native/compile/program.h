// A compiled network: four lists of instructions that say where their arguments lie, in which region and at
// which offset, but hold no memory and no pointers to any. Whoever runs it binds it: one program serves many
// sessions, the critics of an ensemble, the CPU and a device of the same kernels.
//
// The schedule list runs when a sampler's table is set, for all its calls at once; the observation list once
// per inference, then the prepared list (what depends on schedule and observation but not on x_t), again for
// all calls at once; the step list once per call.
#pragma once

#include <compare>
#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "compile/weights.h"
#include "graph/graph.h"
#include "kernels/kernels.h"

namespace tendon {

// In the order in which they run.
enum class List : uint8_t { schedule, observation, prepared, step, count };
constexpr int list_count = static_cast<int>(List::count);
constexpr List all_lists[] = {List::schedule, List::observation, List::prepared, List::step};
const char* list_name(List list);

#define X(name, Args) , Args
using KernelArgs = std::variant<GemmArgs TENDON_KERNELS(X)>;
#undef X

enum class Region : uint8_t {
  none,    // a null pointer
  arena,   // the program's own values
  weight,  // number `index` of the program's weights
  input,   // number `index` of the program's inputs
};

struct Ref {
  Region region = Region::none;
  int index = 0;
  int64_t offset = 0;    // floats
  int64_t per_call = 0;  // floats from one call's row of a table to the next, for the step list
  bool operator==(const Ref&) const = default;
};

struct Instruction {
  KernelArgs args;        // without its pointers
  std::vector<Ref> refs;  // of each of them, in the order of the arguments' `refs`
  // That its work is cut into, for members to take; 1: too small to share (compile/cost.h). The numbers that
  // come out do not depend on it.
  int pieces = 1;
  double flops = 0;
  double bytes = 0;  // weights and activations read
  std::string label;
};

// Which of the pointers of `args` stands at `field`.
template <class Args>
int ref_index(const Args& args, const void* field) {
  int index = 0, found = -1;
  Args::refs(args, [&](const auto& pointer) {
    if (static_cast<const void*>(&pointer) == field) found = index;
    ++index;
  });
  return found;
}

// Puts the address that `address(ref)` gives into every pointer.
template <class Address>
void bind_args(KernelArgs& args, const std::vector<Ref>& refs, Address address) {
  std::visit(
      [&]<class Args>(Args& a) {
        auto ref = refs.begin();
        Args::refs(a, [&](auto& pointer) {
          pointer = static_cast<std::decay_t<decltype(pointer)>>(ref->region == Region::none ? nullptr
                                                                                             : address(*ref));
          ++ref;
        });
      },
      args);
}

struct ProgramPort {
  std::string name;
  Shape shape;  // batch included
  Stage stage;
  Ref ref;
};

struct CompileOptions {
  int batch = 1;                     // rows of a step input of dim 0 = 1
  int calls = 1;                     // rows of the schedule tables
  int threads = 1;                   // members that may share the work
  std::vector<std::string> outputs;  // only what these need; empty: all
  bool parallel = false;             // all calls of the table in one step list: step rows are calls × batch
  auto operator<=>(const CompileOptions&) const = default;
};

struct Program {
  const KernelTable* kernels = nullptr;
  std::vector<Instruction> lists[list_count];
  std::vector<ProgramPort> inputs, outputs;
  std::vector<WeightPart> weights;
  int64_t arena = 0;  // floats
  CompileOptions options;

  const std::vector<Instruction>& list(List l) const { return lists[static_cast<int>(l)]; }
};

// Lowers a rewritten graph (compile/rewrite.h) whose products are described by `weights`.
std::shared_ptr<const Program> compile(const Graph& graph, const Weights& weights, const KernelTable& kernels,
                                       const CompileOptions& options);

// Whether two programs differ in nothing but which weights they read.
bool are_alike(const Program& a, const Program& b);

// One line per instruction: its list, the pieces of its work, arithmetic, what it is.
std::string print_program(const Program& program);

}  // namespace tendon
