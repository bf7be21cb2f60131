#include "compile/weights.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>

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
constexpr int64_t slice = 1 << 19;
// Below this many pieces of work another thread is not worth starting.
constexpr size_t few_jobs = 8;

int64_t align_up_to(int64_t n, int64_t unit) { return (n + unit - 1) / unit * unit; }

// Memory that one thread uses again for piece after piece.
class Buffer {
 public:
  float* floats(int64_t count) {
    const auto wanted = static_cast<size_t>(count);
    if (wanted > size_) {
      data_ = std::make_unique_for_overwrite<float[]>(wanted);
      size_ = wanted;
    }
    return data_.get();
  }

 private:
  std::unique_ptr<float[]> data_;
  size_t size_ = 0;
};
struct Room {
  Buffer file, rows;
};

// Rows [first, first + count) of dim 0 as f32: where they lie in the file, or in `buffer`.
class FileRows {
 public:
  FileRows(const Node& node, Channels rows, Buffer& buffer)
      : tensor_(*node.data), row_(node.shape.count() / node.shape[0]), rows_(rows) {
    data_ = tensor_.direct(rows.first * row_, rows.count * row_);
    direct_ = data_ != nullptr;
    if (direct_) return;
    float* copy = buffer.floats(rows.count * row_);
    tensor_.read(copy, rows.count * row_, rows.first * row_, row_);
    data_ = copy;
  }
  ~FileRows() {
    if (direct_) tensor_.release(rows_.first * row_, rows_.count * row_);
  }
  FileRows(const FileRows&) = delete;
  FileRows& operator=(const FileRows&) = delete;
  const float* data() const { return data_; }

 private:
  const TensorData& tensor_;
  int64_t row_;
  Channels rows_;
  const float* data_ = nullptr;
  bool direct_ = false;
};

// Convolution weights (out, in, taps) to rows (out, taps, in), the order in which windows are gathered.
void taps_before_channels(const Node& node, Channels rows, Room& room, float* out) {
  const int64_t in = node.shape[1], taps = node.shape.count() / (node.shape[0] * in);
  const FileRows file(node, rows, room.file);
  for (int64_t o = 0; o < rows.count; ++o) {
    const float* w = file.data() + o * in * taps;
    float* to = out + o * taps * in;
    for (int64_t c = 0; c < in; ++c)
      for (int64_t t = 0; t < taps; ++t) to[t * in + c] = w[c * taps + t];
  }
}

// A transposed convolution (in, out, taps) as `stride` ordinary ones: output position y = s·stride + phase
// takes the taps t ≡ phase + pad (mod stride), the input position falling by one as t grows by stride.
void transpose_phase(const Node& node, int64_t stride, int64_t first_tap, int64_t count, Room& room,
                     float* out_rows) {
  const int64_t in = node.shape[0], out = node.shape[1], taps = node.shape[2];
  const int64_t step = std::clamp<int64_t>(slice / (out * taps), 1, in);
  for (int64_t first = 0; first < in; first += step) {
    const int64_t channels = std::min(step, in - first);
    const FileRows file(node, {first, channels}, room.file);
    const float* w = file.data();
    for (int64_t c = 0; c < channels; ++c)
      for (int64_t o = 0; o < out; ++o)
        for (int64_t j = 0; j < count; ++j)  // gathered in rising input position: the last tap first
          out_rows[(o * count + j) * in + first + c] =
              w[(c * out + o) * taps + first_tap + (count - 1 - j) * stride];
  }
}

WeightLayout layout_of(const Node& product) {
  const bool phased = product.op == Op::conv_transpose1d;
  return {product.inputs[1], product.op, phased ? product.attrs.integer(0) : 0,
          phased ? product.attrs.integer(1) : 0};
}

// A piece of work that may be done beside others.
using Jobs = std::vector<std::function<void(Room&)>>;

// Where the matrices of a product go, each in this format where it gains by it.
struct Target {
  WeightFormat wanted;
  std::vector<PackedMatrix>& packed;
  Block* spare = nullptr;  // memory to use again
};

