// What a kernel moves and computes, as far as the shapes of its tensors tell.
#pragma once
#include <optional>
#include <span>
#include <string_view>

#include "engine/core/tensor.h"
#include "ops/kernels/attention.h"

namespace plumb::tools {

struct SeenTensor {
  Shape shape;
  DType dtype = f32;
  int64_t bytes = 0;  ///< of its elements, those that are repeated by a stride of 0 once
};
/// x as it is now; `x` must be defined.
SeenTensor seen(const Tensor& x);
/// "f32 [2, 3]"
std::string to_string(const SeenTensor& x);

struct KernelCost {
  double bytes = 0;             ///< each tensor among the arguments read or written once: what must move at least
  std::optional<double> flops;  ///< nothing for kernels whose work their shapes do not tell
};

/// The cost of `kernel` (a name in ops/kernels/) on these tensors, in the order of its arguments, without those that are undefined.
/// An addition, a product and a function such as exp count as one operation each. Matrix products, convolutions and attention count their
/// 2 m n k alone, as is usual; attention those of the pairs of a query and a key that it sees by `plan` (about half of them if it is
/// causal; a mask leaves out none), and of all pairs if that is null.
KernelCost kernel_cost(std::string_view kernel, std::span<const SeenTensor> tensors, const AttentionPlan* plan = nullptr);
/// Of T queries and S keys, the share of pairs that a plan lets see each other.
double seen_share(const AttentionPlan& plan, int64_t queries, int64_t keys);

}  // namespace plumb::tools
