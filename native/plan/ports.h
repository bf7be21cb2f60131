// Finding a program's named memory while a planner is made.
#pragma once

#include <string>
#include <vector>

#include "base/error.h"
#include "compile/bound.h"

namespace tendon {

inline const ProgramPort* find_port(const std::vector<ProgramPort>& ports, const std::string& name) {
  for (const ProgramPort& port : ports)
    if (port.name == name) return &port;
  return nullptr;
}

// Checks that the port is there, unless it is optional, and holds `count` floats (−1: any); false without it.
inline bool need_port(const std::vector<ProgramPort>& ports, const std::string& name, int64_t count,
                      bool optional = false) {
  const ProgramPort* found = find_port(ports, name);
  if (found == nullptr && optional) return false;
  if (found == nullptr) throw BuildError("graph_invalid", "a planner needs the port " + name);
  if (count >= 0 && found->shape.count() != count)
    throw BuildError("graph_invalid", format("planner port %s: expected %lld values, got %s", name.c_str(),
                                             static_cast<long long>(count), found->shape.text().c_str()));
  return true;
}

// The memory of such a port; null when it is optional and not there.
inline float* input_memory(const Bound& program, const std::string& name, int64_t count,
                           bool optional = false) {
  return need_port(program.program().inputs, name, count, optional) ? program.input(name) : nullptr;
}
inline float* output_memory(const Bound& program, const std::string& name, int64_t count,
                            bool optional = false) {
  return need_port(program.program().outputs, name, count, optional) ? program.output(name) : nullptr;
}

}  // namespace tendon
