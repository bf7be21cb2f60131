// Names of the elementwise and reducing functions, listed once.
#pragma once

#include <string>
#include <vector>

#include "kernels/kernels.h"

namespace tendon {

const char* unary_name(Unary f);
const char* binary_name(Binary f);
const char* reduce_name(Reduce f);
Unary find_unary(const std::string& name);    // Unary::none when unknown
Binary find_binary(const std::string& name);  // Binary::count when unknown
int find_reduce(const std::string& name);     // −1 when unknown
std::vector<const char*> function_names();

}  // namespace tendon
