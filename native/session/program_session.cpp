#include "session/program_session.h"

namespace tendon {

ProgramSession::ProgramSession(std::shared_ptr<PackedModel> model, const SessionOptions& options)
    : model_(std::move(model)), options_(options) {
  if (options.batch < 1 || options.batch > 1 << 16)
    throw BuildError("config_invalid", format("batch: expected 1 to 65536, got %d", options.batch));
  for (const std::string& name : options.outputs) model_->need_output(name);
}

std::vector<StageReport> ProgramSession::stages() const {
  std::vector<StageReport> reports;
  for (const List list : all_lists) {
    StageReport report{list_name(list)};
    for (const Instruction& instruction : program_->list(list)) {
      ++report.instructions;
      report.flops += instruction.flops;
      report.weight_bytes += instruction.bytes;
      report.matrix_products += std::holds_alternative<GemmArgs>(instruction.args);
    }
    reports.push_back(report);
  }
  return reports;
}

SampleShape ProgramSession::sample_shape() const {
  if (table_.rows.empty()) return {};
  const Shape& x = inputs_[step_port_].shape;
  return {x.count() / groups_of(), x.per_batch() / x.last(), x.last(), table_.noise_draws()};
}

ProgramSession::Compiled ProgramSession::compiled_for(int calls, bool parallel) const {
  CompileOptions options;
  options.batch = options_.batch;
  options.outputs = options_.outputs;
  options.calls = calls;
  options.parallel = parallel;
  Compiled c;
  c.program = model_->program(options);
  for (const ProgramPort& input : c.program->inputs) {
    Shape shape = input.shape;
    if (input.stage == stage_schedule || (parallel && input.stage & stage_step)) shape[0] /= calls;
    if (input.stage == stage_step) c.step_port = c.step_port == -1 ? static_cast<int>(c.inputs.size()) : -2;
    c.inputs.push_back({input.name, shape, input.stage});
  }
  for (const ProgramPort& output : c.program->outputs) {
    Shape shape = output.shape;
    if (parallel && output.stage & stage_step) shape[0] /= calls;
    c.outputs.push_back({output.name, shape, output.stage});
  }
  return c;
}

void ProgramSession::adopt(Compiled compiled) noexcept {
  program_ = std::move(compiled.program);
  inputs_ = std::move(compiled.inputs);
  outputs_ = std::move(compiled.outputs);
  step_port_ = compiled.step_port;
}

void ProgramSession::check_table(const SamplerTable& table,
                                 const std::map<std::string, std::vector<float>>& schedule,
                                 bool parallel) const {
  if (table.rows.empty()) throw BuildError("config_invalid", "a sampler table needs at least one row");
  const Port* x = step_input();
  if (x == nullptr) throw BuildError("graph_invalid", "denoising needs exactly one step input");
  if (outputs_.empty() || !(outputs_[0].shape == x->shape))
    throw BuildError("graph_invalid",
                     "denoising needs a first output of the shape of the step input " + x->shape.text());
  if (parallel && x->shape[0] != options_.batch)
    throw BuildError("unsupported", "all calls at once are there for one group: without guidance");
  for (const Port& port : inputs_) {
    if (port.stage != stage_schedule) continue;
    const auto it = schedule.find(port.name);
    const size_t want = static_cast<size_t>(port.shape.count()) * table.rows.size();
    if (it == schedule.end() || it->second.size() != want)
      throw BuildError("input_invalid", format("schedule input %s: expected %zu values (%zu calls), got %zu",
                                               port.name.c_str(), want, table.rows.size(),
                                               it == schedule.end() ? size_t{0} : it->second.size()));
  }
}

bool ProgramSession::has_all(const DenoiseArgs& args) const {
  return args.start != nullptr && args.out != nullptr &&
         (table_.noise_draws() == 0 || args.noise != nullptr) &&
         (args.prefix == nullptr) == (args.prefix_weights == nullptr);
}

bool ProgramSession::has_all(const std::vector<Wanted>& outputs) const {
  for (const Wanted& wanted : outputs)
    if (wanted.port < 0 || wanted.port >= static_cast<int>(outputs_.size()) || wanted.data == nullptr)
      return false;
  return true;
}

bool ProgramSession::take(const std::vector<Given>& given, Stage stages) {
  int expected = 0;
  for (const Port& port : inputs_) expected += (port.stage & stages) != 0;
  for (const Given& g : given) {
    if (g.port < 0 || g.port >= static_cast<int>(inputs_.size()) || g.empty()) return false;
    if ((inputs_[g.port].stage & stages) == 0) return false;
    const ProgramPort& input = program_->inputs[g.port];
    if (g.frames != nullptr && !(g.frames->shape() == input.shape)) return false;
    bring(g);
    --expected;
  }
  return expected == 0;
}

}  // namespace tendon
