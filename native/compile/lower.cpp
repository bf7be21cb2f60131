#include "compile/lower.h"

#include <cmath>

#include "base/error.h"
#include "compile/loops.h"
#include "compile/values.h"
#include "ops/functions.h"

namespace tendon {

namespace {

class Lowerer : Values {
 public:
  using Values::Values;

  Lowered run() {
    const int count = static_cast<int>(graph_.nodes().size());
    storage_.assign(count, -1);
    find_live();
    find_guidance_groups();
    place_concats();
    for (int id = 0; id < count; ++id) {
      if (!live_[id]) continue;
      const Node& node = graph_.at(id);
      if (node.op == Op::input) {
        storage_[id] = add_buffer(rows_shape(id).count(), Keep::input, static_cast<int>(out_.inputs.size()));
        out_.inputs.push_back({node.name, rows_shape(id), node.stage, {storage_[id]}});
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
      Keep& keep = out_.buffers[view.buffer].keep;
      if (keep == Keep::scratch) keep = Keep::persistent;
      out_.outputs.push_back({output.name, rows_shape(id), graph_.at(id).stage, {view.buffer, view.offset}});
    }
    return std::move(out_);
  }

 private:
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
        d.point(d.args.out, out);
        emit(list, d.finish(std::string(unary_name(node.unary)) + " " + out.dim.text(), 10.0 * d.args.count));
        break;
      }
      case Op::affine: {
        Draft<AffineArgs> d;
        const View x = dense(node.inputs[0], list), out = result(last);
        const auto [mul, add] = node.attrs.as<AffineAttrs>();
        d.args = {nullptr, static_cast<float>(mul), static_cast<float>(add), nullptr, out.dim.count()};
        d.point(d.args.x, x);
        d.point(d.args.out, out);
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
        const auto [groups, eps] = node.attrs.as<GroupNormAttrs>();
        d.args = {.batch = out.dim[0],
                  .positions = x.positions(),
                  .channels = out.dim.last(),
                  .groups = groups,
                  .eps = static_cast<float>(eps),
                  .act = fusion_.tail[root].act};
        d.point(d.args.weight, tensor(node.inputs[1]));
        d.point(d.args.bias, tensor(node.inputs[2]));
        d.point(d.args.x, x);
        d.point(d.args.out, out);
        emit(list, d.finish("group_norm " + out.dim.text(), 8.0 * out.dim.count()));
        break;
      }
      case Op::softmax: {
        Draft<SoftmaxArgs> d;
        const View x = dense(node.inputs[0], list), out = result(last);
        d.args = {nullptr, out.dim.count() / out.dim.last(), out.dim.last(), nullptr};
        d.point(d.args.x, x);
        d.point(d.args.out, out);
        emit(list, d.finish("softmax " + out.dim.text(), 12.0 * out.dim.count()));
        break;
      }
      case Op::attention:
        lower_attention(root, list);
        break;
      case Op::matmul: {
        Draft<MatmulArgs> d;
        const View a = dense(node.inputs[0], list), b = dense(node.inputs[1], list), out = result(last);
        d.args = {.batch = out.dim[0],
                  .m = out.dim[1],
                  .n = out.dim[2],
                  .k = a.dim[2],
                  .a_div = out.dim[0] / a.dim[0],
                  .b_div = out.dim[0] / b.dim[0]};
        d.point(d.args.a, a);
        d.point(d.args.b, b);
        d.point(d.args.out, out);
        emit(list, d.finish("matmul " + out.dim.text(), 2.0 * out.dim.count() * a.dim[2]));
        break;
      }
      case Op::reduce: {
        Draft<ReduceArgs> d;
        const View x = dense(node.inputs[0], list), out = result(last);
        const int axis = axis_of(node);
        d.args = {node.reduce, nullptr, 1, x.dim[axis], 1, nullptr};
        for (int i = 0; i < x.dim.rank; ++i)
          (i < axis ? d.args.outer : d.args.inner) *= i == axis ? 1 : x.dim[i];
        d.point(d.args.x, x);
        d.point(d.args.out, out);
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
        d.point(d.args.out, out);
        emit(list, d.finish("gather " + out.dim.text(), 0));
        break;
      }
      case Op::rope: {
        Draft<RopeArgs> d;
        const View x = dense(node.inputs[0], list), position = dense(node.inputs[1], list),
                   out = result(last);
        const auto [heads, base] = node.attrs.as<RopeAttrs>();
        d.args = {.batch = out.dim[0],
                  .positions = out.dim[1],
                  .heads = heads,
                  .d = out.dim[2] / heads,
                  .position_div = out.dim[0] / position.dim[0],
                  .base = static_cast<float>(base)};
        d.point(d.args.x, x);
        d.point(d.args.position, position);
        d.point(d.args.out, out);
        emit(list, d.finish("rope " + out.dim.text(), 20.0 * out.dim.count()));
        break;
      }
      case Op::max_pool2d: {
        Draft<MaxPoolArgs> d;
        const View x = dense(node.inputs[0], list), out = result(last);
        const auto [kernel, stride, pad] = node.attrs.as<PoolAttrs>();
        d.args.rows = window(x, out.dim, kernel, kernel, stride, stride, pad, pad);
        d.point(d.args.rows.x, x);
        d.point(d.args.out, out);
        emit(list, d.finish("max_pool2d " + out.dim.text(), 1.0 * out.dim.count() * kernel * kernel));
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
      const WeightPart part = weights_.matrix_part(root, static_cast<int>(phase));
      const auto floats = static_cast<int64_t>(matrix.bytes / sizeof(float));
      d.point(g.weights, View::dense(weight_buffer(part, floats), {floats}));
      View target = out;
      int64_t row_stride = out.position_stride().value_or(out.dim.last());
      if (node.op == Op::linear) {
        g.rows.batch = x.dim[0];
        g.rows.w = g.rows.out_w = x.positions();
        g.rows.c = x.dim.last();
        g.rows.batch_stride = x.stride[0];
        g.rows.position_stride = *x.position_stride();
      } else if (node.op == Op::conv1d) {
        const auto [stride, pad] = node.attrs.as<ConvAttrs>();
        g.rows = window(x, out.dim, 1, w[2], 1, stride, 0, pad);
      } else if (node.op == Op::conv2d) {
        const auto [stride, pad, exact] = node.attrs.as<Conv2dAttrs>();
        g.rows = window(x, out.dim, w[2], w[3], stride, stride, pad, pad);
      } else {
        const auto [stride, pad] = node.attrs.as<ConvAttrs>();
        const int64_t taps = matrix.k / x.dim.last(), first_tap = (phase + pad) % stride;
        g.rows = window(x, out.dim, 1, taps, 1, 1, 0, taps - 1 - (phase + pad - first_tap) / stride);
        g.rows.out_w = (out.dim[1] - phase + stride - 1) / stride;
        target.offset += phase * out.stride[1];
        row_stride = stride * out.stride[1];
      }
      d.point(g.rows.x, x);
      d.point(g.out, target);
      g.out_row_stride = row_stride;
      g.out_batch_stride = out.stride[0];
      if (bias.buffer >= 0) d.point(g.epilogue.bias, bias);
      add_tail(d, tail, out, list);
      if (out_.scratch < 0) out_.scratch = add_buffer(0, Keep::persistent);
      d.point(g.scratch, View::dense(out_.scratch, {0}));
      const char* formats[] = {"f32", "bf16", "i8"};
      emit(list, d.finish(format("%s %s k=%lld %s%s", op_info(node.op).name, out.dim.text().c_str(),
                                 static_cast<long long>(matrix.k), formats[static_cast<int>(matrix.format)],
                                 tail_text(tail).c_str()),
                          2.0 * static_cast<double>(g.rows.count()) * static_cast<double>(g.n * matrix.k),
                          static_cast<double>(matrix.bytes)));
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
      // A layer norm is a group norm of one group over rows that are batch elements of their own.
      const auto [groups, eps] = norm.op == Op::layer_norm ? GroupNormAttrs{1, norm.attrs.as<EpsAttrs>().eps}
                                                           : norm.attrs.as<GroupNormAttrs>();
      e.groups = groups;
      e.eps = static_cast<float>(eps);
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
        const View s = view(tail.scale, list);
        if (!s.is_dense()) d.point(e.scale, copy_of(s, list));
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
    d.point(d.args.out, out);
    emit(list, d.finish(std::string(binary_name(node.binary)) + " " + out.dim.text(), 1.0 * out.dim.count()));
  }

