#include "compile/packing.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <exception>
#include <mutex>

#include "base/cores.h"
#include "base/error.h"
#include "base/thread.h"

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

// Numbers that are read at once: they stay in the second cache.
constexpr int64_t slice = 1 << 16;
// Below this many pieces of work another thread is not worth starting.
constexpr size_t few_jobs = 8;

int64_t align_up_to(int64_t n, int64_t unit) { return (n + unit - 1) / unit * unit; }

}  // namespace

float* Scratch::floats(int64_t count) {
  const size_t wanted = static_cast<size_t>(count) * sizeof(float);
  if (wanted > block_.bytes()) {
    block_ = Block();  // before memory is needed twice
    block_ = Block(wanted, Touch::later);
  }
  return block_.floats();
}

namespace {

// Rows [first, first + count) of dim 0 as f32, in `buffer`.
const float* read_rows(const Node& node, Channels rows, Scratch& buffer) {
  const int64_t row = node.shape.count() / node.shape[0], count = rows.count * row;
  float* values = buffer.floats(count);
  node.data->read(values, count, rows.first * row, row);
  return values;
}

// `rows` a few at a time, as many as a slice holds.
template <class Use>
void for_slices(Channels rows, int64_t row, Use use) {
  const int64_t step = std::max<int64_t>(1, slice / row);
  for (int64_t i = 0; i < rows.count; i += step)
    use(Channels{rows.first + i, std::min(step, rows.count - i)});
}

// Convolution weights (out, in, taps) to rows (out, taps, in), the order in which windows are gathered.
void taps_before_channels(const Node& node, Channels rows, PackingRoom& room, float* out) {
  const int64_t in = node.shape[1], taps = node.shape.count() / (node.shape[0] * in);
  for_slices(rows, in * taps, [&](Channels some) {
    const float* w = read_rows(node, some, room.file);
    for (int64_t o = 0; o < some.count; ++o, w += in * taps, out += in * taps)
      for (int64_t t = 0; t < taps; ++t)
        for (int64_t c = 0; c < in; ++c) out[t * in + c] = w[c * taps + t];
  });
}

// A transposed convolution (in, out, taps) as `stride` ordinary ones: output position y = s·stride + phase
// takes the taps t ≡ phase + pad (mod stride), the input position falling by one as t grows by stride.
void transpose_phase(const Node& node, int64_t stride, int64_t first_tap, int64_t count, PackingRoom& room,
                     float* out_rows) {
  const int64_t in = node.shape[0], out = node.shape[1], taps = node.shape[2];
  for_slices({0, in}, out * taps, [&](Channels some) {
    const float* w = read_rows(node, some, room.file);
    for (int64_t c = 0; c < some.count; ++c)
      for (int64_t o = 0; o < out; ++o)
        for (int64_t j = 0; j < count; ++j)  // gathered in rising input position: the last tap first
          out_rows[(o * count + j) * in + some.first + c] =
              w[(c * out + o) * taps + first_tap + (count - 1 - j) * stride];
  });
}

// Rows of one of a product's matrices, row-major f32, to `use`.
using Use = std::function<void(const float* rows)>;
struct Source {
  int64_t n, k;
  int64_t piece;  // rows at once, at least
  std::function<void(Channels rows, PackingRoom&, const Use&)> fill;
};

std::vector<Source> sources_of(const Graph& graph, const Node& product) {
  const WeightLayout layout = layout_of(product);
  const Node& weight = graph.at(layout.weight);
  const Shape& s = weight.shape;
  const auto piece_of = [](int64_t k) { return align_up_to(std::max<int64_t>(1, slice / k), pack_channels); };
  if (layout.op == Op::linear)
    return {{s[0], s[1], piece_of(s[1]), [&weight](Channels rows, PackingRoom& room, const Use& use) {
               use(read_rows(weight, rows, room.file));
             }}};
  if (!op_info(layout.op).facts.phased) {
    const int64_t k = s.count() / s[0];
    return {{s[0], k, piece_of(k), [&weight, k](Channels rows, PackingRoom& room, const Use& use) {
               float* values = room.rows.floats(rows.count * k);
               taps_before_channels(weight, rows, room, values);
               use(values);
             }}};
  }
  std::vector<Source> phases;
  const int64_t taps = s[2], stride = layout.stride;
  for (int64_t phase = 0; phase < stride; ++phase) {
    const int64_t first_tap = (phase + layout.pad) % stride;
    const int64_t count = std::max<int64_t>(0, (taps - first_tap + stride - 1) / stride);
    // A phase that no tap reaches is bias alone: one zero tap keeps it an ordinary product. Its rows are
    // columns of the file, so it is one piece.
    const int64_t k = std::max<int64_t>(1, count) * s[0];
    phases.push_back({s[1], k, s[1], [=, &weight](Channels rows, PackingRoom& room, const Use& use) {
                        float* values = room.rows.floats(rows.count * k);
                        if (count > 0)
                          transpose_phase(weight, stride, first_tap, count, room, values);
                        else
                          std::fill(values, values + rows.count * k, 0.0f);
                        use(values);
                      }});
  }
  return phases;
}

}  // namespace

