#include "graph/graph.h"

#include <bit>
#include <cmath>
#include <cstring>
#include <set>

#include "base/error.h"

namespace tendon {

namespace {

void check_shape(const std::string& what, const Shape& shape) {
  int64_t count = 1;
  for (int i = 0; i < shape.rank; ++i) {
    if (shape[i] < 1 || count > max_elements / shape[i])
      throw BuildError("graph_invalid",
                       what + ": expected positive dims of a sane size, got " + shape.text());
    count *= shape[i];
  }
}

float half_to_float(uint16_t h) {
  const uint32_t sign = static_cast<uint32_t>(h & 0x8000) << 16;
  uint32_t exponent = (h >> 10) & 0x1f, mantissa = h & 0x3ff;
  if (exponent == 0x1f) return std::bit_cast<float>(sign | 0x7f800000u | mantissa << 13);
  if (exponent == 0) return (sign ? -1.0f : 1.0f) * static_cast<float>(mantissa) * 0x1p-24f;
  return std::bit_cast<float>(sign | (exponent + 112) << 23 | mantissa << 13);
}

// Ops whose dim 0 may change or be mixed only among model values, which have no batch.
void check_batch(const Node& node, const std::vector<Node>& nodes) {
  if (node.stage == stage_model) return;
  const Node& x = nodes[node.inputs[0]];
  const auto reject = [&](const char* rule) {
    throw BuildError("graph_invalid", format("%s: dim 0 is the batch and %s; x is %s", op_info(node.op).name,
                                             rule, x.shape.text().c_str()));
  };
  if (op_info(node.op).facts.has_axis) {
    const int64_t axis = node.attrs.as<AxisAttrs>().axis;
    if (axis == 0 || axis == -x.shape.rank) reject("cannot be the axis");
  }
  switch (node.op) {
    case Op::reshape:
      // Rows of an observation are never multiplied by calls or candidates: frames may become columns.
      if (node.shape.rank < 2 || (node.shape[0] != x.shape[0] && node.stage != stage_observation))
        reject("must be kept, with at least one more dim");
      break;
    case Op::permute:
      if (node.attrs.list[0] != 0) reject("must stay first");
      break;
    case Op::expand:
      if (node.shape[0] != x.shape[0]) reject("must be kept");
      break;
    default:
      break;
  }
}

// Numbers of another type as f32.
void widen(DType dtype, const uint8_t* p, int64_t count, float* out) {
  const auto each = [&]<class T>(T, auto as_float) {
    for (int64_t i = 0; i < count; ++i) {
      T value;
      std::memcpy(&value, p + sizeof(T) * i, sizeof(T));
      out[i] = as_float(value);
    }
  };
  switch (dtype) {
    case DType::f32:
      return each(float{}, [](float x) { return x; });
    case DType::f16:
      return each(uint16_t{}, half_to_float);
    case DType::bf16:
      return each(uint16_t{},
                  [](uint16_t bits) { return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16); });
    case DType::i8:
      return each(int8_t{}, [](int8_t x) { return static_cast<float>(x); });
    case DType::i64:
      return each(int64_t{}, [](int64_t x) { return static_cast<float>(x); });
  }
}

}  // namespace

const char* stage_name(Stage stage) {
  constexpr const char* names[] = {"model", "schedule", "observation", "schedule+observation"};
  return stage & stage_step ? "step" : names[stage];
}

void TensorData::read(float* out, int64_t count, int64_t first, int64_t row) const {
  const size_t each = dtype_bytes(dtype);
  const size_t from = offset + static_cast<size_t>(first) * each;
  if (!file) {
    std::memcpy(out, own.data() + first, count * sizeof(float));
  } else if (dtype == DType::f32) {
    file->read(from, static_cast<size_t>(count) * each, out);
  } else {
    constexpr int64_t some = 4096;
    uint8_t raw[some * sizeof(int64_t)];
    for (int64_t done = 0; done < count; done += some) {
      const int64_t n = std::min(some, count - done);
      file->read(from + static_cast<size_t>(done) * each, static_cast<size_t>(n) * each, raw);
      widen(dtype, raw, n, out + done);
    }
  }
  if (row_scale.empty()) return;
  if (row == 0) row = count / static_cast<int64_t>(row_scale.size());
  for (int64_t i = 0; i < count; ++i) out[i] *= row_scale[static_cast<size_t>((first + i) / row)];
}

int Graph::push(Node node) {
  nodes_.push_back(std::move(node));
  return static_cast<int>(nodes_.size()) - 1;
}

