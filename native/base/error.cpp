#include "base/error.h"

#include <cstdio>

namespace tendon {

std::string format(const char* pattern, ...) {
  char buffer[1024];
  va_list args;
  va_start(args, pattern);
  std::vsnprintf(buffer, sizeof buffer, pattern, args);
  va_end(args);
  return buffer;
}

const char* status_text(Status status) {
  switch (status) {
    case Status::ok:
      return "ok";
    case Status::cancelled:
      return "cancelled between two steps";
    case Status::not_finite:
      return "the network produced NaN or infinity";
    case Status::bad_argument:
      return "an input has a name or length that the program does not have";
    case Status::not_ready:
      return "no sampler table has been set";
    case Status::device_failed:
      return "the accelerator reported a fault; load the model again or on another device";
  }
  return "unknown status";
}

}  // namespace tendon
