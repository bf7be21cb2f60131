// Finding a program's named memory while a planner is made.
#pragma once

#include <string>
#include <vector>

#include "base/error.h"
#include "compile/program.h"

namespace tendon {

inline const Binding* find_port(const std::vector<Binding>& ports, const std::string& name) {
  for (const Binding& port : ports)
    if (port.name == name) return &port;
  return nullptr;
}

// The port's memory, checked to be `count` floats (−1: any); null when it is optional and not there.
inline float* port_memory(const std::vector<Binding>& ports, const std::string& name, int64_t count,
                          bool optional = false) {
  const Binding* found = find_port(ports, name);
  if (found == nullptr && optional) return nullptr;
  if (found == nullptr) throw BuildError("graph_invalid", "a planner needs the port " + name);
  if (count >= 0 && found->shape.count() != count)
    throw BuildError("graph_invalid", format("planner port %s: expected %lld values, got %s", name.c_str(),
                                             static_cast<long long>(count), found->shape.text().c_str()));
  return found->data;
}

}  // namespace tendon
