#include "sample/denoise.h"

#include <utility>

namespace tendon {

void enqueue_denoise(Stream& stream, const DenoiseWork& w) {
  float *saved = w.history, *h1 = saved + w.count, *h2 = h1 + w.count, *h3 = h2 + w.count;
  const float* noise = w.noise;
  int64_t call = 0;
  for (const SamplerRow& row : w.table->rows) {
    stream.begin_step();
    stream.enqueue(FeedArgs{w.x, noise, row.pre_noise, row.c_in, w.net_in, w.count, w.groups});
    if (row.pre_noise != 0) noise += w.count;
    stream.enqueue(*w.program, List::step, call++);
    stream.enqueue(
        CombineArgs{row, w.call, w.x, saved, h1, h2, h3, w.net_out, noise, w.prefix, w.count, w.groups});
    if (row.w_noise != 0) noise += w.count;
    // The history turns: what was pushed is H1 from now on.
    if (row.push != 0) {
      std::swap(h3, h2);
      std::swap(h2, h1);
    }
  }
}

namespace {

FollowArgs follow(const ParallelWork& w, const float* net_out) {
  const DenoiseWork& d = w.denoise;
  const auto calls = static_cast<int64_t>(d.table->rows.size());
  return {w.rows,   calls,        d.call,   d.x,   d.noise, net_out,
          d.prefix, w.trajectory, d.net_in, w.out, w.moved, d.count};
}

}  // namespace

void enqueue_guess(Stream& stream, const ParallelWork& w) { stream.enqueue(follow(w, nullptr)); }

void enqueue_iteration(Stream& stream, const ParallelWork& w) {
  stream.begin_step();
  stream.enqueue(*w.denoise.program, List::step);
  stream.enqueue(follow(w, w.denoise.net_out));
}

}  // namespace tendon
