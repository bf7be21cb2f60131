#include "backend/cpu/loops.h"

#include <algorithm>

#include "base/philox.h"

namespace tendon {

namespace {

// How many numbers of each kind one thread does before others would have begun.
template <class Args>
int64_t little(const Args&) {
  return 4096;
}
int64_t little(const FollowArgs& a) { return 4096 / a.calls; }
int64_t little(const DrawArgs&) { return 256; }

template <LoopOp Args>
void run(const Args& a, Part part) {
  int64_t begin, end;
  part.range(a.numbers(), 16, begin, end);
  for (int64_t i = begin; i < end; ++i) a.at(i);
}

// A block of the generator gives four draws.
void run(const DrawArgs& a, Part part) {
  int64_t begin, end;
  part.range(a.count, 4, begin, end);
  fill_normal(a.seed, a.stream, a.first + static_cast<uint64_t>(begin), a.out + begin, end - begin);
  if (a.scale == 1) return;
  for (int64_t i = begin; i < end; ++i) a.out[i] = a.scaled(a.out[i]);
}

// Frames line by line: positions count up instead of being divided out for every number.
void run(const CropArgs& a, Part part) {
  const int64_t channels = a.from.channels;
  int64_t begin, end;
  part.range(a.count * a.rows, 1, begin, end);
  for (int64_t i = begin; i < end; ++i) {
    const uint8_t* line = a.from.line(i / a.rows, a.top + i % a.rows) + a.left * channels;
    float* out = a.out + i * a.columns * channels;
    for (int64_t x = 0; x < a.columns; ++x)
      for (int64_t c = 0; c < channels; ++c) *out++ = a.from.number(line, x, c);
  }
}

void run(const AcrossArgs& a, Part part) {
  const int64_t channels = a.from.channels, width = a.from.width * channels;
  float* numbers = a.room + part.member * width;
  int64_t begin, end;
  part.range(a.count * a.line_count, 1, begin, end);
  for (int64_t i = begin; i < end; ++i) {
    const uint8_t* line = a.from.line(i / a.line_count, a.first_line + i % a.line_count);
    for (int64_t x = 0; x < a.from.width; ++x)
      for (int64_t c = 0; c < channels; ++c) numbers[x * channels + c] = a.from.number(line, x, c);
    float* out = a.lines + i * a.columns * channels;
    for (int64_t x = 0; x < a.columns; ++x) {
      const float* weight = a.axis.weight + x * a.axis.taps;
      const float* at = numbers + a.axis.first[x] * channels;
      const int64_t taps = a.axis.taps_of(x, a.from.width);
      for (int64_t c = 0; c < channels; ++c) {
        float sum = 0;
        for (int64_t j = 0; j < taps; ++j) sum += weight[j] * at[j * channels + c];
        *out++ = sum;
      }
    }
  }
}

void run(const DownArgs& a, Part part) {
  const int64_t stride = a.columns * a.channels;
  int64_t begin, end;
  part.range(a.count * a.rows, 1, begin, end);
  for (int64_t i = begin; i < end; ++i) {
    const int64_t row = i % a.rows, taps = a.axis.taps_of(row, a.height);
    const float* weight = a.axis.weight + row * a.axis.taps;
    const float* from = a.line(i / a.rows, row);
    float* out = a.out + i * stride;
    std::fill(out, out + stride, 0.0f);
    for (int64_t j = 0; j < taps; ++j)
      for (int64_t k = 0; k < stride; ++k) out[k] += weight[j] * from[j * stride + k];
  }
}

}  // namespace

void run_loop(const LoopArgs& args, const Team& team) {
  const auto shared = [&](const auto& a) {
    const int pieces = a.numbers() <= little(a) ? 1 : team.size();
    team.share(pieces, [&](int piece, int member) { run(a, Part{piece, pieces, member}); });
  };
  std::visit(shared, args);
}

}  // namespace tendon
