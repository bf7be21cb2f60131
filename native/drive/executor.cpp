#include "drive/executor.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/error.h"
#include "realtime/resident.h"

namespace tendon {

namespace {

constexpr size_t most_ring_bytes = size_t{256} << 20;

void bump(std::atomic<uint64_t>& count, uint64_t by = 1) {
  count.store(count.load(std::memory_order_relaxed) + by, std::memory_order_relaxed);
}

}  // namespace

Executor::Executor(ExecutorOptions options)
    : options_(std::move(options)),
      stepper_(options_.step),
      ring_(static_cast<size_t>(std::max(1, options_.ring_rows)),
            ring_head + static_cast<size_t>(options_.step.joints)) {
  if (options_.lifetime_ns <= 0)
    throw BuildError("config_invalid", "executor: a command must live longer than 0 ns");
  if (ring_.bytes() > most_ring_bytes)
    throw BuildError("config_invalid",
                     format("executor: expected a ring of at most %zu MB, got %d rows of %d joints",
                            most_ring_bytes >> 20, options_.ring_rows, options_.step.joints));
  if (!options_.udp_host.empty())
    udp_ = std::make_unique<UdpSender>(options_.udp_host, options_.udp_port, options_.step.joints);
}

void Executor::start() {
  if (running()) return;
  refused_.clear();
  if (options_.lock_memory && !(keep_program_resident() && keep_resident(this, sizeof *this) &&
                                stepper_.keep_data_resident() && keep_resident(ring_.data(), ring_.bytes())))
    refused_ += format("locked memory (%s; see ulimit -l). ", std::strerror(errno));
  thread_ = start_thread([this] { loop(); });
  if (options_.fifo_priority > 0)
    if (const std::string why = prefer(thread_, options_.fifo_priority); !why.empty()) refused_ += why + ". ";
}

void Executor::close() {
  if (!running()) return;
  quit_.store(true, std::memory_order_relaxed);
  thread_.join();
  quit_.store(false, std::memory_order_relaxed);
}

void Executor::loop() {
  // Refused by the same limit as the rest, of which `start` has told.
  if (options_.lock_memory) (void)keep_stack_resident();
  Pace pace(monotonic_ns() + stepper_.options().period_ns, stepper_.options().period_ns);
  while (!quit_.load(std::memory_order_relaxed)) {
    sleep_until(pace.due_ns());
    const Pace::Turn turn = pace.wake(monotonic_ns());
    lateness_.add(turn.late_ns);
    bump(missed_, static_cast<uint64_t>(turn.missed));
    if (stepper_.step(turn.at_ns)) emit(turn.at_ns, false);
  }
}

void Executor::tick(int64_t at_ns) {
  if (stepper_.step(at_ns)) emit(at_ns, true);
}

void Executor::begin(const double* position) {
  stepper_.begin(position, monotonic_ns(), running() ? std::optional(elapsed_ns()) : std::nullopt);
}

void Executor::emit(int64_t at_ns, bool by_hand) {
  const double* values = stepper_.command();
  const int64_t expires_ns = at_ns + options_.lifetime_ns;
  const auto phase = static_cast<uint16_t>(stepper_.phase());
  if (udp_) {
    // Monotonic time means nothing to another machine.
    const int64_t ahead_ns = epoch_ns() - monotonic_ns();
    udp_->write(phase, sequence_ + 1, ahead_ns + at_ns, ahead_ns + expires_ns, values);
  }
  // This thread may have been stopped at any point up to here: the last look at the clock is the one that
  // counts.
  if (!by_hand && monotonic_ns() >= expires_ns) {
    bump(unsent_);
    return;
  }
  if (!stepper_.release(by_hand ? at_ns : elapsed_ns())) return;
  ++sequence_;
  if (udp_ && !udp_->send()) bump(unsent_);
  double* row = ring_.next();
  if (row == nullptr) {
    bump(ring_full_);
    return;
  }
  *row++ = static_cast<double>(sequence_);
  *row++ = static_cast<double>(at_ns);
  *row++ = static_cast<double>(expires_ns);
  *row++ = static_cast<double>(phase);
  std::copy_n(values, options_.step.joints, row);
  ring_.push();
}

}  // namespace tendon