int Graph::input(const std::string& name, const Shape& shape, Stage stage) {
  check_shape("input " + name, shape);
  if (shape.rank < 2)
    throw BuildError("graph_invalid", "input " + name + ": expected (batch, …), got " + shape.text());
  if (stage != stage_schedule && stage != stage_observation && stage != stage_step)
    throw BuildError("graph_invalid", "input " + name + ": its stage is schedule, observation or step");
  for (const Node& node : nodes_)
    if (node.op == Op::input && node.name == name)
      throw BuildError("graph_invalid", "input " + name + " is declared twice");
  Node node;
  node.op = Op::input;
  node.name = name;
  node.shape = shape;
  node.stage = stage;
  return push(std::move(node));
}

int Graph::weight(const std::string& name, const Shape& shape, DType dtype, std::shared_ptr<WeightFile> file,
                  size_t offset) {
  check_shape("weight " + name, shape);
  const size_t bytes = static_cast<size_t>(shape.count() * dtype_bytes(dtype));
  if (!file || offset > file->bytes() || bytes > file->bytes() - offset)
    throw BuildError("file_corrupt",
                     format("weight %s %s: bytes %zu + %zu lie outside its file of %zu bytes", name.c_str(),
                            shape.text().c_str(), offset, bytes, file ? file->bytes() : 0));
  Node node;
  node.op = Op::weight;
  node.name = name;
  node.shape = shape;
  node.data = std::make_shared<TensorData>();
  node.data->dtype = dtype;
  node.data->file = std::move(file);
  node.data->offset = offset;
  return push(std::move(node));
}

int Graph::constant(const Shape& shape, std::vector<float> values) {
  check_shape("constant", shape);
  if (static_cast<int64_t>(values.size()) != shape.count())
    throw BuildError("graph_invalid",
                     format("constant: expected %lld values for %s, got %zu",
                            static_cast<long long>(shape.count()), shape.text().c_str(), values.size()));
  Node node;
  node.op = Op::constant;
  node.shape = shape;
  node.data = std::make_shared<TensorData>();
  node.data->own = std::move(values);
  return push(std::move(node));
}

int Graph::adopt(const Node& source) {
  Node node;
  node.op = source.op;
  node.name = source.name;
  node.shape = source.shape;
  node.data = source.data;
  return push(std::move(node));
}

int Graph::scaled(const Node& source, const std::vector<float>& row_scale) {
  const int id = adopt(source);
  auto data = std::make_shared<TensorData>(*source.data);
  if (data->row_scale.empty()) data->row_scale.assign(row_scale.size(), 1.0f);
  for (size_t i = 0; i < row_scale.size(); ++i) data->row_scale[i] *= row_scale[i];
  nodes_[id].data = std::move(data);
  return id;
}

namespace {

// Whole numbers are kept small enough for shape rules to add them; a rule that multiplies them checks first.
void check_attrs(const std::string& function, const OpInfo& info, const Attrs& attrs) {
  constexpr double most = 1 << 30;
  if (attrs.values.size() > info.attrs.size())
    throw BuildError("graph_invalid", format("%s: expected at most %zu attributes, got %zu", function.c_str(),
                                             info.attrs.size(), attrs.values.size()));
  for (size_t i = 0; i < attrs.values.size(); ++i) {
    const double v = attrs.values[i];
    const bool fine = info.attrs[i].integer ? std::fabs(v) <= most && v == std::trunc(v) : std::isfinite(v);
    if (!fine)
      throw BuildError("graph_invalid",
                       format("%s %s: expected a %s number, got %g", function.c_str(), info.attrs[i].name,
                              info.attrs[i].integer ? "whole" : "finite", v));
  }
  for (const int64_t entry : attrs.list)
    if (entry < -static_cast<int64_t>(most) || entry > static_cast<int64_t>(most))
      throw BuildError("graph_invalid", format("%s: an entry of %lld is beyond any shape", function.c_str(),
                                               static_cast<long long>(entry)));
}

}  // namespace

int Graph::add(const std::string& function, std::vector<int> inputs, Attrs attrs) {
  const OpInfo* info = find_op(function);
  if (info == nullptr || info->facts.kind == OpKind::source)
    throw BuildError("graph_invalid",
                     "there is no op named " + function + "; opNames() lists those there are");
  Node node;
  node.op = info->op;
  node.unary = find_unary(function);
  node.binary = find_binary(function);
  if (node.op == Op::reduce) node.reduce = find_reduce(function);
  node.attrs = std::move(attrs);
  return check_in(std::move(node), std::move(inputs));
}

int Graph::add(Op op, std::vector<int> inputs, Attrs attrs) {
  Node node;
  node.op = op;
  node.attrs = std::move(attrs);
  return check_in(std::move(node), std::move(inputs));
}

int Graph::add(Binary function, int a, int b) {
  Node node;
  node.op = Op::binary;
  node.binary = function;
  return check_in(std::move(node), {a, b});
}

