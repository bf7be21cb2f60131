#include "base/realtime.h"

#include <sys/mman.h>

namespace tendon {

bool lock_memory() { return mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) == 0; }

}  // namespace tendon
