// Kernel slots of attention and rotary embeddings.
#pragma once
#include "engine/core/kernel.h"
#include "engine/core/tensor.h"

namespace plumb {

/// What the attention kernels need to know beyond their tensors.
struct AttentionPlan {
  double scale = 1;
  bool causal = false;      ///< query i of T sees keys j ≤ i + S − T of S
  int64_t window = 0;       ///< if > 0, only keys j > i + S − T − window
  double dropout = 0;       ///< probability with which a weight is dropped
  uint64_t seed = 0, counter = 0;  ///< Philox stream of the dropout mask: weight (row, j) is lane (row·S + j) of it
};

/// While an operation calls an attention kernel, what it asks for, on its thread: a watcher, which is shown the tensors alone, may look
/// here. Else null.
inline thread_local const AttentionPlan* attention_plan_in_work = nullptr;
class AttentionPlanInWork {
 public:
  explicit AttentionPlanInWork(const AttentionPlan& plan) { attention_plan_in_work = &plan; }
  ~AttentionPlanInWork() { attention_plan_in_work = nullptr; }
  AttentionPlanInWork(const AttentionPlanInWork&) = delete;
  AttentionPlanInWork& operator=(const AttentionPlanInWork&) = delete;
};

namespace kernel {

/// q [B, H, T, D], k [B, G, S, D], v [B, G, S, E] with H a multiple of G; last dimension dense, other strides free.
/// mask: undefined, or f32 added to the scores, [B, H, T, S] with any strides (0 where broadcast).
/// out [B, H, T, E] (any strides, dense last); lse [B, H, T] row-major: log Σ_j exp(score_ij), −inf for a row that sees nothing (its out is
/// 0).
inline constinit Kernel<void(const AttentionPlan& plan, const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& mask, Tensor& out,
                             Tensor& lse)>
    attention{"attention"};
/// Gradients dq, dk, dv (strides free, dense last) from dout; overwritten. f64 scores are recomputed in f64, others in f32.
inline constinit Kernel<void(const AttentionPlan& plan, const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& mask,
                             const Tensor& out, const Tensor& lse, const Tensor& dout, Tensor& dq, Tensor& dk, Tensor& dv)>
    attention_backward{"attention_backward"};
/// y[.., t, :] = x[.., t, :] with pairs (i, j) turned by sign · positions[t] · frequencies[i]. x, y [N, T, D] row-major; positions i64 [T].
inline constinit Kernel<void(const Tensor& x, const Tensor& positions, const std::vector<double>& frequencies, bool interleaved,
                             double sign, Tensor& y)>
    rotary{"rotary"};

}  // namespace kernel
}  // namespace plumb