Block block_for(const Target& target, size_t bytes) {
  if (target.spare == nullptr || target.spare->bytes() == 0) return Block(bytes);
  Block taken = std::exchange(*target.spare, Block());
  if (taken.bytes() < bytes || taken.bytes() / 2 > bytes) {  // of no use, or too much of it
    taken = Block();                                         // before memory is needed twice
    return Block(bytes);
  }
  std::memset(taken.data(), 0, bytes);  // what lies behind the last row or column must be zero
  return taken;
}

// Describes the matrices of a product in every target; what fills them is added to `jobs`, where they are to
// be packed now: each piece of the file is read once for all targets, which must stay where they are until
// then.
void pack_product(const Graph& graph, const Node& product, const KernelTable& kernels,
                  const std::vector<Target>& targets, Packing packing, Jobs& jobs) {
  const WeightLayout layout = layout_of(product);
  const Node& weight = graph.at(layout.weight);
  const Shape& s = weight.shape;
  // `fill` gives some of the matrix' rows, row-major f32, to `use`; `pieces` of at least so many rows.
  const auto add = [&](int64_t n, int64_t k, int64_t piece, auto fill) {
    struct Place {
      const GemmKernels* gemm;
      uint8_t* to;
    };
    std::vector<Place> places;
    for (const Target& target : targets) {
      WeightFormat format = target.wanted;
      const int64_t work = product.shape.count() / product.shape.last() * n * k;
      const bool kept = n * k < tiny_matrix || (n * k < small_matrix && work < little_work);
      if (kept || !kernels.gemm[static_cast<int>(format)].available) format = WeightFormat::f32;
      target.packed.push_back({format, n, k, Block()});
      if (packing == Packing::when_needed) continue;
      const GemmKernels& gemm = kernels.gemm[static_cast<int>(format)];
      target.packed.back().data = block_for(target, gemm.packed_bytes(n, k));
      places.push_back({&gemm, target.packed.back().data.data()});
    }
    if (packing == Packing::when_needed) return;
    for (int64_t first = 0; first < n; first += piece) {
      const Channels rows{first, std::min(piece, n - first)};
      jobs.push_back([=](Room& room) {
        fill(rows, room, [&](const float* values) {
          for (const Place& place : places) place.gemm->pack(values, n, k, place.to, rows);
        });
      });
    }
  };
  const auto piece_of = [](int64_t k) { return align_up_to(std::max<int64_t>(1, slice / k), pack_channels); };
  if (layout.op == Op::linear) {
    add(s[0], s[1], piece_of(s[1]), [&weight](Channels rows, Room& room, auto use) {
      const FileRows file(weight, rows, room.file);
      use(file.data());
    });
  } else if (layout.op == Op::conv_transpose1d) {
    const int64_t taps = s[2], stride = layout.stride;
    for (int64_t phase = 0; phase < stride; ++phase) {
      const int64_t first_tap = (phase + layout.pad) % stride;
      const int64_t count = std::max<int64_t>(0, (taps - first_tap + stride - 1) / stride);
      // A phase that no tap reaches is bias alone: one zero tap keeps it an ordinary product. Its rows are
      // columns of the file, so it is one piece.
      const int64_t k = std::max<int64_t>(1, count) * s[0];
      add(s[1], k, s[1], [=, &weight](Channels rows, Room& room, auto use) {
        float* values = room.rows.floats(rows.count * k);
        if (count > 0)
          transpose_phase(weight, stride, first_tap, count, room, values);
        else
          std::fill(values, values + rows.count * k, 0.0f);
        use(values);
      });
    }
  } else {
    const int64_t k = s.count() / s[0];
    add(s[0], k, piece_of(k), [&weight, k](Channels rows, Room& room, auto use) {
      float* values = room.rows.floats(rows.count * k);
      taps_before_channels(weight, rows, room, values);
      use(values);
    });
  }
}

// Does all of them, on as many threads as the machine has; throws what the first to fail threw.
void do_all(const Jobs& jobs) {
  std::atomic<size_t> next{0};
  std::mutex guard;
  std::exception_ptr failed;
  const auto work = [&] {
    Room room;
    for (size_t i; (i = next.fetch_add(1)) < jobs.size();) try {
        jobs[i](room);
      } catch (...) {
        const std::lock_guard lock(guard);
        if (!failed) failed = std::current_exception();
        next = jobs.size();
      }
  };
  std::vector<std::thread> helpers;
  const size_t threads = std::min<size_t>(std::thread::hardware_concurrency(), jobs.size() / few_jobs);
  for (size_t i = 1; i < threads; ++i) helpers.emplace_back(work);
  work();
  for (std::thread& helper : helpers) helper.join();
  if (failed) std::rethrow_exception(failed);
}

