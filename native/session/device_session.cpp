// A session on a device: everything that changes from one inference to the next lies in one pinned block,
// which goes up in one copy; then the whole inference is one recording, the sample comes down and the driver
// calls back. Images go up before it, frames as the bytes they are (device_frames.h). Runs take turns on the
// session's own queue.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <tuple>

#include "backend/layout.h"
#include "sample/device_denoise.h"
#include "session/device_frames.h"
#include "session/program_session.h"

namespace tendon {

namespace {

// Takes the values of variables, which are left as new, and gives them back when it ends unless it was told
// to forget them.
template <class... T>
class Rollback {
 public:
  explicit Rollback(T&... variables) : variables_(variables...), kept_(std::move(variables)...) {
    variables_ = std::tuple<T...>();
  }
  ~Rollback() {
    if (!forgotten_) variables_ = std::move(kept_);
  }
  Rollback(const Rollback&) = delete;
  Rollback& operator=(const Rollback&) = delete;
  void forget() { forgotten_ = true; }

 private:
  std::tuple<T&...> variables_;
  std::tuple<T...> kept_;
  bool forgotten_ = false;
};

class DeviceSession : public ProgramSession {
 public:
  DeviceSession(std::shared_ptr<PackedModel> model, const SessionOptions& options)
      : ProgramSession(std::move(model), options), queue_(std::make_shared<DeviceQueue>(model_->device())) {
    build(1);
  }

  size_t arena_bytes() const override { return there_->bytes(); }

  void set_table(const SamplerTable& table, const std::map<std::string, std::vector<float>>& schedule,
                 float parallel_tolerance) override {
    if (parallel_tolerance > 0)
      throw BuildError("unsupported", "all calls at once are there on the CPU: parallel_tolerance 0");
    check_table(table, schedule, false);
    Rollback kept(program_, inputs_, outputs_, step_port_, table_, there_, below_, above_, results_, history_,
                  input_at_, result_at_, given_at_, start_at_, noise_at_, guidance_at_, prefix_at_,
                  weights_at_, uploaded_, denoise_, run_);
    table_ = table;
    build(static_cast<int>(table.rows.size()));
    for (size_t i = 0; i < inputs_.size(); ++i) {
      if (inputs_[i].stage != stage_schedule) continue;
      const std::vector<float>& values = schedule.at(inputs_[i].name);
      std::memcpy(place_of(static_cast<int>(i)), values.data(), values.size() * sizeof(float));
    }
    copy(above_.data(), below_.data(), given_at_);
    there_->put(List::schedule);
    queue_->wait();
    denoise_ = std::make_unique<DeviceRecording>(queue_, [this] { put_inference(); });
    kept.forget();
  }

  Status denoise(const DenoiseArgs& args, InferStats* stats) override {
    if (denoise_ == nullptr) return Status::not_ready;
    if (!has_all(args)) return Status::bad_argument;
    const int64_t begin = now_ns();
    if (const Status status = bring_all(args.inputs, stage_observation); status != Status::ok) return status;
    const SampleShape shape = sample_shape();
    const auto bring = [this](int64_t at, const float* from, int64_t count) {
      if (from != nullptr)
        std::memcpy(below_.floats() + at, from, static_cast<size_t>(count) * sizeof(float));
      else
        std::memset(below_.floats() + at, 0, static_cast<size_t>(count) * sizeof(float));
    };
    bring(start_at_, args.start, shape.count);
    bring(noise_at_, args.noise, shape.count * shape.noise_draws);
    bring(guidance_at_, &args.guidance, 1);
    // No prefix is one of weight 0.
    bring(prefix_at_, args.prefix, shape.horizon * shape.action_dim);
    bring(weights_at_, args.prefix_weights, shape.horizon);
    if (args.cancel != nullptr && args.cancel->load(std::memory_order_relaxed)) return Status::cancelled;
    const int64_t ready = now_ns();
    double device_ns = 0;
    if (!denoise_->play_timed(signal_, &device_ns)) return Status::device_failed;
    std::memcpy(args.out, results_.floats(), static_cast<size_t>(shape.count) * sizeof(float));
    if (stats != nullptr)
      *stats = {ready - begin, now_ns() - ready, static_cast<int>(table_.rows.size()),
                static_cast<int64_t>(device_ns)};
    return all_finite(args.out, shape.count) ? Status::ok : Status::not_finite;
  }

