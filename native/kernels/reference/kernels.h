// The functions of the reference table, file by file. Each is a plain loop that adds up in f32 in the order
// of the index it sums over, and gives every output element to one part whole, so that results are the same
// bits for any number of parts.
#pragma once

#include "kernels/kernels.h"

namespace tendon::reference {

// gemm.cpp
GemmKernels gemm_kernels(WeightFormat format);

// elementwise.cpp
void unary(const UnaryArgs&, Part);
void binary(const BinaryArgs&, Part);
void copy(const CopyArgs&, Part);
void affine(const AffineArgs&, Part);

// norm.cpp
void norm(const NormArgs&, Part);
void group_norm(const GroupNormArgs&, Part);
void softmax(const SoftmaxArgs&, Part);
void reduce(const ReduceArgs&, Part);

// product.cpp
void attention(const AttentionArgs&, Part);
void matmul(const MatmulArgs&, Part);
void gather(const GatherArgs&, Part);
double peak(int64_t rounds);
void max_pool(const MaxPoolArgs&, Part);

}  // namespace tendon::reference
