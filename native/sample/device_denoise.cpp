#include "sample/device_denoise.h"

#include <utility>

namespace tendon {

void put_denoise(DeviceQueue& queue, const DeviceDenoiseWork& w) {
  const cuda::Api& api = queue.api();
  const Device& device = queue.device();
  float *saved = w.history, *h1 = saved + w.count, *h2 = h1 + w.count, *h3 = h2 + w.count;
  const float* noise = w.noise;
  int64_t call = 0;
  for (const SamplerRow& row : w.table->rows) {
    device.need(api.feed(queue.get(), {w.x, noise, row.pre_noise, row.c_in, w.net_in, w.count, w.groups}));
    if (row.pre_noise != 0) noise += w.count;
    w.program->put(List::step, call++);
    cuda::CombineArgs combine{};
    combine.a_x = row.a_x, combine.a_f = row.a_f, combine.clip = row.clip, combine.guide = row.guide;
    combine.w_x = row.w_x, combine.w_f = row.w_f, combine.w_d = row.w_d;
    combine.w_h1 = row.w_h1, combine.w_h2 = row.w_h2, combine.w_h3 = row.w_h3;
    combine.w_s = row.w_s, combine.w_noise = row.w_noise, combine.h_x = row.h_x, combine.h_d = row.h_d;
    combine.save = row.save != 0, combine.push = row.push != 0;
    combine.x = w.x, combine.saved = saved, combine.h1 = h1, combine.h2 = h2, combine.h3 = h3;
    combine.net_out = w.net_out;
    combine.guidance = w.groups == 2 ? w.guidance : nullptr;
    combine.noise = noise;
    combine.prefix = w.prefix, combine.prefix_weights = w.prefix_weights;
    combine.count = w.count, combine.row = w.row, combine.action_dim = w.action_dim;
    device.need(api.combine(queue.get(), combine));
    if (row.w_noise != 0) noise += w.count;
    // The history turns: what was pushed is H1 from now on.
    if (row.push != 0) {
      std::swap(h3, h2);
      std::swap(h2, h1);
    }
  }
}

}  // namespace tendon
