// Where the values of a graph live while it is lowered: which list computes them, in which buffer, as which
// strided view of another's, and where in a concatenation.
#pragma once

#include <algorithm>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "compile/copier.h"
#include "compile/fuse.h"
#include "compile/loops.h"

namespace tendon {

class Values {
 public:
  Values(const Graph& graph, const Weights& weights, const CompileOptions& options)
      : graph_(graph), weights_(weights), options_(options), fusion_(fuse(graph, options.batch)) {}

 protected:
  // ---- what is wanted ----

  bool is_wanted(const Output& output) const {
    const auto& names = options_.outputs;
    return names.empty() || std::find(names.begin(), names.end(), output.name) != names.end();
  }

  void find_live() {
    live_.assign(graph_.nodes().size(), options_.outputs.empty());
    for (const Output& output : graph_.outputs())
      if (is_wanted(output)) live_[output.node] = true;
    for (int id = static_cast<int>(live_.size()) - 1; id >= 0; --id)
      if (live_[id])
        for (int input : graph_.at(id).inputs) live_[input] = true;
  }

  // ---- stages, lists and rows ----

  // Prepared values are computed for all calls at once only while their batch is the calls alone; with
  // guidance groups the rows could not be block broadcast, so they are computed again at each step.
  void find_guidance_groups() {
    for (const Node& node : graph_.nodes())
      if (node.stage == (stage_schedule | stage_observation) && node.shape[0] != 1) demote_ = true;
  }

  List list_of(int id) const {
    switch (graph_.at(id).stage) {
      case stage_model:
      case stage_observation:
        return List::observation;
      case stage_schedule:
        return List::schedule;
      case stage_schedule | stage_observation:
        return demote_ ? List::step : List::prepared;
      default:
        return List::step;
    }
  }

  bool in_table(int id) const {
    const List list = list_of(id);
    return list == List::schedule || list == List::prepared;
  }

  // Batch rows of a node's own storage.
  int64_t rows(int id) const {
    const Node& node = graph_.at(id);
    if (node.stage == stage_model) return node.shape.rank ? node.shape[0] : 1;
    const int64_t calls = options_.calls;
    if (node.stage & stage_step) return node.shape[0] * options_.batch * (options_.parallel ? calls : 1);
    return in_table(id) ? node.shape[0] * calls : node.shape[0];
  }

  Shape rows_shape(int id) const {
    Shape s = graph_.at(id).shape;
    if (s.rank > 0) s[0] = rows(id);
    return s;
  }

  // ---- buffers and views ----

  int add_buffer(int64_t count, Keep keep, int index = 0) {
    out_.buffers.push_back({count, keep, index});
    return static_cast<int>(out_.buffers.size()) - 1;
  }

  // The buffer of a piece of the weights, which is one however often it is read.
  int weight_buffer(const WeightPart& part, int64_t count) {
    const auto [it, is_new] = weight_buffers_.try_emplace({part.node, part.phase}, -1);
    if (is_new) {
      it->second = add_buffer(count, Keep::weight, static_cast<int>(out_.weights.size()));
      out_.weights.push_back(part);
    }
    return it->second;
  }

  // A weight that is read as the numbers it is.
  View tensor(int id) {
    const Shape& shape = graph_.at(id).shape;
    return View::dense(weight_buffer(weights_.tensor_part(id), shape.count()), shape);
  }

  // The value of `id` as a kernel of `list` reads it.
  View view(int id, List list) {
    const Node& node = graph_.at(id);
    if (storage_[id] < 0 && node.data) storage_[id] = tensor(id).buffer;
    if (storage_[id] >= 0) {
      if (placed_.count(id)) return placed_view(id);
      if (list != list_of(id) && out_.buffers[storage_[id]].keep == Keep::scratch)
        out_.buffers[storage_[id]].keep = Keep::persistent;
      // A step reads the row of its call.
      const bool one_call = in_table(id) && list == List::step && !options_.parallel;
      View v = View::dense(storage_[id], one_call ? node.shape : rows_shape(id));
      if (one_call) v.per_call = node.shape.count();
      return v;
    }
    View v = view(node.inputs[0], list);
    switch (node.op) {
      case Op::slice: {
        const auto [given, start, length] = node.attrs.as<SliceAttrs>();
        const int axis = static_cast<int>((given + v.dim.rank) % v.dim.rank);
        v.offset += start * v.stride[axis];
        v.dim[axis] = length;
        return v;
      }
      case Op::permute: {
        View p = v;
        for (int i = 0; i < v.dim.rank; ++i) {
          p.dim[i] = v.dim[static_cast<int>(node.attrs.list[i])];
          p.stride[i] = v.stride[node.attrs.list[i]];
        }
        return p;
      }
      case Op::expand:
        for (int i = node.stage == stage_model ? 0 : 1; i < v.dim.rank; ++i)
          if (v.dim[i] != node.shape[i]) v.dim[i] = node.shape[i], v.stride[i] = 0;
        return v;
      case Op::reshape: {
        // The batch keeps its own stride; where it is not kept (graph.cpp, check_batch) a value is cut
        // anywhere.
        const bool batched = node.stage != stage_model && node.shape[0] == graph_.at(node.inputs[0]).shape[0];
        if (!v.is_dense_from(batched ? 1 : 0)) v = dense(node.inputs[0], list);
        Shape s = node.shape;
        if (batched) s[0] = v.dim[0];
        View r = View::dense(v.buffer, s);
        r.offset = v.offset;
        r.per_call = v.per_call;
        if (batched) r.stride[0] = v.stride[0];
        return r;
      }
      default:
        throw BuildError("internal",
                         std::string("lowering met ") + op_info(node.op).name + " before its value");
    }
  }

