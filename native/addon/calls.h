// What calls of sessions and planners share: named inputs in, matched with ports; statuses out.
#pragma once

#include <napi.h>

#include <atomic>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "addon/convert.h"
#include "addon/work.h"
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
template <class Profile>
Napi::Value profile_of(const Napi::CallbackInfo& info, const Lines& lines, Profile profile) {
  struct Job {
    int rounds = 0;
    std::vector<InstructionReport> reports;
  };
  return promise_of<Job>(
      info, lines, [&](Job& job) { job.rounds = static_cast<int>(integer_of(info[0], "rounds", 1, 10000)); },
      [profile](Job& job) { job.reports = profile(job.rounds); },
      [](Napi::Env env, Job& job) { return profile_to_js(env, job.reports); });
}
const char* status_name(Status status);

// `count` numbers under that name, held in `into`; null when there are none.
// `within` names the object in errors, such as "tape.".
const float* numbers_of(const Napi::Object& given, const char* name, std::vector<float>& into, int64_t count,
                        const char* within = "");
uint64_t seed_of(const Napi::Value& value);

// A token that ends a call early; none when it is undefined.
using Cancel = std::shared_ptr<std::atomic<bool>>;
Cancel cancel_of(const Napi::Object& given);

// What the answers of planners have in common.
void set_plan(Napi::Env env, Napi::Object& out, const std::vector<float>& actions, Status status,
              int64_t worst_count);

}  // namespace tendon::addon
