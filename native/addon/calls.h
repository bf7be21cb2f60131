// What calls of sessions and planners share: named inputs in, matched with ports; statuses out.
#pragma once

#include <napi.h>

#include <map>
#include <string>
#include <vector>

#include "session/session.h"

namespace tendon::addon {

using Named = std::map<std::string, std::vector<float>>;

// What a call's inputs are: numbers, or frames of a camera that become numbers where the call is made.
struct Inputs {
  Named numbers;
  std::map<std::string, Frames> frames;
};

Named named_of(const Napi::Value& value, const char* what);
// {name: Float32Array | {data: [Uint8Array], height, width, channels, values, resize?, crop?}}
Inputs inputs_of(const Napi::Value& value, const char* what);
Napi::Value ports_to_js(Napi::Env env, const std::vector<Port>& ports);

// Pairs what was given with the ports of `stages`, complaining of every mistake in words. The result points
// into `inputs`.
std::vector<Given> match(Inputs& inputs, const std::vector<Port>& ports, Stage stages);

// Statuses that mean a mistake of the caller are thrown; the rest are results.
void require(Status status);
// profile(rounds) → Promise<[{stage, label, flops, weight_bytes, ns}]>
Napi::Value profile_to_js(Napi::Env env, const std::vector<InstructionReport>& reports);
const char* status_name(Status status);

}  // namespace tendon::addon