  // The value laid out without gaps, copied once in the list where it is first known.
  View dense(int id, List list) {
    const View v = view(id, list);
    if (v.is_dense()) return v;
    if (storage_[id] >= 0) return copy_of(v, list);  // placed inside a concat
    const List own = list_of(id);
    const View source = view(id, own);
    const int buffer = add_buffer(rows_shape(id).count(), Keep::scratch);
    const View target = View::dense(buffer, rows_shape(id));
    emit_copy(source, target, own, "dense");
    storage_[id] = buffer;
    return view(id, list);
  }

  View copy_of(const View& v, List list) {
    const View target = View::dense(add_buffer(v.dim.count(), Keep::scratch), v.dim);
    emit_copy(v, target, list, "dense");
    return target;
  }

  // ---- concat: pieces are written in place where their kernel can ----

  struct Place {
    int concat;
    int64_t start;
  };

  void place_concats() {
    for (int id = 0; id < static_cast<int>(graph_.nodes().size()); ++id) {
      const Node& node = graph_.at(id);
      if (!live_[id] || node.op != Op::concat || axis_of(node) == 0) continue;
      int64_t start = 0;
      for (int piece : node.inputs) {
        const int root = fusion_.root[piece];
        const bool fits = root >= 0 && fusion_.tail[root].last == piece && writes_strided(root) &&
                          graph_.at(piece).stage == node.stage &&
                          graph_.at(piece).shape[0] == node.shape[0] && !placed_.count(piece) &&
                          !is_output(piece) && !in_table(id);
        if (fits) placed_[piece] = {id, start};
        start += graph_.at(piece).shape[axis_of(node)];
      }
    }
  }

  bool writes_strided(int root) const {
    const Node& node = graph_.at(root);
    return op_info(node.op).is_product() && node.shape.rank == 3;
  }

  bool is_output(int id) const {
    for (const Output& output : graph_.outputs())
      if (output.node == id) return true;
    return false;
  }

  View placed_view(int id) {
    const Place& place = placed_.at(id);
    const int axis = axis_of(graph_.at(place.concat));
    View v = View::dense(concat_buffer(place.concat), rows_shape(place.concat));
    v.offset = place.start * v.stride[axis];
    v.dim[axis] = graph_.at(id).shape[axis];
    return v;
  }

  int concat_buffer(int concat) {
    if (storage_[concat] < 0) storage_[concat] = add_buffer(rows_shape(concat).count(), Keep::scratch);
    return storage_[concat];
  }

  void lower_concat(int id) {
    const Node& node = graph_.at(id);
    const List list = list_of(id);
    const int axis = axis_of(node);
    const View whole = View::dense(concat_buffer(id), rows_shape(id));
    int64_t start = 0;
    for (int piece : node.inputs) {
      const int64_t length = graph_.at(piece).shape[axis];
      const auto place = placed_.find(piece);
      // A piece may stand in a concat more than once, and is written in place for one of them alone.
      if (place == placed_.end() || place->second.concat != id || place->second.start != start) {
        View target = whole;
        target.offset = start * whole.stride[axis];
        target.dim[axis] = length;
        emit_copy(view(piece, list), target, list, "concat");
      }
      start += length;
    }
  }

  // ---- instructions ----

  void emit(List list, Pending pending) { out_.lists[static_cast<int>(list)].push_back(std::move(pending)); }

  // The result of a root: its own buffer, or its place in a concat.
  View result(int id) {
    if (placed_.count(id)) {
      const View v = placed_view(id);
      storage_[id] = v.buffer;
      return v;
    }
    storage_[id] = add_buffer(rows_shape(id).count(), Keep::scratch);
    return View::dense(storage_[id], rows_shape(id));
  }

  void emit_copy(const View& source, const View& target, List list, const char* why) {
    Draft<CopyArgs> d;
    const Loop loop = make_loop(target.dim, {&source, &target});
    if (loop.rank > 4) throw BuildError("unsupported", "a copy over five separate axes");
    int64_t dims[4];
    fill(loop, 0, d.args.dims, d.args.a.stride);
    fill(loop, 1, dims, d.args.out_stride);
    d.args.a.div = loop.div[0];
    d.point(d.args.a.x, source);
    d.point(d.args.out, target);
    emit(list, d.finish(std::string("copy ") + why + " " + target.dim.text(), 0));
  }

  const Graph& graph_;
  const Weights& weights_;
  const CompileOptions& options_;
  const Fusion fusion_;
  std::vector<bool> live_;
  bool demote_ = false;
  std::vector<int> storage_;                           // buffer by node, −1 while it has none (views)
  std::map<std::pair<int, int>, int> weight_buffers_;  // by node and phase
  std::map<int, Place> placed_;
  Lowered out_;
};

}  // namespace tendon
