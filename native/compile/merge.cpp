#include "compile/merge.h"

#include <map>
#include <string>

namespace tendon {

namespace {

// Longer constants are told apart by where they are, not by what they hold.
constexpr size_t compared_elements = 1 << 12;

template <class T>
void append(std::string& key, const T& value) {
  key.append(reinterpret_cast<const char*>(&value), sizeof value);
}

// What two nodes must share to be one; empty for inputs, which are the caller's.
std::string key_of(const Node& node, const std::vector<int>& inputs) {
  if (node.op == Op::input) return "";
  std::string key = function_name(node);
  key += '(';
  if (node.data) {
    for (int i = 0; i < node.shape.rank; ++i) append(key, node.shape[i]);
    append(key, node.data->dtype);
    if (node.data->file) {
      append(key, node.data->file.get());
      append(key, node.data->offset);
    } else if (node.data->own.size() <= compared_elements) {
      key.append(reinterpret_cast<const char*>(node.data->own.data()), node.data->own.size() * sizeof(float));
    } else {
      append(key, node.data.get());
    }
    key += '*';
    key.append(reinterpret_cast<const char*>(node.data->row_scale.data()),
               node.data->row_scale.size() * sizeof(float));
    return key;
  }
  for (const int input : inputs) append(key, input);
  key += ')';
  for (const double number : node.attrs.values) append(key, number);
  key += ';';
  for (const int64_t entry : node.attrs.list) append(key, entry);
  return key;
}

}  // namespace

Graph merge_equal(const Graph& from) {
  Graph to;
  std::vector<int> map(from.nodes().size());
  std::map<std::string, int> known;
  for (size_t id = 0; id < from.nodes().size(); ++id) {
    const Node& node = from.nodes()[id];
    std::vector<int> inputs;
    for (const int input : node.inputs) inputs.push_back(map[input]);
    const std::string key = key_of(node, inputs);
    const auto it = known.find(key);
    if (!key.empty() && it != known.end()) {
      map[id] = it->second;
      continue;
    }
    if (node.op == Op::input) {
      map[id] = to.input(node.name, node.shape, node.stage);
    } else if (node.data) {
      map[id] = to.adopt(node);
    } else {
      map[id] = to.add(node, inputs);
    }
    if (!key.empty()) known.emplace(key, map[id]);
  }
  for (const Output& output : from.outputs()) to.output(output.name, map[output.node]);
  return to;
}

}  // namespace tendon
