// From a kernel's arguments to its launches, for whatever can launch: a stream of the device or the emulator.
// `on.launch<Kernel>(grid, threads, shared_bytes, args)` runs `grid` blocks of Kernel; a kernel whose threads
// never wait for each other goes through `launch_alone`.
#pragma once

#include "kernels/cuda/elementwise.h"
#include "kernels/cuda/finish.h"
#include "kernels/cuda/gemm.h"
#include "kernels/cuda/norm.h"
#include "kernels/cuda/planner.h"
#include "kernels/cuda/wide.h"

namespace tendon::cuda {

struct Grid {
  int64_t x = 1, y = 1, z = 1;
};

template <class Kernel, class On, class Args>
void launch_each(On& on, const Args& a, int64_t count) {
  if (count > 0) on.template launch_alone<Kernel>(Grid{up(count, alone_threads)}, alone_threads, a);
}

template <class On, DefinesNumbers Args>
void launch(On& on, const Args& a) {
  launch_each<NumberKernel<Args>>(on, a, a.written());
}

template <class On, LoopOp Args>
void launch(On& on, const Args& a) {
  launch_each<LoopKernel<Args>>(on, a, a.numbers());
}

template <class On>
void launch(On& on, const BinaryArgs& a) {
  launch_each<BinaryKernel>(on, a, numbers(a.dims));
}
template <class On>
void launch(On& on, const CopyArgs& a) {
  launch_each<CopyKernel>(on, a, numbers(a.dims));
}
template <class On>
void launch(On& on, const GatherArgs& a) {
  launch_each<GatherKernel>(on, a, a.rows * a.n);
}
template <class On>
void launch(On& on, const MatmulArgs& a) {
  launch_each<MatmulKernel>(on, a, a.batch * a.m * a.n);
}
template <class On>
void launch(On& on, const NormArgs& a) {
  on.template launch<NormKernel>(Grid{a.rows}, row_threads, slot_bytes, a);
}
template <class On>
void launch(On& on, const GroupNormArgs& a) {
  on.template launch<GroupNormKernel>(Grid{a.batch * a.groups}, group_threads, slot_bytes, a);
}
template <class On>
void launch(On& on, const SoftmaxArgs& a) {
  on.template launch<SoftmaxKernel>(Grid{a.rows}, row_threads, slot_bytes, a);
}
template <class On>
void launch(On& on, const AttentionArgs& a) {
  on.template launch<AttentionKernel>(Grid{a.batch * a.q_len * a.heads}, row_threads, attention_shared(a), a);
}

// ---- Plans -----------------------------------------------------------------------------------------------

template <class On>
void launch(On& on, PlanStep step, const PlanArgs& a) {
  const int64_t rows = a.prior + a.samples;
  switch (step) {
    case PlanStep::begin:
      return launch_each<PlanBeginKernel>(on, a, PlanBeginKernel::count(a));
    case PlanStep::propose:
      return launch_each<PlanProposeKernel>(on, a, PlanProposeKernel::count(a));
    case PlanStep::score:
      return launch_each<PlanScoreKernel>(on, a, rows);
    case PlanStep::rank:
      return on.template launch<PlanRankKernel>(Grid{up(rows, plan_warps)}, plan_threads, 0, a);
    case PlanStep::weigh:
      return on.template launch<PlanWeighKernel>(Grid{}, plan_threads, plan_shared_bytes, a);
    case PlanStep::move:
      return on.template launch<PlanMoveKernel>(Grid{up(a.horizon * a.action_dim, plan_warps)}, plan_threads,
                                                0, a);
    case PlanStep::answer:
      return on.template launch<PlanAnswerKernel>(Grid{}, plan_threads, plan_shared_bytes, a);
  }
}
template <class On>
void launch(On& on, const ChooseArgs& a) {
  launch_each<ChooseKernel>(on, a, a.place_words * a.place_count);
}

// ---- Products: the sums, then what must wait for all of them ---------------------------------------------

// Row tiles are neighbours, so that those that share weights meet them in the cache.
template <class Kernel, class On>
void launch_product(On& on, const GemmCall& call, int threads = gemm_threads) {
  const GemmCut& c = call.cut;
  on.template launch<Kernel>(Grid{c.row_tiles, c.column_tiles, c.splits}, threads, Kernel::shared_bytes,
                             call);
}
template <class Kernel, class On>
void launch_wide(On& on, const GemmCall& call) {
  launch_product<Kernel>(on, call, Kernel::threads);
}

template <class W, class Number, class On>
void launch_wide_tensor(On& on, const GemmCall& call) {
  if (call.cut.columns == 64) return launch_wide<WideTensorKernel<W, Number, 1, 4>>(on, call);
  if (call.cut.rows == 64) return launch_wide<WideTensorKernel<W, Number, 2, 2>>(on, call);
  launch_wide<WideTensorKernel<W, Number, 2, 4>>(on, call);
}

template <class W, class On>
void launch_tensor_product(On& on, const GemmCall& call) {
  const GemmCut& c = call.cut;
  if (c.tile == Tile::wide) {
    if (is_fetchable(call.args.rows, call.copies.x)) return launch_wide_tensor<W, uint16_t>(on, call);
    return launch_wide_tensor<W, float>(on, call);
  }
  switch (c.rows) {
    case 8:
      return launch_product<TensorGemmKernel<W, 1>>(on, call);
    case 16:
      return launch_product<TensorGemmKernel<W, 2>>(on, call);
    case 32:
      return launch_product<TensorGemmKernel<W, 4>>(on, call);
    default:
      return launch_product<TensorGemmKernel<W, 8>>(on, call);
  }
}

template <class On>
void launch_sums(On& on, const GemmCall& call) {
  switch (call.args.format) {
    case WeightFormat::bf16:
      return launch_tensor_product<Bf16Weights>(on, call);
    case WeightFormat::i8:
      return launch_tensor_product<I8Weights>(on, call);
    default:
      if (call.cut.tile == Tile::wide) return launch_wide<WidePlainKernel>(on, call);
      if (call.cut.rows == 8) return launch_product<PlainGemmKernel<8>>(on, call);
      return launch_product<PlainGemmKernel<16>>(on, call);
  }
}

template <class On>
void launch_finish(On& on, const GemmCall& call) {
  const GemmArgs& a = call.args;
  if (!call.cut.finishes) return;
  if (a.epilogue.groups > 0) {
    on.template launch<FinishNormKernel>(Grid{a.rows.batch * a.epilogue.groups}, finish_threads(a),
                                         slot_bytes, call);
  } else {
    on.template launch_alone<FinishKernel>(Grid{up(a.rows.count() * a.n, group_threads)}, group_threads,
                                           call);
  }
}

template <class On>
void launch(On& on, const GemmArgs& a, const Bf16Copies& copies = {}) {
  const GemmCall call{a, cut_gemm(a, on.multiprocessors()), copies};
  launch_sums(on, call);
  launch_finish(on, call);
}

}  // namespace tendon::cuda
