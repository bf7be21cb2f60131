// Where a conformance body runs: instruction sets, the emulated CUDA kernels and the CUDA device. Where there
// is no device its cases are counted as not run, with the reason.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "backend/cuda/device.h"
#include "session/session.h"
#include "test/check.h"

namespace tendon::test {

struct Target {
  std::string name;  // an instruction set, or a device
  bool is_device;
};

inline const Target reference{"reference", false};

// What this machine can run; the device's cases are counted where it cannot.
inline std::vector<Target> targets(int cases) {
  std::vector<Target> all = {{"", false}};
  if (runs_fibers()) {
    all.push_back({"cuda:emulated", true});
  } else {
    skip(cases, why_no_fibers);
  }
  static const std::string why = Device::why_no_cuda();
  if (why.empty()) {
    all.push_back({"cuda:0", true});
  } else {
    skip(cases, why);
  }
  return all;
}

inline std::shared_ptr<Model> model_on(const Target& target, Graph graph, Precision precision) {
  ModelOptions options;
  if (target.is_device) {
    options.device = target.name;
  } else {
    options.isa = target.name;
    options.pool = std::make_shared<Pool>(2);
  }
  options.precision = precision;
  return Model::make(std::move(graph), options);
}

}  // namespace tendon::test