WeightLayout layout_of(const Node& product) {
  WeightLayout layout{product.inputs[1], product.op, 0, 0};
  if (!op_info(product.op).facts.phased) return layout;
  const auto [stride, pad] = product.attrs.as<ConvAttrs>();
  layout.stride = stride, layout.pad = pad;
  return layout;
}

bool is_mostly_looped(const Graph& graph) {
  int64_t looped = 0, once = 0;
  for (const Node& node : graph.nodes())
    if (op_info(node.op).is_product() && !op_info(node.op).facts.of_images)
      ((node.stage & stage_step) != 0 ? looped : once) += graph.at(node.inputs[1]).shape.count();
  return once < looped;
}

// Where rounding costs most and gains least: convolutions whose author says so, and, beside a loop that reads
// most of the weights, what is done once for all of its steps, which would err in all of them alike.
static bool stays_exact(const Node& product, bool mostly_looped) {
  if (op_info(product.op).facts.of_images) return product.attrs.as<Conv2dAttrs>().exact != 0;
  return mostly_looped && (product.stage & stage_step) == 0;
}

std::vector<PackedMatrix> describe_product(const Graph& graph, const Node& product,
                                           const KernelTable& kernels, WeightFormat wanted,
                                           bool mostly_looped) {
  if (stays_exact(product, mostly_looped)) wanted = WeightFormat::f32;
  std::vector<PackedMatrix> matrices;
  for (const Source& source : sources_of(graph, product)) {
    const int64_t size = source.n * source.k;
    const int64_t work = product.shape.count() / product.shape.last() * size;
    const bool kept = size < tiny_matrix || (size < small_matrix && work < little_work);
    const WeightFormat format =
        kept || !kernels.gemm[static_cast<int>(wanted)].available ? WeightFormat::f32 : wanted;
    const size_t bytes = kernels.gemm[static_cast<int>(format)].packed_bytes(source.n, source.k);
    matrices.push_back({format, source.n, source.k, bytes, nullptr});
  }
  return matrices;
}

void add_jobs(const Graph& graph, const Node& product, const KernelTable& kernels,
              const std::vector<const std::vector<PackedMatrix>*>& targets, PackingJobs& jobs) {
  const std::vector<Source> sources = sources_of(graph, product);
  for (size_t i = 0; i < sources.size(); ++i) {
    const Source& source = sources[i];
    struct Place {
      const GemmKernels* gemm;
      uint8_t* to;
    };
    std::vector<Place> places;
    for (const auto* target : targets) {
      const PackedMatrix& matrix = (*target)[i];
      places.push_back({&kernels.gemm[static_cast<int>(matrix.format)], matrix.data});
    }
    for (int64_t first = 0; first < source.n; first += source.piece) {
      const Channels rows{first, std::min(source.piece, source.n - first)};
      jobs.push_back([=, n = source.n, k = source.k, fill = source.fill](PackingRoom& room) {
        fill(rows, room, [&](const float* values) {
          for (const Place& place : places) place.gemm->pack(values, n, k, place.to, rows);
        });
      });
    }
  }
}

void do_all(const PackingJobs& jobs, int threads) {
  std::atomic<size_t> next{0};
  std::mutex guard;
  std::exception_ptr failed;
  const auto work = [&] {
    PackingRoom room;
    for (size_t i; (i = next.fetch_add(1)) < jobs.size();) try {
        jobs[i](room);
      } catch (...) {
        const std::lock_guard lock(guard);
        if (!failed) failed = std::current_exception();
        next = jobs.size();
      }
  };
  std::vector<Thread> helpers;
  const size_t most =
      std::min(static_cast<size_t>(threads > 0 ? threads : default_threads()), jobs.size() / few_jobs);
  try {
    for (size_t i = 1; i < most; ++i) helpers.emplace_back(work);
  } catch (const BuildError&) {
    // As many as the system gives: the rest of the work is done by those there are.
  }
  work();
  helpers.clear();
  if (failed) std::rethrow_exception(failed);
}

}  // namespace tendon
