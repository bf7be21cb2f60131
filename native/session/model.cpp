#include "session/model.h"

#include <algorithm>
#include <cmath>
#include <utility>
#ifdef __GLIBC__
#include <malloc.h>
#endif

#include "backend/cpu/run.h"
#include "base/philox.h"
#include "compile/program.h"
#include "compile/rewrite.h"

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

}  // namespace

std::shared_ptr<Model> Model::make(Graph graph, const ModelOptions& options) {
  return std::make_shared<PackedModel>(std::move(graph), options);
}

PackedModel::PackedModel(Graph graph, const ModelOptions& options)
    : graph_(rewrite(graph)), kernels_(&select_kernels(options.isa.c_str())), pool_(options.pool) {
  const bool on_cpu = options.device.empty() || options.device == "cpu";
  if (!on_cpu) backend_ = open_cuda(options.device);
  // A device leaves the caller little to do.
  if (!pool_) pool_ = std::make_shared<Pool>(on_cpu ? 0 : 1);
  if (on_cpu) backend_ = open_cpu(pool_, *kernels_);
  kernels_ = backend_->capabilities().kernels;
  report_.isa = backend_->capabilities().name;
  report_.parameters = graph.parameter_count();
  report_.precision = options.precision;
  if (options.precision == Precision::automatic) {
    choose_precision();
  } else {
    weights_ = std::make_shared<Weights>(graph_, *kernels_, format_of(options.precision));
  }
  report_.packed_bytes = weights_->bytes();
  loaded_ = backend_->load(weights_);
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

std::shared_ptr<const Program> PackedModel::program(CompileOptions options) const {
  for (const std::string& name : options.outputs) need_output(name);
  options.threads = parts();
  const std::lock_guard lock(programs_guard_);
  std::weak_ptr<const Program>& known = programs_[options];
  std::shared_ptr<const Program> program = known.lock();
  if (program == nullptr) known = program = compile(graph_, *weights_, *kernels_, options);
  return program;
}

std::shared_ptr<const Program> PackedModel::program(int batch, std::vector<std::string> outputs) const {
  CompileOptions options;
  options.batch = batch;
  options.outputs = std::move(outputs);
  return program(std::move(options));
}

void add_observation_ports(const Program& program, std::vector<Port>& ports) {
  for (const ProgramPort& input : program.inputs) {
    if (input.stage != stage_observation) continue;
    const bool known =
        std::any_of(ports.begin(), ports.end(), [&](const Port& p) { return p.name == input.name; });
    if (!known) ports.push_back({input.name, input.shape, input.stage});
  }
}

void write_observation(const Bound& program, const Given& given, const std::string& name) {
  const auto& inputs = program.program().inputs;
  for (size_t i = 0; i < inputs.size(); ++i)
    if (inputs[i].stage == stage_observation && inputs[i].name == name)
      given.write(program.input(i), inputs[i].shape.count());
}

void profile_program(Stream& stream, const Executable& program, int rounds, const std::string& prefix,
                     std::vector<InstructionReport>& reports) {
  for (const List list : all_lists) {
    const std::vector<double> times = stream.time(program, list, rounds);
    for (size_t i = 0; i < times.size(); ++i) {
      const Instruction& instruction = program.program().list(list)[i];
      reports.push_back(
          {prefix + list_name(list), instruction.label, instruction.flops, instruction.bytes, times[i]});
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
  if (on_device()) {
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
  const auto program = compile(graph_, *weights, *kernels_, options);
  const bool is_packed = std::all_of(program->weights.begin(), program->weights.end(),
                                     [&](const WeightPart& part) { return weights->data(part) != nullptr; });
  if (is_packed) return probe_packed(program, std::move(weights));
  const Bound bound(program, weights);
  for (size_t i = 0; i < program->inputs.size(); ++i)
    fill_normal(0, i, 0, bound.input(i), program->inputs[i].shape.count());
  PackingStream stream(graph_, *kernels_, *weights, beside);
  for (const List list : all_lists) run_packing(bound, list, stream);
  std::vector<float> all;
  for (size_t i = 0; i < program->outputs.size(); ++i)
    all.insert(all.end(), bound.output(i), bound.output(i) + program->outputs[i].shape.count());
  return all;
}

std::vector<float> PackedModel::probe_packed(std::shared_ptr<const Program> program,
                                             std::shared_ptr<const Weights> weights) const {
  const auto stream = backend_->open_stream();
  const auto executable = stream->load(program, backend_->load(std::move(weights)));
  std::vector<std::vector<float>> inputs;
  for (size_t i = 0; i < program->inputs.size(); ++i) {
    const int64_t count = program->inputs[i].shape.count();
    inputs.emplace_back(static_cast<size_t>(count));
    fill_normal(0, i, 0, inputs[i].data(), count);
    stream->copy(executable->input(i), inputs[i].data(), inputs[i].size() * sizeof(float));
  }
  for (const List list : all_lists) stream->enqueue(*executable, list);
  std::vector<std::vector<float>> outputs;
  for (size_t i = 0; i < program->outputs.size(); ++i) {
    outputs.emplace_back(static_cast<size_t>(program->outputs[i].shape.count()));
    stream->copy(outputs[i].data(), executable->output(i), outputs[i].size() * sizeof(float));
  }
  stream->wait();
  std::vector<float> all;
  for (const auto& output : outputs) all.insert(all.end(), output.begin(), output.end());
  return all;
}

// Runs a list once; matrices that are not packed yet are when their instruction's turn comes.
void PackedModel::run_packing(const Bound& bound, List list, PackingStream& stream) const {
  const Program& program = bound.program();
  for (size_t i = 0; i < program.list(list).size(); ++i) {
    BoundInstruction instruction = bound.list(list)[i];
    if (auto* gemm = std::get_if<GemmArgs>(&instruction.args); gemm != nullptr && gemm->weights == nullptr) {
      const Ref& ref = program.list(list)[i].refs[static_cast<size_t>(ref_index(*gemm, &gemm->weights))];
      const WeightPart& part = program.weights[static_cast<size_t>(ref.index)];
      gemm->weights = stream.matrices(part.node)[static_cast<size_t>(part.phase)].data;
    }
    pool_->run([&](const Team& team) { run_instruction(*program.kernels, instruction, team); });
  }
}

}  // namespace tendon
