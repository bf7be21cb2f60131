// What the executor's and the limiter's objects read: limits, ways between rows, and arrays in place, since
// calls in every period allocate nothing.
#pragma once

#include <napi.h>

#include "drive/limiter.h"
#include "drive/track.h"

namespace tendon::addon {

// {lower, upper, velocity, acceleration?, jerk?}: lists of numbers.
Limits limits_of(const Napi::Value& value);
Interpolation interpolation_of(const Napi::Value& value);

Napi::Float64Array doubles_in(const Napi::Value& value, const char* what);
Napi::Float32Array floats_in(const Napi::Value& value, const char* what);

}  // namespace tendon::addon
