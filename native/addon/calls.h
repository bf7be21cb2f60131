// What calls of sessions and planners share: named arrays in, matched with ports; statuses out.
#pragma once

#include <napi.h>

#include <map>
#include <string>
#include <vector>

#include "session/session.h"

namespace tendon::addon {

using Named = std::map<std::string, std::vector<float>>;

Named named_of(const Napi::Value& value, const char* what);
Napi::Value ports_to_js(Napi::Env env, const std::vector<Port>& ports);

// Pairs what was given with the ports of `stages`, complaining of every mistake in words. The result points
// into `named`.
std::vector<Given> match(const Named& named, const std::vector<Port>& ports, Stage stages);

// Statuses that mean a mistake of the caller are thrown; the rest are results.
void require(Status status);
// profile(rounds) → Promise<[{stage, label, flops, weight_bytes, ns}]>
Napi::Value profile_to_js(Napi::Env env, const std::vector<InstructionReport>& reports);
const char* status_name(Status status);

}  // namespace tendon::addon
