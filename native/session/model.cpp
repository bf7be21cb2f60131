#include "session/model.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <utility>
#ifdef __GLIBC__
#include <malloc.h>
#endif

#include "base/philox.h"
#include "compile/dispatch.h"
#include "compile/program.h"
#include "compile/rewrite.h"
#include "runtime/profile.h"
#include "runtime/run.h"

namespace tendon {

namespace {

// What `auto` accepts on the probe inputs, relative to the largest output: a tenth of what a normalised
// action resolves after sampling (docs/numerics.md).
constexpr double automatic_limit = 1e-2;
// Weights in f32 up to here are packed at once for that comparison: less than a process needs besides.
constexpr size_t little_memory = 32u << 20;

WeightFormat format_of(Precision precision) {
  return precision == Precision::bf16 ? WeightFormat::bf16
         : precision == Precision::i8 ? WeightFormat::i8
                                      : WeightFormat::f32;
}

// Whether no matrix of it waits for a PackingStream.
bool is_packed(const Program& program) {
  for (const auto& list : program.lists)
    for (const Instruction& instruction : list)
      if (const GemmArgs* gemm = std::get_if<GemmArgs>(&instruction.args))
        if (gemm->weights == nullptr) return false;
  return true;
}

std::string device_of(const ModelOptions& options) {
  if (!options.device.empty()) return options.device;
  const char* wanted = options.isa.empty() ? std::getenv("TENDON_DEVICE") : nullptr;
  return wanted == nullptr || *wanted == 0 ? "cpu" : wanted;
}

}  // namespace

std::shared_ptr<Model> Model::make(Graph graph, const ModelOptions& options) {
  return std::make_shared<PackedModel>(std::move(graph), options);
}

PackedModel::PackedModel(Graph graph, const ModelOptions& options)
    : graph_(rewrite(graph)), kernels_(&select_kernels(options.isa.c_str())), pool_(options.pool) {
  const std::string device = device_of(options);
  if (device != "cpu") {
    device_ = Device::open(device);
    queue_ = std::make_shared<DeviceQueue>(device_);
    kernels_ = &device_->kernels();
  }
  // A device leaves the caller little to do.
  if (!pool_) pool_ = std::make_shared<Pool>(device_ ? 1 : 0);
  report_.isa = device_ ? device_->name() : kernels_->isa;
  report_.parameters = graph.parameter_count();
  report_.precision = options.precision;
  if (options.precision == Precision::automatic) {
    choose_precision();
  } else {
    weights_ = std::make_shared<Weights>(graph_, *kernels_, format_of(options.precision));
  }
  report_.packed_bytes = weights_->bytes();
  if (device_) device_weights_ = std::make_shared<DeviceWeights>(queue_, weights_);
#ifdef __GLIBC__
  malloc_trim(0);  // what packing needed on the way would stay with the heap for good
#endif
}

void PackedModel::need_output(const std::string& name) const {
  std::string names;
  for (const Output& output : graph_.outputs()) {
    if (output.name == name) return;
    names += (names.empty() ? "" : ", ") + output.name;
  }
  throw BuildError("input_invalid", "the model has no output " + name + "; it has " + names);
}

std::unique_ptr<Program> PackedModel::program(int batch, std::vector<std::string> outputs,
                                              std::vector<std::pair<std::string, float*>> bound) const {
  CompileOptions options;
  options.batch = batch;
  options.threads = parts();
  options.outputs = std::move(outputs);
  options.bound = std::move(bound);
  for (const std::string& name : options.outputs) need_output(name);
  return compile(graph_, weights_, *kernels_, options);
}

void add_observation_ports(const Program& program, std::vector<Port>& ports) {
  for (const Binding& input : program.inputs) {
    if (input.stage != stage_observation) continue;
    const bool known =
        std::any_of(ports.begin(), ports.end(), [&](const Port& p) { return p.name == input.name; });
    if (!known) ports.push_back({input.name, input.shape, input.stage});
  }
}

void write_observation(const Program& program, const Given& given, const std::string& name) {
  for (const Binding& input : program.inputs)
    if (input.stage == stage_observation && input.name == name) given.write(input.data, input.shape.count());
}

void profile_program(const Program& program, Pool& pool, int rounds, const std::string& prefix,
                     std::vector<InstructionReport>& reports) {
  constexpr const char* names[] = {"schedule", "observation", "prepared", "step"};
  for (int l = 0; l < static_cast<int>(List::count); ++l) {
    const auto times = profile_list(program, static_cast<List>(l), pool, rounds);
    for (size_t i = 0; i < times.size(); ++i) {
      const Instruction& instruction = program.lists[l][i];
      reports.push_back(
          {prefix + names[l], instruction.label, instruction.flops, instruction.bytes, times[i]});
    }
  }
}

// The lightest format whose outputs on probe inputs stay near those of f32. Memory and reading the file are
// what a large network is short of: one packing at a time, and of f32, which is run once, one matrix at a
// time; the first candidate is packed of the same numbers on the way. A little one is packed in all formats
// at once.
void PackedModel::choose_precision() {
  const auto described_as = [&](Precision precision) {
    return std::make_shared<Weights>(graph_, *kernels_, format_of(precision), Packing::when_needed);
  };
  const auto pack = [&](const std::vector<Weights*>& all) { Weights::complete(graph_, *kernels_, all); };
  const auto full = described_as(Precision::f32);
  struct Candidate {
    Precision precision;
    std::shared_ptr<Weights> weights;
  };
  std::vector<Candidate> candidates;
  for (const Precision precision : {Precision::i8, Precision::bf16}) {
    if (!kernels_->gemm[static_cast<int>(format_of(precision))].available) continue;
    auto weights = described_as(precision);
    if (weights->bytes() < full->bytes()) candidates.push_back({precision, std::move(weights)});
  }
  Weights* beside = nullptr;
  if (device_) {
    pack({full.get()});
  } else if (full->bytes() <= little_memory) {
    std::vector<Weights*> all{full.get()};
    for (const Candidate& candidate : candidates) all.push_back(candidate.weights.get());
    pack(all);
  } else if (!candidates.empty()) {
    beside = candidates.front().weights.get();
  }
  const std::vector<float> want = probe(full, beside);
  double scale = 1e-12;
  for (float v : want) scale = std::max(scale, std::fabs(static_cast<double>(v)));
  for (Candidate& candidate : candidates) {
    const auto packed = std::move(candidate.weights);
    pack({packed.get()});
    const std::vector<float> got = probe(packed);
    double worst = 0;
    for (size_t i = 0; i < want.size(); ++i)
      worst = std::max(worst, std::fabs(static_cast<double>(got[i]) - want[i]));
    if (!(worst / scale <= automatic_limit)) continue;
    weights_ = packed;
    report_.precision = candidate.precision;
    report_.precision_error = worst / scale;
    return;
  }
  pack({full.get()});
  weights_ = full;
  report_.precision = Precision::f32;
}

// All outputs for inputs of standard normal numbers.
std::vector<float> PackedModel::probe(std::shared_ptr<const Weights> weights, Weights* beside) const {
  CompileOptions options;
  options.threads = parts();
  const auto program = compile(graph_, weights, *kernels_, options);
  uint64_t stream = 0;
  for (const Binding& input : program->inputs) fill_normal(0, stream++, 0, input.data, input.shape.count());
  if (device_) return probe_device(*program, std::move(weights));
  constexpr List order[] = {List::schedule, List::observation, List::prepared, List::step};
  if (is_packed(*program)) {
    pool_->run([&](const Team& team) {
      for (const List list : order) {
        if (list == List::step && team.member == 0) select_call(*program, 0);
        run_list(*program, list, team);
      }
    });
  } else {
    PackingStream stream_of(graph_, *kernels_, *weights, beside);
    for (const List list : order) {
      if (list == List::step) select_call(*program, 0);
      run_packing(*program, list, stream_of);
    }
  }
  std::vector<float> all;
  for (const Binding& output : program->outputs)
    all.insert(all.end(), output.data, output.data + output.shape.count());
  return all;
}

// Runs a list once; matrices that are not packed yet are when their instruction's turn comes.
void PackedModel::run_packing(const Program& program, List list, PackingStream& stream) const {
  for (const Instruction& instruction : program.list(list)) {
    KernelArgs args = instruction.args;
    if (GemmArgs* gemm = std::get_if<GemmArgs>(&args); gemm != nullptr && gemm->weights == nullptr)
      gemm->weights = stream.matrices(instruction.product)[instruction.phase].data;
    pool_->run([&](const Team& team) {
      if (!instruction.solo) {
        dispatch(*program.kernels, args, {team.member, team.size}, [&] { team.sync(); });
      } else if (team.member == 0) {
        dispatch(*program.kernels, args, {0, 1}, [] {});
      }
    });
  }
}

// The same there, for inputs that lie in the program's memory here.
std::vector<float> PackedModel::probe_device(const Program& program,
                                             std::shared_ptr<const Weights> weights) const {
  const DeviceProgram there(queue_, program, std::make_shared<DeviceWeights>(queue_, std::move(weights)));
  const auto copy = [&](void* to, const void* from, const Binding& of) {
    device_->need(queue_->api().transfer(queue_->get(), to, from,
                                         static_cast<size_t>(of.shape.count()) * sizeof(float)));
  };
  for (const Binding& input : program.inputs) copy(there.at(input.data), input.data, input);
  for (const List list : {List::schedule, List::observation, List::prepared, List::step}) there.put(list);
  std::vector<float> all;
  for (const Binding& output : program.outputs) {
    std::vector<float> values(static_cast<size_t>(output.shape.count()));
    copy(values.data(), there.at(output.data), output);
    queue_->wait();
    all.insert(all.end(), values.begin(), values.end());
  }
  return all;
}

}  // namespace tendon
