#include "base/thread.h"

#include <signal.h>

#include <cstring>
#include <utility>

#include "base/error.h"

namespace tendon {

namespace {

constexpr size_t stack_bytes = size_t{1} << 20;

void* run(void* body) {
  const auto own = std::unique_ptr<std::function<void()>>(static_cast<std::function<void()>*>(body));
  (*own)();
  return nullptr;
}

}  // namespace

Thread::Thread(std::function<void()> body) {
  auto kept = std::make_unique<std::function<void()>>(std::move(body));
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, stack_bytes);
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  const int failed = pthread_create(&handle_, &attributes, run, kept.get());
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  pthread_attr_destroy(&attributes);
  if (failed != 0)
    throw BuildError(
        "out_of_resources",
        format("the system gives this process no further thread: %s (see ulimit -u, and the pids "
               "limit of the container or service)",
               std::strerror(failed)));
  (void)kept.release();  // the thread's
  running_ = true;
}

Thread::Thread(Thread&& other) noexcept
    : handle_(other.handle_), running_(std::exchange(other.running_, false)) {}

Thread& Thread::operator=(Thread&& other) noexcept {
  if (this == &other) return *this;
  join();
  handle_ = other.handle_;
  running_ = std::exchange(other.running_, false);
  return *this;
}

void Thread::join() {
  if (std::exchange(running_, false)) pthread_join(handle_, nullptr);
}

}  // namespace tendon
