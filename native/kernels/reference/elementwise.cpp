// Elementwise functions and strided copies.
#include "kernels/reference/kernels.h"

namespace tendon::reference {

namespace {

// Calls visit(i0, i1, i2) for this part's rows of the outer three dims.
template <class Visit>
void for_each_row(const int64_t (&dims)[4], Part part, Visit visit) {
  int64_t begin, end;
  part.range(dims[0] * dims[1] * dims[2], 1, begin, end);
  for (int64_t row = begin; row < end; ++row)
    visit(row / (dims[1] * dims[2]), row / dims[2] % dims[1], row % dims[2]);
}

const float* row_of(const Operand& a, int64_t i0, int64_t i1, int64_t i2) {
  return a.x + i0 / a.div * a.stride[0] + i1 * a.stride[1] + i2 * a.stride[2];
}

}  // namespace

void run(const BinaryArgs& a, Part part) {
  for_each_row(a.dims, part, [&](int64_t i0, int64_t i1, int64_t i2) {
    const float* left = row_of(a.a, i0, i1, i2);
    const float* right = row_of(a.b, i0, i1, i2);
    float* out = a.out + ((i0 * a.dims[1] + i1) * a.dims[2] + i2) * a.dims[3];
    for (int64_t i = 0; i < a.dims[3]; ++i)
      out[i] = apply(a.op, left[i * a.a.stride[3]], right[i * a.b.stride[3]]);
  });
}

void run(const CopyArgs& a, Part part) {
  for_each_row(a.dims, part, [&](int64_t i0, int64_t i1, int64_t i2) {
    const float* from = row_of(a.a, i0, i1, i2);
    float* out = a.out + i0 * a.out_stride[0] + i1 * a.out_stride[1] + i2 * a.out_stride[2];
    for (int64_t i = 0; i < a.dims[3]; ++i) out[i * a.out_stride[3]] = from[i * a.a.stride[3]];
  });
}

}  // namespace tendon::reference
