#include "base/priority.h"

#include <pthread.h>
#include <sched.h>
#include <sys/resource.h>

#include <cerrno>
#include <cstring>

#include "base/error.h"

namespace tendon {

Preferred::Preferred(const Priority& priority) {
  if (priority.kind == Priority::Kind::round_robin) {
    sched_param before{}, wanted{};
    wanted.sched_priority = priority.level;
    refused_ = pthread_getschedparam(pthread_self(), &before_, &before);
    if (refused_ == 0) refused_ = pthread_setschedparam(pthread_self(), SCHED_RR, &wanted);
    before_level_ = before.sched_priority;
    if (refused_ == 0) changed_ = priority.kind;
  } else if (priority.kind == Priority::Kind::nice) {
    errno = 0;
    before_ = getpriority(PRIO_PROCESS, 0);  // on Linux the thread's
    if (errno == 0 && setpriority(PRIO_PROCESS, 0, priority.level) == 0) {
      changed_ = priority.kind;
    } else {
      refused_ = errno;
    }
  }
}

Preferred::~Preferred() {
  if (changed_ == Priority::Kind::round_robin) {
    sched_param before{};
    before.sched_priority = before_level_;
    pthread_setschedparam(pthread_self(), before_, &before);
  } else if (changed_ == Priority::Kind::nice) {
    setpriority(PRIO_PROCESS, 0, before_);
  }
}

std::string refusal_of(const Priority& priority) {
  // Behind others is where anyone may go, and not everyone may come back from.
  if (priority.kind == Priority::Kind::nice && priority.level >= 0) return "";
  const int why = Preferred(priority).refused();
  if (why == 0) return "";
  if (priority.kind == Priority::Kind::round_robin)
    return format("SCHED_RR priority %d (%s; see ulimit -r, or CAP_SYS_NICE)", priority.level,
                  std::strerror(why));
  return format("nice %d (%s; see ulimit -e, or CAP_SYS_NICE)", priority.level, std::strerror(why));
}

}  // namespace tendon
