// How many times this process has allocated; allocations.cpp replaces the global operator new to know.
#pragma once

#include <cstdint>

namespace tendon::test {

int64_t allocations();

}  // namespace tendon::test