int Graph::add(const Node& like, std::vector<int> inputs) {
  Node node;
  node.op = like.op;
  node.unary = like.unary, node.binary = like.binary, node.reduce = like.reduce;
  node.attrs = like.attrs;
  return check_in(std::move(node), std::move(inputs));
}

int Graph::check_in(Node node, std::vector<int> inputs) {
  const OpInfo& info = op_info(node.op);
  const char* function = function_name(node);
  const int count = static_cast<int>(inputs.size());
  if (count < info.min_inputs || count > info.max_inputs)
    throw BuildError("graph_invalid", format("%s: expected %d to %d inputs, got %d", function,
                                             info.min_inputs, info.max_inputs, count));
  std::vector<Shape> shapes;
  for (int i = 0; i < count; ++i) {
    const int id = inputs[i];
    if (id < 0 || id >= static_cast<int>(nodes_.size()))
      throw BuildError("graph_invalid", format("%s: there is no value %d yet", function, id));
    shapes.push_back(nodes_[id].shape);
    node.stage |= nodes_[id].stage;
    // Weights of products and norms must be known at load.
    if (info.facts.data >= 0 && i != info.facts.data && nodes_[id].stage != stage_model)
      throw BuildError(
          "graph_invalid",
          format("%s: input %d must be a weight (for activations use matmul, mul, add)", function, i));
  }
  for (size_t i = node.attrs.values.size(); i < info.attrs.size(); ++i)
    node.attrs.values.push_back(info.attrs[i].fallback);
  check_attrs(function, info, node.attrs);
  node.inputs = std::move(inputs);
  node.shape = info.shape(node.attrs, shapes);
  check_shape(function, node.shape);
  check_batch(node, nodes_);
  return push(std::move(node));
}

void Graph::output(const std::string& name, int node) {
  if (node < 0 || node >= static_cast<int>(nodes_.size()))
    throw BuildError("graph_invalid", format("output %s: there is no value %d", name.c_str(), node));
  for (const Output& output : outputs_)
    if (output.name == name) throw BuildError("graph_invalid", "output " + name + " is declared twice");
  outputs_.push_back({name, node});
}

int64_t Graph::parameter_count() const {
  int64_t count = 0;
  std::set<std::string> counted;  // a network that is described in several places is one
  for (const Node& node : nodes_)
    if (node.op == Op::weight && counted.insert(node.name).second) count += node.shape.count();
  return count;
}

void Graph::verify() const {
  if (outputs_.empty()) throw BuildError("graph_invalid", "a graph needs at least one output");
  for (size_t id = 0; id < nodes_.size(); ++id) {
    const Node& node = nodes_[id];
    std::vector<Shape> shapes;
    Stage stage = node.op == Op::input ? node.stage : stage_model;
    for (int input : node.inputs) {
      if (input < 0 || input >= static_cast<int>(id))
        throw BuildError("graph_invalid",
                         format("node %zu reads value %d, which is not before it", id, input));
      shapes.push_back(nodes_[input].shape);
      stage |= nodes_[input].stage;
    }
    if (stage != node.stage) throw BuildError("graph_invalid", format("node %zu is in the wrong stage", id));
    if (op_info(node.op).facts.kind == OpKind::source) continue;
    const Shape shape = op_info(node.op).shape(node.attrs, shapes);
    if (!(shape == node.shape))
      throw BuildError("graph_invalid", format("node %zu (%s) should be %s, is %s", id, op_info(node.op).name,
                                               shape.text().c_str(), node.shape.text().c_str()));
  }
}

const char* function_name(const Node& node) {
  return node.op == Op::unary    ? unary_name(node.unary)
         : node.op == Op::binary ? binary_name(node.binary)
         : node.op == Op::reduce ? reduce_name(node.reduce)
                                 : op_info(node.op).name;
}

std::string print_graph(const Graph& graph) {
  std::string text;
  for (size_t id = 0; id < graph.nodes().size(); ++id) {
    const Node& node = graph.nodes()[id];
    text += format("%%%zu = %s", id, function_name(node));
    if (!node.name.empty()) text += " \"" + node.name + "\"";
    if (!node.inputs.empty()) {
      text += "(";
      for (size_t i = 0; i < node.inputs.size(); ++i) text += format(i ? ", %%%d" : "%%%d", node.inputs[i]);
      text += ")";
    }
    const OpInfo& info = op_info(node.op);
    for (size_t i = 0; i < info.attrs.size(); ++i)
      text += format(" %s=%g", info.attrs[i].name, node.attrs.values[i]);
    text += " " + node.shape.text() + " " + stage_name(node.stage) + "\n";
  }
  for (const Output& output : graph.outputs())
    text += format("%s = %%%d\n", output.name.c_str(), output.node);
  return text;
}

}  // namespace tendon