  Status run(const std::vector<Given>& inputs, const std::vector<Wanted>& outputs,
             InferStats* stats) override {
    const int64_t begin = now_ns();
    if (program_->options.calls != 1 || !has_all(outputs)) return Status::bad_argument;
    const Status status = bring_all(inputs, stage_schedule | stage_observation | stage_step);
    if (status != Status::ok) return status;
    double device_ns = 0;
    if (!run_->play_timed(signal_, &device_ns)) return Status::device_failed;
    bool finite = true;
    for (const Wanted& wanted : outputs) {
      const int64_t count = outputs_[wanted.port].shape.count();
      std::memcpy(wanted.data, results_.floats() + result_at_[wanted.port],
                  static_cast<size_t>(count) * sizeof(float));
      finite &= all_finite(wanted.data, count);
    }
    if (stats != nullptr) *stats = {now_ns() - begin, 0, 1, static_cast<int64_t>(device_ns)};
    return finite ? Status::ok : Status::not_finite;
  }

  // Each instruction by the device's clock, several in a row so that its beginning is not all there is.
  std::vector<InstructionReport> profile(int rounds) override {
    constexpr int in_a_row = 8;
    const cuda::Api& api = queue_->api();
    std::vector<InstructionReport> reports;
    for (const List list : all_lists)
      for (const Instruction& instruction : program_->list(list)) {
        std::vector<double> times(static_cast<size_t>(rounds));
        for (double& time : times) {
          const Device& device = queue_->device();
          device.need(api.mark_begin(queue_->get()));
          for (int i = 0; i < in_a_row; ++i) there_->put(instruction, 0);
          device.need(api.mark_end(queue_->get()));
          device.need(api.between(queue_->get(), &time));
        }
        std::nth_element(times.begin(), times.begin() + rounds / 2, times.end());
        reports.push_back({list_name(list), instruction.label, instruction.flops, instruction.bytes,
                           times[static_cast<size_t>(rounds / 2)] / in_a_row});
      }
    return reports;
  }

 private:
  float* place_of(int port) const override { return below_.floats() + input_at_[port]; }

  // An image: (count, height, width, channels), seen once an inference.
  static bool is_image(const ProgramPort& input) {
    return input.stage == stage_observation && input.shape.rank == 4;
  }

  // Images go into the queue on the way: a fault there is the device's.
  Status bring_all(const std::vector<Given>& given, Stage stages) {
    try {
      return take(given, stages) ? Status::ok : Status::bad_argument;
    } catch (const BuildError&) {
      return Status::device_failed;
    }
  }

  void bring(const Given& given) override {
    const auto port = static_cast<size_t>(given.port);
    const ProgramPort& input = program_->inputs[port];
    if (is_image(input) && given.frames != nullptr)
      return images_[port]->put(*given.frames, above_.floats() + input_at_[port]);
    ProgramSession::bring(given);
    if (is_image(input))
      copy(above_.floats() + input_at_[port], below_.floats() + input_at_[port], input.shape.count());
  }