size_t bytes_of(const std::vector<PackedMatrix>& matrices, const KernelTable& kernels) {
  size_t bytes = 0;
  for (const PackedMatrix& m : matrices)
    bytes += kernels.gemm[static_cast<int>(m.format)].packed_bytes(m.n, m.k);
  return bytes;
}

}  // namespace

Weights::Weights(const Graph& graph, const KernelTable& kernels, WeightFormat wanted, Packing packing)
    : wanted_(wanted) {
  const auto& nodes = graph.nodes();
  std::vector<bool> is_read(nodes.size());
  for (const Node& node : nodes)
    for (size_t i = 0; i < node.inputs.size(); ++i)
      if (op_info(node.op).kind != OpKind::product || i != 1) is_read[node.inputs[i]] = true;
  for (const Output& output : graph.outputs()) is_read[output.node] = true;
  Jobs jobs;
  for (size_t id = 0; id < nodes.size(); ++id) {
    if (op_info(nodes[id].op).kind == OpKind::product) {
      const WeightLayout layout = layout_of(nodes[id]);
      layout_of_[static_cast<int>(id)] = layout;
      std::vector<PackedMatrix>& packed = packed_[layout];
      if (packed.empty()) {
        pack_product(graph, nodes[id], kernels, {{wanted, packed}}, packing, jobs);
        bytes_ += bytes_of(packed, kernels);
      }
    }
    if (!nodes[id].data || !is_read[id]) continue;
    Block block(static_cast<size_t>(nodes[id].shape.count()) * sizeof(float));
    nodes[id].data->read(block.floats(), nodes[id].shape.count());
    bytes_ += block.bytes();
    tensors_.emplace(static_cast<int>(id), std::move(block));
  }
  do_all(jobs);
}

void Weights::complete(const Graph& graph, const KernelTable& kernels) {
  Jobs jobs;
  for (const auto& [product, layout] : layout_of_) {
    std::vector<PackedMatrix>& packed = packed_.at(layout);
    if (packed.front().data.bytes() > 0) continue;
    packed.clear();
    pack_product(graph, graph.at(product), kernels, {{wanted_, packed}}, Packing::now, jobs);
  }
  do_all(jobs);
}

// Keeps the largest block of what is not needed any more: fresh memory is dearer than filling it.
void PackingStream::recycle() {
  for (auto& [layout, matrices] : kept_)
    for (PackedMatrix& matrix : matrices)
      if (matrix.data.bytes() > spare_.bytes()) spare_ = std::move(matrix.data);
  kept_.clear();
}

const std::vector<PackedMatrix>& PackingStream::matrices(int product) {
  const Node& node = graph_.at(product);
  const WeightLayout layout = layout_of(node);
  if (const auto found = kept_.find(layout); found != kept_.end()) return found->second;
  std::vector<PackedMatrix> packed;
  Jobs jobs;
  pack_product(graph_, node, kernels_, {{wanted_, packed}}, Packing::when_needed, jobs);
  if (bytes_ + bytes_of(packed, kernels_) > kept_bytes) {
    recycle();
    bytes_ = 0;
  }
  packed.clear();
  std::vector<Target> targets{{wanted_, packed, &spare_}};
  if (beside_ != nullptr) {
    std::vector<PackedMatrix>& theirs = beside_->packed_.at(layout);
    const WeightFormat wanted = beside_->wanted_;
    if (theirs.front().data.bytes() == 0) {
      theirs.clear();
      targets.push_back({wanted, theirs});
    }
  }
  pack_product(graph_, node, kernels_, targets, Packing::now, jobs);
  do_all(jobs);
  // What they hold, which is more than they need where a larger block was to be had.
  for (const PackedMatrix& matrix : packed) bytes_ += matrix.data.bytes();
  return kept_.emplace(layout, std::move(packed)).first->second;
}

}  // namespace tendon
