#include "compile/lower.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "base/error.h"
#include "compile/fuse.h"
#include "compile/view.h"
#include "graph/functions.h"

namespace tendon {

namespace {

// An instruction under construction: arguments, and which of their pointers belong to which buffer.
template <class Args>
struct Draft {
  Args args{};
  Pending pending;

  template <class Pointer>
  void point(Pointer& field, const View& view, bool write = false) {
    const size_t at = static_cast<size_t>(reinterpret_cast<char*>(&field) - reinterpret_cast<char*>(&args));
    pending.fixes.push_back({at, view.buffer, view.offset, write});
  }
  Pending finish(std::string label, double flops) {
    pending.instruction.label = std::move(label);
    pending.instruction.flops = flops;
    pending.instruction.args = args;
    return std::move(pending);
  }
};

class Lowerer {
 public:
  Lowerer(const Graph& graph, const Weights& weights, const CompileOptions& options)
      : graph_(graph), weights_(weights), options_(options), fusion_(fuse(graph, options.batch)) {}

  Lowered run() {
    const int count = static_cast<int>(graph_.nodes().size());
    storage_.assign(count, -1);
    current_.assign(count, -1);
    find_live();
    find_guidance_groups();
    place_concats();
    for (int id = 0; id < count; ++id) {
      if (!live_[id]) continue;
      const Node& node = graph_.at(id);
      if (node.op == Op::input) {
        storage_[id] = add_buffer(rows_shape(id).count(), Keep::persistent);
        out_.inputs.push_back({node.name, rows_shape(id), node.stage, storage_[id]});
        if (list_of(id) == List::schedule) add_current(id);
      } else if (node.op == Op::concat) {
        lower_concat(id);
      } else if (fusion_.root[id] >= 0 && fusion_.tail[fusion_.root[id]].last == id) {
        lower_root(fusion_.root[id]);
      }
    }
    for (const Output& output : graph_.outputs()) {
      if (!is_wanted(output)) continue;
      const int id = output.node;
      const List list = list_of(id);
      const View view = dense(id, list);
      out_.buffers[view.buffer].keep =
          out_.buffers[view.buffer].keep == Keep::constant ? Keep::constant : Keep::persistent;
      out_.outputs.push_back({output.name, rows_shape(id), graph_.at(id).stage, view.buffer, view.offset});
    }
    return std::move(out_);
  }

 private:
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

  int add_buffer(int64_t count, Keep keep) {
    out_.buffers.push_back({count, keep, nullptr, nullptr});
    return static_cast<int>(out_.buffers.size()) - 1;
  }

  void add_current(int id) {
    if (options_.parallel) return;
    const int64_t count = graph_.at(id).shape.count();
    current_[id] = add_buffer(count, Keep::persistent);
    out_.buffers[storage_[id]].keep = Keep::persistent;
    out_.rows.push_back({storage_[id], current_[id], count});
  }

