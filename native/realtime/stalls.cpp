#include "realtime/stalls.h"

#include "base/cores.h"
#include "realtime/clock.h"
#include "realtime/thread.h"

namespace tendon {

namespace {

constexpr int64_t period_ns = 1'000'000;
constexpr int fifo_priority = 90;

}  // namespace

Stalls::Stalls(int64_t least_ns) {
  const std::vector<int> cores = allowed_cores();
  if (cores.empty()) refused_ = "threads that stay on a processor";
  try {
    for (const int cpu : cores) watch_on(cpu, least_ns);
  } catch (...) {
    end();
    throw;
  }
}

Stalls::~Stalls() { end(); }

void Stalls::watch_on(int cpu, int64_t least_ns) {
  Watch& one = watches_.emplace_back(cpu, least_ns);
  try {
    one.thread = start_thread([&one] { watch(one); });
  } catch (...) {
    watches_.pop_back();
    throw;
  }
  if (!bind_to_core(one.thread.handle(), cpu)) refused_ = "threads that stay on a processor";
  if (std::string why = prefer(one.thread, fifo_priority); !why.empty()) refused_ = std::move(why);
}

void Stalls::end() {
  for (Watch& one : watches_) one.quit.store(true, std::memory_order_relaxed);
  watches_.clear();
}

void Stalls::watch(Watch& own) {
  Pace pace(monotonic_ns() + period_ns, period_ns);
  while (!own.quit.load(std::memory_order_relaxed)) {
    const int64_t due_ns = pace.due_ns();
    sleep_until(due_ns);
    const int64_t now_ns = monotonic_ns();
    if (pace.wake(now_ns).late_ns < own.least_ns) continue;
    double* row = own.ring.next();
    if (row == nullptr) continue;
    row[0] = static_cast<double>(due_ns);
    row[1] = static_cast<double>(now_ns);
    row[2] = own.cpu;
    own.ring.push();
  }
}

size_t Stalls::drain(double* out, size_t most) {
  size_t count = 0;
  for (Watch& one : watches_) count += one.ring.drain(out + count * stall_row, most - count);
  return count;
}

}  // namespace tendon
