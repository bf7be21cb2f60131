// A network as a list of nodes in topological order, built node by node so that a mistake is reported where
// it is made. Shapes are fixed while building; the batch (dim 0) of step values is chosen when a program is
// compiled. Weights are references into files whose offsets the caller has checked; the graph checks again.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/memory.h"
#include "base/shape.h"
#include "ops/op.h"

namespace tendon {

// What a value depends on, as a set. Empty: the model alone. The stages of a program are these sets.
using Stage = uint8_t;
constexpr Stage stage_model = 0;
constexpr Stage stage_schedule = 1;     // the denoising call's σ or timestep
constexpr Stage stage_observation = 2;  // what the policy sees and wants: once per inference
constexpr Stage stage_step = 4;         // x_t: every denoising step

const char* stage_name(Stage stage);

// Whatever depends on x_t is the step's, whatever else it depends on.
constexpr Stage stage_class(Stage stage) { return stage & stage_step ? stage_step : stage; }

// A tensor in a file, or numbers held by the graph itself.
struct TensorData {
  DType dtype = DType::f32;
  std::shared_ptr<WeightFile> file;  // null: `own` holds the numbers
  size_t offset = 0;
  std::vector<float> own;
  std::vector<float> row_scale;  // what each row (of dim 0) is multiplied by; empty: nothing
  // Copies `count` numbers as f32, from number `first` on: the whole tensor, or rows of its dim 0, `row`
  // numbers each.
  void read(float* out, int64_t count, int64_t first = 0, int64_t row = 0) const;
};

struct Node {
  Op op = Op::input;
  std::vector<int> inputs;
  Attrs attrs;
  Unary unary = Unary::none;    // for Op::unary
  Binary binary = Binary::add;  // for Op::binary
  Reduce reduce = Reduce::sum;  // for Op::reduce
  Shape shape;
  Stage stage = stage_model;
  std::string name;                  // inputs, outputs and weights have one
  std::shared_ptr<TensorData> data;  // weight and constant
};

struct Output {
  std::string name;
  int node;
};

class Graph {
 public:
  // dim 0 of `shape` is the batch of the value: 1 (or the number of guidance groups) for schedule and
  // observation inputs; for step inputs it is a placeholder 1 that compile() multiplies by the batch.
  int input(const std::string& name, const Shape& shape, Stage stage);
  int weight(const std::string& name, const Shape& shape, DType dtype, std::shared_ptr<WeightFile> file,
             size_t offset);
  int constant(const Shape& shape, std::vector<float> values);
  // A weight or constant of another graph, whose numbers are shared.
  int adopt(const Node& source);
  // The same with its rows multiplied, where they are read.
  int scaled(const Node& source, const std::vector<float>& row_scale);
  // `function` is an op name of the table, or a unary, binary or reduce function.
  int add(const std::string& function, std::vector<int> inputs, Attrs attrs);
  // The same by op (none of the three families), by function, and what another node does with other inputs.
  int add(Op op, std::vector<int> inputs, Attrs attrs = {});
  int add(Binary function, int a, int b);
  int add(const Node& like, std::vector<int> inputs);
  void output(const std::string& name, int node);

  const std::vector<Node>& nodes() const { return nodes_; }
  const std::vector<Output>& outputs() const { return outputs_; }
  const Node& at(int id) const { return nodes_[id]; }
  int64_t parameter_count() const;
  // Checks every rule again over the whole graph, and that it has an output. Throws BuildError graph_invalid.
  void verify() const;

 private:
  int push(Node node);
  // Checks a node of which op, function and attributes are known, completes it and adds it.
  int check_in(Node node, std::vector<int> inputs);
  std::vector<Node> nodes_;
  std::vector<Output> outputs_;
};

// The name that Graph::add takes for the node: its op, or its elementwise or reducing function.
const char* function_name(const Node& node);

// One line per node: `%7 = linear(%3, %5, %6) (1, 512) observation`.
std::string print_graph(const Graph& graph);

}  // namespace tendon