  // The value of `id` as a kernel of `list` reads it.
  View view(int id, List list) {
    const Node& node = graph_.at(id);
    if (storage_[id] < 0 && node.data) {
      storage_[id] = add_buffer(node.shape.count(), Keep::constant);
      out_.buffers[storage_[id]].constant = weights_.tensor(id);
    }
    if (storage_[id] >= 0) {
      if (placed_.count(id)) return placed_view(id);
      const bool one_call = in_table(id) && list == List::step && !options_.parallel;
      if (one_call && current_[id] < 0) add_current(id);
      if (list != list_of(id) && out_.buffers[storage_[id]].keep == Keep::scratch)
        out_.buffers[storage_[id]].keep = Keep::persistent;
      return View::dense(one_call ? current_[id] : storage_[id], one_call ? node.shape : rows_shape(id));
    }
    View v = view(node.inputs[0], list);
    switch (node.op) {
      case Op::slice: {
        const int axis = static_cast<int>((node.attrs.integer(0) + v.dim.rank) % v.dim.rank);
        v.offset += node.attrs.integer(1) * v.stride[axis];
        v.dim[axis] = node.attrs.integer(2);
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
        // The batch keeps its own stride; a model value has no batch and may be cut anywhere.
        const bool batched = node.stage != stage_model;
        if (!v.is_dense_from(batched ? 1 : 0)) v = dense(node.inputs[0], list);
        Shape s = node.shape;
        if (batched) s[0] = v.dim[0];
        View r = View::dense(v.buffer, s);
        r.offset = v.offset;
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

  int concat_axis(const Node& node) const {
    return static_cast<int>((node.attrs.integer(0) + node.shape.rank) % node.shape.rank);
  }

  void place_concats() {
    for (int id = 0; id < static_cast<int>(graph_.nodes().size()); ++id) {
      const Node& node = graph_.at(id);
      if (!live_[id] || node.op != Op::concat || concat_axis(node) == 0) continue;
      int64_t start = 0;
      for (int piece : node.inputs) {
        const int root = fusion_.root[piece];
        const bool fits = root >= 0 && fusion_.tail[root].last == piece && writes_strided(root) &&
                          graph_.at(piece).stage == node.stage &&
                          graph_.at(piece).shape[0] == node.shape[0] && !placed_.count(piece) &&
                          !is_output(piece) && !in_table(id);
        if (fits) placed_[piece] = {id, start};
        start += graph_.at(piece).shape[concat_axis(node)];
      }
    }
  }

  bool writes_strided(int root) const {
    const Node& node = graph_.at(root);
    return op_info(node.op).kind == OpKind::product && node.shape.rank == 3;
  }

  bool is_output(int id) const {
    for (const Output& output : graph_.outputs())
      if (output.node == id) return true;
    return false;
  }

  View placed_view(int id) {
    const Place& place = placed_.at(id);
    const int axis = concat_axis(graph_.at(place.concat));
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
    const int axis = concat_axis(node);
    const View whole = View::dense(concat_buffer(id), rows_shape(id));
    int64_t start = 0;
    for (int piece : node.inputs) {
      const int64_t length = graph_.at(piece).shape[axis];
      const auto place = placed_.find(piece);
      if (place == placed_.end() || place->second.concat != id) {
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

  // Operand of an elementwise loop over `out`: right-aligned vectors, broadcast axes with stride 0.
  struct Loop {
    int rank = 0;
    int64_t dim[max_rank];
    std::vector<std::array<int64_t, max_rank>> strides;  // by operand
    std::vector<int64_t> div;
  };

  static Loop make_loop(const Shape& out, const std::vector<const View*>& operands) {
    Loop loop;
    loop.rank = out.rank;
    for (int i = 0; i < out.rank; ++i) loop.dim[i] = out[i];
    for (const View* v : operands) {
      std::array<int64_t, max_rank> s{};
      const int shift = out.rank - v->dim.rank;
      for (int i = 0; i < v->dim.rank; ++i) s[i + shift] = v->dim[i] == 1 ? 0 : v->stride[i];
      loop.strides.push_back(s);
      loop.div.push_back(v->dim.rank == out.rank && v->dim[0] > 0 ? out[0] / v->dim[0] : 1);
    }
    collapse(loop);
    return loop;
  }

  // Joins neighbouring axes that every operand walks as one; axis 0 only when nothing is block broadcast.
  static void collapse(Loop& loop) {
    bool blocked = false;
    for (size_t o = 0; o < loop.div.size(); ++o) blocked |= loop.div[o] != 1 && loop.strides[o][0] != 0;
    for (int i = loop.rank - 2; i >= (blocked ? 1 : 0); --i) {
      bool joins = true;
      for (const auto& s : loop.strides) joins &= s[i] == s[i + 1] * loop.dim[i + 1];
      if (!joins) continue;
      loop.dim[i] *= loop.dim[i + 1];
      for (auto& s : loop.strides) s[i] = s[i + 1];
      for (int j = i + 1; j < loop.rank - 1; ++j) {
        loop.dim[j] = loop.dim[j + 1];
        for (auto& s : loop.strides) s[j] = s[j + 1];
      }
      --loop.rank;
    }
  }

  // Four axes as kernels want them: axis 0 stays first so that `div` applies to it, the others come last; a
  // single axis is innermost.
  static void fill(const Loop& loop, size_t o, int64_t dims[4], int64_t stride[4]) {
    const int pad = 4 - loop.rank;
    for (int i = 0; i < 4; ++i) {
      const int from = i == 0 && loop.rank > 1 ? 0 : i - pad;
      const bool real = from >= 0 && (i == 0 || from >= 1 || loop.rank == 1);
      dims[i] = real ? loop.dim[from] : 1;
      stride[i] = real ? loop.strides[o][from] : 0;
    }
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
    d.point(d.args.out, target, true);
    emit(list, d.finish(std::string("copy ") + why + " " + target.dim.text(), 0));
  }

  void lower_root(int root) {
    const Node& node = graph_.at(root);
    const int last = fusion_.tail[root].last;
    const List list = list_of(root);
    switch (node.op) {
      case Op::linear:
      case Op::conv1d:
      case Op::conv2d:
      case Op::conv_transpose1d:
        lower_product(root, list);
        break;
      case Op::unary: {
        Draft<UnaryArgs> d;
        const View x = dense(node.inputs[0], list), out = result(last);
        d.args = {node.unary, nullptr, nullptr, out.dim.count()};
        d.point(d.args.x, x);
        d.point(d.args.out, out, true);
        emit(list, d.finish(std::string(unary_name(node.unary)) + " " + out.dim.text(), 10.0 * d.args.count));
        break;
      }
      case Op::affine: {
        Draft<AffineArgs> d;
        const View x = dense(node.inputs[0], list), out = result(last);
        d.args = {nullptr, static_cast<float>(node.attrs.number(0)), static_cast<float>(node.attrs.number(1)),
                  nullptr, out.dim.count()};
        d.point(d.args.x, x);
        d.point(d.args.out, out, true);
        emit(list, d.finish("affine " + out.dim.text(), 2.0 * d.args.count));
        break;
      }
      case Op::binary:
        lower_binary(root, list);
        break;
      case Op::layer_norm:
      case Op::rms_norm:
        lower_norm(root, list);
        break;
      case Op::group_norm: {
        Draft<GroupNormArgs> d;
        const View x = dense(node.inputs[0], list), out = result(last);
        d.args = {nullptr,
                  out.dim[0],
                  x.positions(),
                  out.dim.last(),
                  node.attrs.integer(0),
                  static_cast<float>(node.attrs.number(1)),
                  weights_.tensor(node.inputs[1]),
                  weights_.tensor(node.inputs[2]),
                  fusion_.tail[root].act,
                  nullptr};
        d.point(d.args.x, x);
        d.point(d.args.out, out, true);
        emit(list, d.finish("group_norm " + out.dim.text(), 8.0 * out.dim.count()));
        break;
      }
      case Op::softmax: {
        Draft<SoftmaxArgs> d;
        const View x = dense(node.inputs[0], list), out = result(last);
        d.args = {nullptr, out.dim.count() / out.dim.last(), out.dim.last(), nullptr};
        d.point(d.args.x, x);
        d.point(d.args.out, out, true);
        emit(list, d.finish("softmax " + out.dim.text(), 12.0 * out.dim.count()));
        break;
      }
      case Op::attention:
        lower_attention(root, list);
        break;
      case Op::matmul: {
        Draft<MatmulArgs> d;
        const View a = dense(node.inputs[0], list), b = dense(node.inputs[1], list), out = result(last);
        d.args = {nullptr,
                  nullptr,
                  out.dim[0],
                  out.dim[1],
                  out.dim[2],
                  a.dim[2],
                  out.dim[0] / a.dim[0],
                  out.dim[0] / b.dim[0],
                  nullptr};
        d.point(d.args.a, a);
        d.point(d.args.b, b);
        d.point(d.args.out, out, true);
        emit(list, d.finish("matmul " + out.dim.text(), 2.0 * out.dim.count() * a.dim[2]));
        break;
      }
      case Op::reduce: {
        Draft<ReduceArgs> d;
        const View x = dense(node.inputs[0], list), out = result(last);
        const int axis = static_cast<int>((node.attrs.integer(0) + x.dim.rank) % x.dim.rank);
        d.args = {node.reduce, nullptr, 1, x.dim[axis], 1, nullptr};
        for (int i = 0; i < x.dim.rank; ++i)
          (i < axis ? d.args.outer : d.args.inner) *= i == axis ? 1 : x.dim[i];
        d.point(d.args.x, x);
        d.point(d.args.out, out, true);
        emit(list, d.finish(std::string(reduce_name(node.reduce)) + " " + x.dim.text(), 1.0 * x.dim.count()));
        break;
      }
      case Op::gather: {
        Draft<GatherArgs> d;
        const View table = view(node.inputs[0], list), index = dense(node.inputs[1], list),
                   out = result(last);
        d.args = {nullptr, table.dim[0], table.dim[1], nullptr, index.dim.count(), nullptr};
        d.point(d.args.table, table);
        d.point(d.args.index, index);
        d.point(d.args.out, out, true);
        emit(list, d.finish("gather " + out.dim.text(), 0));
        break;
      }
      case Op::max_pool2d: {
        Draft<MaxPoolArgs> d;
        const View x = dense(node.inputs[0], list), out = result(last);
        d.args.rows = window(x, out.dim, node.attrs.integer(0), node.attrs.integer(0), node.attrs.integer(1),
                             node.attrs.integer(1), node.attrs.integer(2), node.attrs.integer(2));
        d.point(d.args.rows.x, x);
        d.point(d.args.out, out, true);
        emit(list, d.finish("max_pool2d " + out.dim.text(),
                            1.0 * out.dim.count() * node.attrs.integer(0) * node.attrs.integer(0)));
        break;
      }
      default:
        throw BuildError("unsupported", std::string("no kernel computes ") + op_info(node.op).name);
    }
  }

  // Windows over a channels-last view of rank 3 (batch, time, c) or 4 (batch, h, w, c).
  static Rows window(const View& x, const Shape& out, int64_t taps_h, int64_t taps_w, int64_t stride_h,
                     int64_t stride_w, int64_t pad_h, int64_t pad_w) {
    const bool flat = x.dim.rank == 3;
    Rows r{};
    r.batch = x.dim[0];
    r.h = flat ? 1 : x.dim[1];
    r.w = flat ? x.dim[1] : x.dim[2];
    r.c = x.dim.last();
    r.taps_h = taps_h, r.taps_w = taps_w;
    r.stride_h = stride_h, r.stride_w = stride_w;
    r.pad_h = pad_h, r.pad_w = pad_w;
    r.out_h = flat ? 1 : out[1];
    r.out_w = flat ? out[1] : out[2];
    r.batch_stride = x.stride[0];
    r.position_stride = x.position_stride().value_or(x.dim.last());
    return r;
  }

  // x with channels side by side and one stride between positions, as windows need it.
  View walkable(int id, List list) {
    const View v = view(id, list);
    return v.channels_are_dense() && v.position_stride() ? v : dense(id, list);
  }

  void lower_product(int root, List list) {
    const Node& node = graph_.at(root);
    const Tail& tail = fusion_.tail[root];
    const View x = walkable(node.inputs[0], list);
    const Shape& w = graph_.at(node.inputs[1]).shape;
    const int bias_node = node.inputs.size() > 2 ? node.inputs[2] : tail.bias;
    const View bias = bias_node >= 0 ? dense(bias_node, list) : View{};
    const View out = result(tail.last);
    const std::vector<PackedMatrix>& packed = weights_.matrices(root);
    const int64_t phases = static_cast<int64_t>(packed.size());
    for (int64_t phase = 0; phase < phases; ++phase) {
      const PackedMatrix& matrix = packed[phase];
      Draft<GemmArgs> d;
      GemmArgs& g = d.args;
      g.n = matrix.n;
      g.format = matrix.format;
      g.weights = matrix.data.data();
      View target = out;
      int64_t row_stride = out.position_stride().value_or(out.dim.last());
      if (node.op == Op::linear) {
        g.rows.batch = x.dim[0];
        g.rows.w = g.rows.out_w = x.positions();
        g.rows.c = x.dim.last();
        g.rows.batch_stride = x.stride[0];
        g.rows.position_stride = *x.position_stride();
      } else if (node.op == Op::conv1d) {
        g.rows = window(x, out.dim, 1, w[2], 1, node.attrs.integer(0), 0, node.attrs.integer(1));
      } else if (node.op == Op::conv2d) {
        g.rows = window(x, out.dim, w[2], w[3], node.attrs.integer(0), node.attrs.integer(0),
                        node.attrs.integer(1), node.attrs.integer(1));
      } else {
        const int64_t stride = node.attrs.integer(0), pad = node.attrs.integer(1);
        const int64_t taps = matrix.k / x.dim.last(), first_tap = (phase + pad) % stride;
        g.rows = window(x, out.dim, 1, taps, 1, 1, 0, taps - 1 - (phase + pad - first_tap) / stride);
        g.rows.out_w = (out.dim[1] - phase + stride - 1) / stride;
        target.offset += phase * out.stride[1];
        row_stride = stride * out.stride[1];
      }
      d.point(g.rows.x, x);
      d.point(g.out, target, true);
      g.out_row_stride = row_stride;
      g.out_batch_stride = out.stride[0];
      if (bias.buffer >= 0) d.point(g.epilogue.bias, bias);
      if (phases > 1 && tail.residual >= 0)
        throw BuildError("internal", "a residual behind a transposed convolution");
      add_tail(d, tail, out, list);
      d.pending.uses_scratch = true;
      d.pending.instruction.bytes = static_cast<double>(matrix.data.bytes());
      const char* formats[] = {"f32", "bf16", "i8"};
      emit(list, d.finish(format("%s %s k=%lld %s%s", op_info(node.op).name, out.dim.text().c_str(),
                                 static_cast<long long>(matrix.k), formats[static_cast<int>(matrix.format)],
                                 tail_text(tail).c_str()),
                          2.0 * static_cast<double>(g.rows.count()) * static_cast<double>(g.n * matrix.k)));
    }
  }

  std::string tail_text(const Tail& t) const {
    std::string s;
    if (t.bias >= 0) s += " + row";
    if (t.norm >= 0) s += std::string(" + ") + op_info(graph_.at(t.norm).op).name;
    if (t.act != Unary::none) s += std::string(" + ") + unary_name(t.act);
    if (t.scale >= 0) s += " + scale";
    if (t.shift >= 0) s += " + shift";
    if (t.residual >= 0) s += " + residual";
    if (t.act_last != Unary::none) s += std::string(" + ") + unary_name(t.act_last);
    return s;
  }

  void add_tail(Draft<GemmArgs>& d, const Tail& tail, const View& out, List list) {
    Epilogue& e = d.args.epilogue;
    e.act = tail.act;
    e.act_last = tail.act_last;
    if (tail.norm >= 0) {
      const Node& norm = graph_.at(tail.norm);
      const bool whole_row = norm.op == Op::layer_norm;
      e.groups = whole_row ? 1 : norm.attrs.integer(0);
      e.eps = static_cast<float>(norm.attrs.number(whole_row ? 0 : 1));
      if (norm.inputs.size() > 1) d.point(e.norm_weight, view(norm.inputs[1], list));
      if (norm.inputs.size() > 2) d.point(e.norm_bias, view(norm.inputs[2], list));
    }
    for (const bool is_scale : {true, false}) {
      const int id = is_scale ? tail.scale : tail.shift;
      if (id < 0) continue;
      View v = view(id, list);
      if (!v.channels_are_dense()) v = dense(id, list);
      const int64_t stride = v.dim.rank == 1 ? 0 : v.stride[0];
      if (!is_scale && tail.scale >= 0 && stride != e.film_stride) {
        // Columns of different tables: give both the dense layout.
        v = v.is_dense() ? v : copy_of(v, list);
        View s = view(tail.scale, list);
        if (!s.is_dense()) {
          s = copy_of(s, list);
          for (Fix& fix : d.pending.fixes)
            if (fix.field == offset_of(d, e.scale)) fix.buffer = s.buffer, fix.offset = s.offset;
        }
      }
      e.film_stride = v.dim.rank == 1 ? 0 : v.stride[0];
      e.film_div = v.dim.rank == 1 ? 1 : out.dim[0] / v.dim[0];
      d.point(is_scale ? e.scale : e.shift, v);
    }
    if (tail.residual >= 0) {
      const View v = walkable(tail.residual, list);
      e.residual_div = out.dim[0] / v.dim[0];
      e.residual_batch_stride = v.stride[0];
      e.residual_row_stride = *v.position_stride();
      d.point(e.residual, v);
    }
  }

  template <class Args, class Field>
  static size_t offset_of(const Draft<Args>& d, const Field& field) {
    return static_cast<size_t>(reinterpret_cast<const char*>(&field) -
                               reinterpret_cast<const char*>(&d.args));
  }

  void lower_binary(int root, List list) {
    const Node& node = graph_.at(root);
    View a = view(node.inputs[0], list), b = view(node.inputs[1], list);
    const View out = result(fusion_.tail[root].last);
    Loop loop = make_loop(out.dim, {&a, &b, &out});
    if (loop.rank > 4) {
      a = dense(node.inputs[0], list), b = dense(node.inputs[1], list);
      loop = make_loop(out.dim, {&a, &b, &out});
      if (loop.rank > 4) throw BuildError("unsupported", "an elementwise op over five separate axes");
    }
    Draft<BinaryArgs> d;
    d.args.op = node.binary;
    fill(loop, 0, d.args.dims, d.args.a.stride);
    fill(loop, 1, d.args.dims, d.args.b.stride);
    d.args.a.div = loop.div[0], d.args.b.div = loop.div[1];
    d.point(d.args.a.x, a);
    d.point(d.args.b.x, b);
    d.point(d.args.out, out, true);
    emit(list, d.finish(std::string(binary_name(node.binary)) + " " + out.dim.text(), 1.0 * out.dim.count()));
  }

  void lower_norm(int root, List list) {
    const Node& node = graph_.at(root);
    Draft<NormArgs> d;
    const View x = dense(node.inputs[0], list), out = result(fusion_.tail[root].last);
    d.args = {node.op == Op::rms_norm ? Norm::rms : Norm::layer,
              nullptr,
              out.dim.count() / out.dim.last(),
              out.dim.last(),
              static_cast<float>(node.attrs.number(0)),
              nullptr,
              nullptr,
              fusion_.tail[root].act,
              nullptr};
    if (node.inputs.size() > 1) d.args.weight = weights_.tensor(node.inputs[1]);
    if (node.inputs.size() > 2) d.args.bias = weights_.tensor(node.inputs[2]);
    d.point(d.args.x, x);
    d.point(d.args.out, out, true);
    emit(list, d.finish(std::string(op_info(node.op).name) + " " + out.dim.text(), 8.0 * out.dim.count()));
  }

  void lower_attention(int root, List list) {
    const Node& node = graph_.at(root);
    Draft<AttentionArgs> d;
    const auto rows_of = [&](int i) {
      const View v = view(node.inputs[i], list);
      return v.channels_are_dense() ? v : dense(node.inputs[i], list);
    };
    const View q = rows_of(0), k = rows_of(1), v = rows_of(2), out = result(fusion_.tail[root].last);
    AttentionArgs& a = d.args;
    a.batch = out.dim[0];
    a.q_len = q.dim[1], a.k_len = k.dim[1];
    a.heads = node.attrs.integer(0);
    a.head_dim = q.dim[2] / a.heads;
    // q may be shared too; kernels read it one row each, so spread it.
    const View spread = q.dim[0] == a.batch ? q : spread_rows(q, a.batch, list);
    a.q_batch_stride = spread.stride[0], a.q_row_stride = spread.stride[1];
    a.k_div = a.batch / k.dim[0], a.k_batch_stride = k.stride[0], a.k_row_stride = k.stride[1];
    a.v_div = a.batch / v.dim[0], a.v_batch_stride = v.stride[0], a.v_row_stride = v.stride[1];
    const double given = node.attrs.number(1);
    a.scale = static_cast<float>(given != 0 ? given : 1.0 / std::sqrt(static_cast<double>(a.head_dim)));
    if (node.inputs.size() > 3) d.point(a.mask, dense(node.inputs[3], list));
    d.point(a.q, spread);
    d.point(a.k, k);
    d.point(a.v, v);
    d.point(a.out, out, true);
    emit(list, d.finish(format("attention %s heads=%lld keys=%lld", out.dim.text().c_str(),
                               static_cast<long long>(a.heads), static_cast<long long>(a.k_len)),
                        4.0 * static_cast<double>(out.dim.count() * a.k_len)));
  }

  View spread_rows(const View& v, int64_t batch, List list) {
    Shape s = v.dim;
    s[0] = batch;
    const View target = View::dense(add_buffer(s.count(), Keep::scratch), s);
    emit_copy(v, target, list, "spread");
    return target;
  }

  const Graph& graph_;
  const Weights& weights_;
  const CompileOptions& options_;
  const Fusion fusion_;
  std::vector<bool> live_;
  bool demote_ = false;
  std::vector<int> storage_;  // buffer by node, −1 while it has none (views)
  std::vector<int> current_;  // buffer of one call's row, by node of a table
  std::map<int, Place> placed_;
  Lowered out_;
};

}  // namespace

Lowered lower(const Graph& graph, const Weights& weights, const CompileOptions& options) {
  return Lowerer(graph, weights, options).run();
}

}  // namespace tendon
