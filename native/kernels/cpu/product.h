// Products of two activations, and pooling.
#pragma once

#include "kernels/cpu/elementwise.h"

namespace tendon {
namespace {

template <class S>
struct Products {
  using F = typename S::F;

  static void run(const MatmulArgs& a, Part part) {
    const Range mine = share(a.batch * a.m, 1, part);
    for (int64_t row = mine.begin; row < mine.end; ++row) {
      const int64_t batch = row / a.m;
      const float* x = a.a + (batch / a.a_div * a.m + row % a.m) * a.k;
      const float* y = a.b + batch / a.b_div * a.k * a.n;
      for_vectors<S>(a.n, [&](auto load, auto store) {
        F sum = S::zero();
        for (int64_t k = 0; k < a.k; ++k) sum = S::fma(S::set(x[k]), load(y + k * a.n), sum);
        store(a.out + row * a.n, sum);
      });
    }
  }

  static void run(const MaxPoolArgs& a, Part part) {
    const Rows& r = a.rows;
    const Range mine = share(r.count(), 1, part);
    for (int64_t row = mine.begin; row < mine.end; ++row) {
      const float* x = r.x + row / r.per_batch() * r.batch_stride;
      const int64_t top = row / r.out_w % r.out_h * r.stride_h - r.pad_h;
      const int64_t left = row % r.out_w * r.stride_w - r.pad_w;
      const int64_t bottom = lesser(top + r.taps_h, r.h), right = lesser(left + r.taps_w, r.w);
      for_vectors<S>(r.c, [&](auto load, auto store) {
        F most = S::set(-__builtin_inff());
        for (int64_t y = greater(top, 0); y < bottom; ++y)
          for (int64_t z = greater(left, 0); z < right; ++z)
            most = Elementwise<S>::larger(most, load(x + (y * r.w + z) * r.position_stride));
        store(a.out + row * r.c, most);
      });
    }
  }
};

}  // namespace
}  // namespace tendon
