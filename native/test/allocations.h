// How many times this process has taken memory: from the heap in any way, or by a mapping. allocations.cpp
// stands before the C library's functions to know.
#pragma once

#include <cstdint>

namespace tendon::test {

int64_t allocations();
// Whether that is all of them: under a sanitizer it is operator new alone.
bool counts_all();

}  // namespace tendon::test
