// A thread that is always joined, however its owner ends: an unjoined std::thread ends the process.
#pragma once

#include <pthread.h>

#include <functional>
#include <memory>

namespace tendon {

class Thread {
 public:
  Thread() = default;
  // Runs `body`, which must not throw, with every signal blocked (they are Node's) and with a stack of 1 MiB,
  // wherever the C library would give less. Throws BuildError out_of_resources when the system has no thread.
  explicit Thread(std::function<void()> body);
  ~Thread() { join(); }
  Thread(Thread&& other) noexcept;
  Thread& operator=(Thread&& other) noexcept;
  Thread(const Thread&) = delete;
  Thread& operator=(const Thread&) = delete;

  // Waits for its end; the body must have been told to end by then.
  void join();
  bool running() const { return running_; }
  pthread_t handle() const { return handle_; }

 private:
  pthread_t handle_{};
  bool running_ = false;
};

}  // namespace tendon
