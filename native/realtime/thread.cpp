#include "realtime/thread.h"

#include <pthread.h>
#include <sched.h>
#if defined(__linux__)
#include <sys/prctl.h>
#endif

#include <cstring>
#include <utility>

#include "base/error.h"

namespace tendon {

Thread start_thread(std::function<void()> body) {
  return Thread([body = std::move(body)] {
#if defined(__linux__)
    // Without SCHED_FIFO the kernel may wake a sleeper 50 µs late to save a timer interrupt.
    prctl(PR_SET_TIMERSLACK, 1UL);
#endif
    body();
  });
}

std::string prefer(const Thread& thread, int fifo_priority) {
  sched_param wanted{};
  wanted.sched_priority = fifo_priority;
  const int why = pthread_setschedparam(thread.handle(), SCHED_FIFO, &wanted);
  if (why == 0) return "";
  return format("SCHED_FIFO priority %d (%s; see ulimit -r)", fifo_priority, std::strerror(why));
}

}  // namespace tendon