  void lower_norm(int root, List list) {
    const Node& node = graph_.at(root);
    Draft<NormArgs> d;
    const View x = dense(node.inputs[0], list), out = result(fusion_.tail[root].last);
    const bool rms = node.op == Op::rms_norm;
    const double eps = rms ? node.attrs.as<RmsAttrs>().eps : node.attrs.as<EpsAttrs>().eps;
    d.args = {.kind = rms ? Norm::rms : Norm::layer,
              .rows = out.dim.count() / out.dim.last(),
              .n = out.dim.last(),
              .eps = static_cast<float>(eps),
              .act = fusion_.tail[root].act};
    if (node.inputs.size() > 1) d.point(d.args.weight, tensor(node.inputs[1]));
    if (node.inputs.size() > 2) d.point(d.args.bias, tensor(node.inputs[2]));
    d.point(d.args.x, x);
    d.point(d.args.out, out);
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
    const auto [heads, given] = node.attrs.as<AttentionAttrs>();
    a.heads = heads;
    a.head_dim = q.dim[2] / a.heads;
    // q may be shared too; kernels read it one row each, so spread it.
    const View spread = q.dim[0] == a.batch ? q : spread_rows(q, a.batch, list);
    a.q_batch_stride = spread.stride[0], a.q_row_stride = spread.stride[1];
    a.k_div = a.batch / k.dim[0], a.k_batch_stride = k.stride[0], a.k_row_stride = k.stride[1];
    a.v_div = a.batch / v.dim[0], a.v_batch_stride = v.stride[0], a.v_row_stride = v.stride[1];
    a.scale = static_cast<float>(given != 0 ? given : 1.0 / std::sqrt(static_cast<double>(a.head_dim)));
    if (node.inputs.size() > 3) d.point(a.mask, dense(node.inputs[3], list));
    d.point(a.q, spread);
    d.point(a.k, k);
    d.point(a.v, v);
    d.point(a.out, out);
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
};

}  // namespace

Lowered lower(const Graph& graph, const Weights& weights, const CompileOptions& options) {
  return Lowerer(graph, weights, options).run();
}

}  // namespace tendon
