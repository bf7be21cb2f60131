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

// What PackingStream keeps at most: less than what a process needs besides its weights.
constexpr size_t kept_bytes = 32u << 20;
// Numbers that are read at once: pages of the file do not pile up beside their copy.
constexpr int64_t slice = 1 << 20;

// Visits rows of dim 0 as they lie in the file, some at a time: visit(first row, rows, numbers).
template <class Visit>
void for_each_slice(const Node& node, Visit visit) {
  const int64_t rows = node.shape[0], row = node.shape.count() / rows;
  const int64_t step = std::clamp<int64_t>(slice / row, 1, rows);
  std::vector<float> values(static_cast<size_t>(step * row));
  for (int64_t first = 0; first < rows; first += step) {
    const int64_t count = std::min(step, rows - first);
    node.data->read(values.data(), count * row, first * row, row);
    visit(first, count, values.data());
  }
}

std::vector<float> rows_as_they_are(const Node& node) {
  std::vector<float> r(static_cast<size_t>(node.shape.count()));
  const int64_t row = node.shape.count() / node.shape[0];
  for_each_slice(node, [&](int64_t first, int64_t count, const float* w) {
    std::copy_n(w, count * row, r.data() + first * row);
  });
  return r;
}

// Convolution weights (out, in, taps) to rows (out, taps, in), the order in which windows are gathered.
std::vector<float> taps_before_channels(const Node& node) {
  const int64_t in = node.shape[1], taps = node.shape.count() / (node.shape[0] * in);
  std::vector<float> r(static_cast<size_t>(node.shape.count()));
  for_each_slice(node, [&](int64_t first, int64_t count, const float* w) {
    for (int64_t o = 0; o < count; ++o)
      for (int64_t c = 0; c < in; ++c)
        for (int64_t t = 0; t < taps; ++t) r[((first + o) * taps + t) * in + c] = w[(o * in + c) * taps + t];
  });
  return r;
}

// A transposed convolution (in, out, taps) as `stride` ordinary ones: output position y = s·stride + phase
// takes the taps t ≡ phase + pad (mod stride), the input position falling by one as t grows by stride.
std::vector<float> transpose_phase(const Node& node, int64_t stride, int64_t first_tap, int64_t count) {
  const int64_t in = node.shape[0], out = node.shape[1], taps = node.shape[2];
  std::vector<float> r(static_cast<size_t>(out * count * in));
  for_each_slice(node, [&](int64_t first, int64_t channels, const float* w) {
    for (int64_t c = 0; c < channels; ++c)
      for (int64_t o = 0; o < out; ++o)
        for (int64_t j = 0; j < count; ++j)  // gathered in rising input position: the last tap first
          r[(o * count + j) * in + first + c] =
              w[(c * out + o) * taps + first_tap + (count - 1 - j) * stride];
  });
  return r;
}

WeightLayout layout_of(const Node& product) {
  const bool phased = product.op == Op::conv_transpose1d;
  return {product.inputs[1], product.op, phased ? product.attrs.integer(0) : 0,
          phased ? product.attrs.integer(1) : 0};
}

std::vector<PackedMatrix> pack_product(const Graph& graph, const Node& product, const KernelTable& kernels,
                                       WeightFormat wanted, Packing packing) {
  const WeightLayout layout = layout_of(product);
  const Node& weight = graph.at(layout.weight);
  const Shape& s = weight.shape;
  std::vector<PackedMatrix> packed;
  // `rows` makes the matrix, row-major f32.
  const auto add = [&](int64_t n, int64_t k, auto rows) {
    WeightFormat format = wanted;
    const int64_t work = product.shape.count() / product.shape.last() * n * k;
    const bool kept = n * k < tiny_matrix || (n * k < small_matrix && work < little_work);
    if (kept || !kernels.gemm[static_cast<int>(format)].available) format = WeightFormat::f32;
    packed.push_back({format, n, k, Block()});
    if (packing == Packing::when_needed) return;
    const GemmKernels& gemm = kernels.gemm[static_cast<int>(format)];
    const std::vector<float> values = rows();
    packed.back().data = Block(gemm.packed_bytes(n, k));
    gemm.pack(values.data(), n, k, packed.back().data.data());
  };
  if (layout.op == Op::linear) {
    add(s[0], s[1], [&] { return rows_as_they_are(weight); });
  } else if (layout.op == Op::conv_transpose1d) {
    const int64_t taps = s[2];
    for (int64_t phase = 0; phase < layout.stride; ++phase) {
      const int64_t first_tap = (phase + layout.pad) % layout.stride;
      const int64_t count = std::max<int64_t>(0, (taps - first_tap + layout.stride - 1) / layout.stride);
      // A phase that no tap reaches is bias alone: one zero tap keeps it an ordinary product.
      add(s[1], std::max<int64_t>(1, count) * s[0], [&] {
        return count == 0 ? std::vector<float>(static_cast<size_t>(s[1] * s[0]))
                          : transpose_phase(weight, layout.stride, first_tap, count);
      });
    }
  } else {
    add(s[0], s.count() / s[0], [&] { return taps_before_channels(weight); });
  }
  return packed;
}

size_t bytes_of(const std::vector<PackedMatrix>& matrices, const KernelTable& kernels) {
  size_t bytes = 0;
  for (const PackedMatrix& m : matrices)
    bytes += kernels.gemm[static_cast<int>(m.format)].packed_bytes(m.n, m.k);
  return bytes;
}

}  // namespace

Weights::Weights(const Graph& graph, const KernelTable& kernels, WeightFormat wanted, Packing packing) {
  const auto& nodes = graph.nodes();
  std::vector<bool> is_read(nodes.size());
  for (const Node& node : nodes)
    for (size_t i = 0; i < node.inputs.size(); ++i)
      if (op_info(node.op).kind != OpKind::product || i != 1) is_read[node.inputs[i]] = true;
  for (const Output& output : graph.outputs()) is_read[output.node] = true;
  for (size_t id = 0; id < nodes.size(); ++id) {
    if (op_info(nodes[id].op).kind == OpKind::product) {
      const WeightLayout layout = layout_of(nodes[id]);
      layout_of_[static_cast<int>(id)] = layout;
      std::vector<PackedMatrix>& packed = packed_[layout];
      if (packed.empty()) {
        packed = pack_product(graph, nodes[id], kernels, wanted, packing);
        bytes_ += bytes_of(packed, kernels);
      }
    }
    if (!nodes[id].data || !is_read[id]) continue;
    Block block(static_cast<size_t>(nodes[id].shape.count()) * sizeof(float));
    nodes[id].data->read(block.floats(), nodes[id].shape.count());
    bytes_ += block.bytes();
    tensors_.emplace(static_cast<int>(id), std::move(block));
  }
}

const std::vector<PackedMatrix>& PackingStream::matrices(int product) {
  const Node& node = graph_.at(product);
  const WeightLayout layout = layout_of(node);
  if (const auto found = kept_.find(layout); found != kept_.end()) return found->second;
  const size_t bytes =
      bytes_of(pack_product(graph_, node, kernels_, wanted_, Packing::when_needed), kernels_);
  if (bytes_ + bytes > kept_bytes) {
    kept_.clear();
    bytes_ = 0;
  }
  bytes_ += bytes;
  return kept_.emplace(layout, pack_product(graph_, node, kernels_, wanted_, Packing::now)).first->second;
}

}  // namespace tendon
