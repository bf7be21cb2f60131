#pragma once

namespace tendon {

// Prints times of chunks beside busy processes.
void busy();

}  // namespace tendon
