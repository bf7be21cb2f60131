// A network ready for this machine: rewritten graph and packed weights, shared by all its sessions.
#pragma once

#include <map>
#include <memory>
#include <mutex>

#include "backend/backend.h"
#include "compile/bound.h"
#include "compile/weights.h"
#include "session/session.h"

namespace tendon {

class PackedModel : public Model {
 public:
  PackedModel(Graph graph, const ModelOptions& options);
  const ModelReport& report() const override { return report_; }
  bool on_device() const override { return !backend_->capabilities().shares_memory; }

  // Throws BuildError naming the outputs there are.
  void need_output(const std::string& name) const;

  // The program of those options for this model's threads, the same one for all who hold it.
  std::shared_ptr<const Program> program(CompileOptions options) const;
  // One of these outputs for `batch` rows.
  std::shared_ptr<const Program> program(int batch, std::vector<std::string> outputs) const;

  const Graph& graph() const { return graph_; }
  const KernelTable& kernels() const { return *kernels_; }
  std::shared_ptr<const Weights> weights() const { return weights_; }
  const std::shared_ptr<Pool>& pool() const { return pool_; }
  Backend& backend() const { return *backend_; }
  const std::shared_ptr<const LoadedWeights>& loaded_weights() const { return loaded_; }
  // Into how many parts a program's work is cut.
  int parts() const { return backend_->capabilities().parts; }

 private:
  void choose_precision();
  // `beside` is packed on the way, where matrices are packed one by one.
  std::vector<float> probe(std::shared_ptr<const Weights> weights, Weights* beside = nullptr) const;
  std::vector<float> probe_packed(std::shared_ptr<const Program> program,
                                  std::shared_ptr<const Weights> weights) const;
  void run_packing(const Bound& program, List list, PackingStream& stream) const;

  Graph graph_;
  const KernelTable* kernels_;
  std::shared_ptr<Pool> pool_;
  std::shared_ptr<const Weights> weights_;
  std::shared_ptr<Backend> backend_;
  std::shared_ptr<const LoadedWeights> loaded_;
  ModelReport report_;
  mutable std::mutex programs_guard_;
  mutable std::map<CompileOptions, std::weak_ptr<const Program>> programs_;
};

// Adds the program's observation inputs that are not among `ports` yet.
void add_observation_ports(const Program& program, std::vector<Port>& ports);
// Writes an observation input wherever the program has one of that name.
void write_observation(const Bound& program, const Given& given, const std::string& name);

// Appends every instruction of the program, timed; `prefix` goes before the stage's name.
void profile_program(Stream& stream, const Executable& program, int rounds, const std::string& prefix,
                     std::vector<InstructionReport>& reports);

}  // namespace tendon
