// Building may fail and explain itself: it throws BuildError, which the addon turns into a TendonError once.
// Running never throws: it returns a Status.
#pragma once

#include <cstdarg>
#include <stdexcept>
#include <string>

namespace tendon {

// The codes are those of src/types/errors.ts.
class BuildError : public std::runtime_error {
 public:
  BuildError(const char* code, const std::string& message) : std::runtime_error(message), code_(code) {}
  const char* code() const { return code_; }

 private:
  const char* code_;
};

// printf-style text for messages.
std::string format(const char* pattern, ...) __attribute__((format(printf, 1, 2)));

enum class Status : int {
  ok = 0,
  cancelled = 1,      // the caller asked to stop between two steps
  not_finite = 2,     // the result holds NaN or infinity
  bad_argument = 3,   // a length or name that the program does not have
  not_ready = 4,      // no sampler table has been set
  device_failed = 5,  // the accelerator reported a fault; its sessions give no more results
};

const char* status_text(Status status);

}  // namespace tendon