  // Memory, and the recording of one run, for so many calls; the table is in force.
  void build(int calls) {
    adopt(compiled_for(calls, false));
    there_ = std::make_unique<DeviceProgram>(queue_, program_, model_->device_weights());
    Layout given, wanted;
    input_at_.assign(program_->inputs.size(), 0);
    const auto place = [&](bool images) {
      for (size_t i = 0; i < input_at_.size(); ++i)
        if (is_image(program_->inputs[i]) == images)
          input_at_[i] = given.add(program_->inputs[i].shape.count());
    };
    place(false);
    given_at_ = given.size();
    const SampleShape shape = sample_shape();
    start_at_ = given.add(shape.count);
    noise_at_ = given.add(shape.count * shape.noise_draws);
    guidance_at_ = given.add(1);
    prefix_at_ = given.add(shape.horizon * shape.action_dim);
    weights_at_ = given.add(shape.horizon);
    uploaded_ = given.size();
    place(true);
    images_.resize(input_at_.size());
    for (auto& image : images_)
      if (image == nullptr) image = std::make_unique<DeviceFrames>(queue_);
    result_at_.clear();
    for (const ProgramPort& output : program_->outputs)
      result_at_.push_back(wanted.add(output.shape.count()));
    below_ = DeviceBlock(queue_, given.bytes(), DeviceBlock::Kind::pinned);
    above_ = DeviceBlock(queue_, given.bytes());
    results_ = DeviceBlock(queue_, wanted.bytes(), DeviceBlock::Kind::pinned);
    history_ = DeviceBlock(queue_, static_cast<size_t>(4 * shape.count) * sizeof(float));
    // Inputs are read where they arrive.
    for (size_t i = 0; i < program_->inputs.size(); ++i)
      there_->bind_input(i, above_.floats() + input_at_[i]);
    queue_->wait();
    if (calls == 1) run_ = std::make_unique<DeviceRecording>(queue_, [this] { put_run(); });
  }

  void copy(void* to, const void* from, int64_t count) const {
    queue_->device().need(
        queue_->api().transfer(queue_->get(), to, from, static_cast<size_t>(count) * sizeof(float)));
  }

  void put_run() {
    copy(above_.data(), below_.data(), given_at_);
    for (const List list : all_lists) there_->put(list);
    for (size_t i = 0; i < program_->outputs.size(); ++i)
      copy(results_.floats() + result_at_[i], there_->output(i), program_->outputs[i].shape.count());
  }

  void put_inference() {
    const SampleShape shape = sample_shape();
    // The schedule's inputs and the step's lie before and between; they go along.
    copy(above_.data(), below_.data(), uploaded_);
    there_->put(List::observation);
    there_->put(List::prepared);
    DeviceDenoiseWork work{};
    work.program = there_.get();
    work.table = &table_;
    work.net_in = above_.floats() + input_at_[step_port_];
    work.net_out = there_->output(0);
    work.groups = groups_of();
    work.count = shape.count;
    work.row = inputs_[step_port_].shape.per_batch();
    work.action_dim = shape.action_dim;
    work.x = above_.floats() + start_at_;
    work.history = history_.floats();
    work.noise = above_.floats() + noise_at_;
    work.guidance = above_.floats() + guidance_at_;
    work.prefix = above_.floats() + prefix_at_;
    work.prefix_weights = above_.floats() + weights_at_;
    put_denoise(*queue_, work);
    copy(results_.floats(), work.x, shape.count);
  }

  static bool all_finite(const float* x, int64_t count) {
    bool finite = true;
    for (int64_t i = 0; i < count; ++i) finite &= std::isfinite(x[i]);
    return finite;
  }

  std::shared_ptr<DeviceQueue> queue_;
  std::unique_ptr<DeviceProgram> there_;
  // What is given, here and there, and where its pieces lie, in floats: a session's run takes up those before
  // given_at_, an inference those before uploaded_; images are behind.
  DeviceBlock below_, above_, results_, history_;
  std::vector<int64_t> input_at_, result_at_;
  int64_t given_at_ = 0, start_at_ = 0, noise_at_ = 0, guidance_at_ = 0, prefix_at_ = 0, weights_at_ = 0,
          uploaded_ = 0;
  std::vector<std::unique_ptr<DeviceFrames>> images_;  // by input
  DeviceSignal signal_;
  std::unique_ptr<DeviceRecording> denoise_, run_;
};

}  // namespace

std::unique_ptr<Session> open_device_session(std::shared_ptr<PackedModel> model,
                                             const SessionOptions& options) {
  return std::make_unique<DeviceSession>(std::move(model), options);
}

}  // namespace tendon
