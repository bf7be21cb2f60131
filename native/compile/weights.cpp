#include "compile/weights.h"

#include <algorithm>

namespace tendon {

namespace {

// A matrix below this size (128 kB in f32), of which a sample asks little work, gains next to nothing from a
// lower precision, since in f32 too it stays in the second cache; while its rounding costs most: the small
// products of a network are its embeddings, its 1 × 1 residuals, its changes of width and its last layer,
// which no sum over a wide branch dilutes.
constexpr int64_t small_matrix = 32 * 1024;
constexpr int64_t little_work = 1 << 20;  // multiply-adds
// Below this there is nothing to gain at all.
constexpr int64_t tiny_matrix = 4096;

std::vector<float> read_tensor(const Node& node) {
  std::vector<float> values(static_cast<size_t>(node.shape.count()));
  node.data->read(values.data(), node.shape.count());
  return values;
}

// Convolution weights (out, in, taps) to rows (out, taps, in), the order in which windows are gathered.
std::vector<float> taps_before_channels(const std::vector<float>& w, int64_t out, int64_t in, int64_t taps) {
  std::vector<float> r(w.size());
  for (int64_t o = 0; o < out; ++o)
    for (int64_t c = 0; c < in; ++c)
      for (int64_t t = 0; t < taps; ++t) r[(o * taps + t) * in + c] = w[(o * in + c) * taps + t];
  return r;
}

// A transposed convolution as `stride` ordinary ones: output position y = s·stride + phase takes the taps
// t ≡ phase + pad (mod stride), the input position falling by one as t grows by stride.
std::vector<float> transpose_phase(const std::vector<float>& w, int64_t in, int64_t out, int64_t taps,
                                   int64_t stride, int64_t first_tap) {
  const int64_t count = (taps - first_tap + stride - 1) / stride;
  std::vector<float> r(static_cast<size_t>(out * count * in));
  for (int64_t o = 0; o < out; ++o)
    for (int64_t j = 0; j < count; ++j)  // gathered in rising input position: the last tap first
      for (int64_t c = 0; c < in; ++c)
        r[(o * count + j) * in + c] = w[(c * out + o) * taps + first_tap + (count - 1 - j) * stride];
  return r;
}

}  // namespace

Weights::Weights(const Graph& graph, const KernelTable& kernels, WeightFormat wanted) {
  const auto& nodes = graph.nodes();
  std::vector<bool> is_matrix(nodes.size()), is_read(nodes.size());
  for (const Node& node : nodes)
    for (size_t i = 0; i < node.inputs.size(); ++i)
      (op_info(node.op).kind == OpKind::product && i == 1 ? is_matrix : is_read)[node.inputs[i]] = true;
  for (const Output& output : graph.outputs()) is_read[output.node] = true;
  for (size_t id = 0; id < nodes.size(); ++id) {
    if (op_info(nodes[id].op).kind == OpKind::product)
      pack_product(graph, static_cast<int>(id), kernels, wanted);
    if (!nodes[id].data || !is_read[id]) continue;
    Block block(static_cast<size_t>(nodes[id].shape.count()) * sizeof(float));
    nodes[id].data->read(block.floats(), nodes[id].shape.count());
    bytes_ += block.bytes();
    tensors_.emplace(static_cast<int>(id), std::move(block));
  }
}

void Weights::pack_product(const Graph& graph, int product, const KernelTable& kernels, WeightFormat wanted) {
  const Node& node = graph.at(product);
  const Node& weight = graph.at(node.inputs[1]);
  const bool phased = node.op == Op::conv_transpose1d;
  const Layout layout{node.inputs[1], node.op, phased ? node.attrs.integer(0) : 0,
                      phased ? node.attrs.integer(1) : 0};
  layout_of_[product] = layout;
  std::vector<PackedMatrix>& packed = packed_[layout];
  if (!packed.empty()) return;
  const std::vector<float> w = read_tensor(weight);

  const auto add = [&](const std::vector<float>& rows, int64_t n, int64_t k) {
    WeightFormat format = wanted;
    const int64_t work = node.shape.count() / node.shape.last() * n * k;
    const bool kept = n * k < tiny_matrix || (n * k < small_matrix && work < little_work);
    if (kept || !kernels.gemm[static_cast<int>(format)].available) format = WeightFormat::f32;
    const GemmKernels& gemm = kernels.gemm[static_cast<int>(format)];
    PackedMatrix matrix{format, n, k, Block(gemm.packed_bytes(n, k))};
    gemm.pack(rows.data(), n, k, matrix.data.data());
    bytes_ += matrix.data.bytes();
    packed.push_back(std::move(matrix));
  };

  const Shape& s = weight.shape;
  if (node.op == Op::linear) {
    add(w, s[0], s[1]);
  } else if (phased) {
    const int64_t stride = node.attrs.integer(0), pad = node.attrs.integer(1), taps = s[2];
    for (int64_t phase = 0; phase < stride; ++phase) {
      const int64_t first_tap = (phase + pad) % stride;
      const int64_t count = std::max<int64_t>(0, (taps - first_tap + stride - 1) / stride);
      // A phase that no tap reaches is bias alone: one zero tap keeps it an ordinary product.
      if (count == 0) {
        add(std::vector<float>(static_cast<size_t>(s[1] * s[0])), s[1], s[0]);
      } else {
        add(transpose_phase(w, s[0], s[1], taps, stride, first_tap), s[1], count * s[0]);
      }
    }
  } else {
    const int64_t taps = s.count() / (s[0] * s[1]);
    add(taps_before_channels(w, s[0], s[1], taps), s[0], taps * s[1]);
  }
}

}  // namespace tendon
