// What sessions on the CPU and on a device have in common: the compiled program, its ports, and which tables
// it takes.
#pragma once

#include <chrono>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "session/model.h"

namespace tendon {

inline int64_t now_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

class ProgramSession : public Session {
 public:
  // Throws BuildError for a batch or outputs that the model cannot have.
  ProgramSession(std::shared_ptr<PackedModel> model, const SessionOptions& options);
  const std::vector<Port>& inputs() const override { return inputs_; }
  const std::vector<Port>& outputs() const override { return outputs_; }
  std::string print() const override { return print_program(*program_); }
  std::vector<StageReport> stages() const override;
  SampleShape sample_shape() const override;

 protected:
  // A program for so many calls, and its ports. Nothing changes before it is adopted.
  struct Compiled {
    std::shared_ptr<const Program> program;
    std::vector<Port> inputs, outputs;
    int step_port = -1;
  };
  Compiled compiled_for(int calls, bool parallel) const;
  void adopt(Compiled compiled) noexcept;
  // Throws BuildError for a table or schedule that the network cannot be denoised with.
  void check_table(const SamplerTable& table, const std::map<std::string, std::vector<float>>& schedule,
                   bool parallel) const;
  // Whether a denoising call brings everything its table needs.
  bool has_all(const DenoiseArgs& args) const;
  bool has_all(const std::vector<Wanted>& outputs) const;
  // Writes what is given to where each input lies; true when every input of `stages` was given.
  bool take(const std::vector<Given>& given, Stage stages);
  // Where the numbers of an input are written before a run.
  virtual float* place_of(int port) const = 0;
  // Writes an input there, or brings it to where it is read in another way.
  virtual void bring(const Given& given) {
    given.write(place_of(given.port), program_->inputs[given.port].shape.count());
  }

  const Port* step_input() const { return step_port_ >= 0 ? &inputs_[step_port_] : nullptr; }
  int64_t groups_of() const { return inputs_[step_port_].shape[0] / options_.batch; }

  std::shared_ptr<PackedModel> model_;
  SessionOptions options_;
  std::shared_ptr<const Program> program_;
  std::vector<Port> inputs_, outputs_;
  int step_port_ = -1;
  SamplerTable table_;
};

// A session whose programs run on the model's device.
std::unique_ptr<Session> open_device_session(std::shared_ptr<PackedModel> model,
                                             const SessionOptions& options);

}  // namespace tendon
