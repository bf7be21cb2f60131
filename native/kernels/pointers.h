// The pointers of every kernel's arguments, for whoever moves the memory they point to. `visit` takes each by
// reference; null pointers come too.
#pragma once

#include "kernels/kernels.h"

namespace tendon {

template <class Visit>
void for_each_pointer(GemmArgs& a, Visit visit) {
  Epilogue& e = a.epilogue;
  visit(a.rows.x), visit(a.weights), visit(a.out), visit(a.scratch);
  visit(e.bias), visit(e.norm_weight), visit(e.norm_bias), visit(e.scale), visit(e.shift), visit(e.residual);
}
template <class Visit>
void for_each_pointer(UnaryArgs& a, Visit visit) {
  visit(a.x), visit(a.out);
}
template <class Visit>
void for_each_pointer(BinaryArgs& a, Visit visit) {
  visit(a.a.x), visit(a.b.x), visit(a.out);
}
template <class Visit>
void for_each_pointer(CopyArgs& a, Visit visit) {
  visit(a.a.x), visit(a.out);
}
template <class Visit>
void for_each_pointer(AffineArgs& a, Visit visit) {
  visit(a.x), visit(a.out);
}
template <class Visit>
void for_each_pointer(NormArgs& a, Visit visit) {
  visit(a.x), visit(a.weight), visit(a.bias), visit(a.out);
}
template <class Visit>
void for_each_pointer(GroupNormArgs& a, Visit visit) {
  visit(a.x), visit(a.weight), visit(a.bias), visit(a.out);
}
template <class Visit>
void for_each_pointer(SoftmaxArgs& a, Visit visit) {
  visit(a.x), visit(a.out);
}
template <class Visit>
void for_each_pointer(AttentionArgs& a, Visit visit) {
  visit(a.q), visit(a.k), visit(a.v), visit(a.mask), visit(a.out);
}
template <class Visit>
void for_each_pointer(MatmulArgs& a, Visit visit) {
  visit(a.a), visit(a.b), visit(a.out);
}
template <class Visit>
void for_each_pointer(ReduceArgs& a, Visit visit) {
  visit(a.x), visit(a.out);
}
template <class Visit>
void for_each_pointer(GatherArgs& a, Visit visit) {
  visit(a.table), visit(a.index), visit(a.out);
}
template <class Visit>
void for_each_pointer(MaxPoolArgs& a, Visit visit) {
  visit(a.rows.x), visit(a.out);
}

}  // namespace tendon
