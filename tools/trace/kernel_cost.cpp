// Costs by kernel. Where a kernel is not listed, its work cannot be told from shapes (a sort, a random draw) or is none.
#include "tools/trace/kernel_cost.h"

#include <fmt/format.h>

#include <algorithm>

namespace plumb::tools {
namespace {

using Tensors = std::span<const SeenTensor>;

double elements(const SeenTensor& x) { return static_cast<double>(numel(x.shape)); }
double last_size(const SeenTensor& x) { return x.shape.empty() ? 1 : static_cast<double>(x.shape.back()); }

// a [.., m, k] · b → out [.., m, n], out the last argument.
double product(Tensors t) { return 2 * elements(t.back()) * last_size(t[0]); }
// aᵀ b, summed over the rows of a [rows, m] and b [rows, n].
double outer_product(Tensors t) { return 2 * elements(t[0]) * last_size(t[1]); }
// Each element of y [N, O, ..] takes, or gives, one product for each number of its filter, of weight [O, ..].
double convolution(const SeenTensor& y, const SeenTensor& weight) {
  return y.shape.empty() || weight.shape[0] == 0 ? 0 : 2 * elements(y) * elements(weight) / static_cast<double>(weight.shape[0]);
}
// q [B, H, T, D], k [B, G, S, D], v [B, G, S, E]: scores of D products, values of E.
double scores(Tensors t) { return 2 * elements(t[0]) * static_cast<double>(t[1].shape[2]); }
double values(Tensors t) { return 2 * elements(t[0]) / last_size(t[0]) * static_cast<double>(t[1].shape[2]) * last_size(t[2]); }

struct Rule {
  const char* kernel;
  size_t least;                    ///< arguments that the rule looks at
  double (*flops)(Tensors tensors);
};
constexpr Rule kRules[] = {
    {"matmul", 3, product},
    {"matmul_gelu", 3, product},
    {"matmul_gelu_backward", 3, product},
    {"grouped_matmul", 3, product},
    {"grouped_outer", 3, outer_product},
    {"conv", 3, [](Tensors t) { return convolution(t.back(), t[1]); }},
    {"conv_transpose", 3, [](Tensors t) { return convolution(t[0], t[1]); }},
    {"conv_weight", 3, [](Tensors t) { return convolution(t[0], t.back()); }},
    {"attention", 4, [](Tensors t) { return scores(t) + values(t); }},
    // The scores once more, dq and dk, of D products each; the gradient of the weights and dv, of E.
    {"attention_backward", 7, [](Tensors t) { return 3 * scores(t) + 2 * values(t); }},
    // One an element of the result; of the input where that is added up.
    {"unary", 2, [](Tensors t) { return elements(t.back()); }},
    {"binary", 3, [](Tensors t) { return elements(t.back()); }},
    {"dropout", 2, [](Tensors t) { return elements(t.back()); }},
    {"accumulate", 2, [](Tensors t) { return elements(t.back()); }},
    {"reduce", 2, [](Tensors t) { return elements(t[0]); }},
    {"embedding_backward", 3, [](Tensors t) { return elements(t[0]); }},
    {"rotary", 3, [](Tensors t) { return 3 * elements(t[0]); }},  // four products and two sums a pair
    // maximum, x − max, exp, sum, quotient
    {"softmax", 2, [](Tensors t) { return 5 * elements(t[0]); }},
    // dy y, its sum, dy − sum, times y
    {"softmax_backward", 3, [](Tensors t) { return 4 * elements(t[0]); }},
    // maximum, x − max, exp, sum; backward: x − max − log Σ (2), exp, − q, times dy
    {"cross_entropy", 3, [](Tensors t) { return 4 * elements(t[0]); }},
    {"cross_entropy_backward", 3, [](Tensors t) { return 5 * elements(t[1]); }},
    // Mean 1, variance 3, (x − mean) · rstd · weight + bias 4. Backward: x̂ 2, dy · weight 1, its two means 3, dx 4, dweight 2, dbias 1.
    {"row_norm", 3, [](Tensors t) { return 8 * elements(t[0]); }},
    {"row_norm_backward", 3, [](Tensors t) { return 13 * elements(t[0]); }},
    {"group_norm", 3, [](Tensors t) { return 8 * elements(t[0]); }},
    {"group_norm_backward", 3, [](Tensors t) { return 13 * elements(t[0]); }},
    // With silu: its sigmoid 4, a product 1; backward the norm once more 3, the sigmoid 4, the slope of silu and its product with dy 5.
    {"group_norm_silu", 3, [](Tensors t) { return 13 * elements(t[0]); }},
    {"group_norm_silu_backward", 3, [](Tensors t) { return 25 * elements(t[0]); }},
    {"channel_moments", 3, [](Tensors t) { return 4 * elements(t[0]); }},
    {"channel_norm", 3, [](Tensors t) { return 4 * elements(t[0]); }},
    {"channel_norm_backward", 3, [](Tensors t) { return 13 * elements(t[0]); }},
};
// Kernels that move elements and compute nothing.
constexpr std::string_view kMoving[] = {"copy", "fill", "where", "gather", "embedding", "unfold", "arange"};

}  // namespace

SeenTensor seen(const Tensor& x) {
  int64_t once = 1;
  for (int i = 0; i < x.rank(); ++i)
    if (x.strides()[i] != 0 || x.shape()[i] == 0) once *= x.shape()[i];
  return {x.shape(), x.dtype(), once * static_cast<int64_t>(item_size(x.dtype()))};
}

std::string to_string(const SeenTensor& x) { return fmt::format("{} {}", name(x.dtype), plumb::to_string(x.shape)); }

double seen_share(const AttentionPlan& plan, int64_t queries, int64_t keys) {
  if (!plan.causal || queries == 0 || keys == 0) return 1;
  double pairs = 0;
  for (int64_t i = 0; i < queries; ++i) {
    int64_t end = std::clamp<int64_t>(i + keys - queries + 1, 0, keys),
            begin = plan.window > 0 ? std::max<int64_t>(0, i + keys - queries + 1 - plan.window) : 0;
    pairs += static_cast<double>(std::max<int64_t>(0, end - begin));
  }
  return pairs / (static_cast<double>(queries) * static_cast<double>(keys));
}

KernelCost kernel_cost(std::string_view kernel, std::span<const SeenTensor> tensors, const AttentionPlan* plan) {
  KernelCost cost;
  for (const SeenTensor& x : tensors) cost.bytes += static_cast<double>(x.bytes);
  if (kernel == "accumulate" && !tensors.empty()) cost.bytes += static_cast<double>(tensors.back().bytes);  // read before it is written
  if (std::ranges::find(kMoving, kernel) != std::end(kMoving)) cost.flops = 0;
  auto rule = std::ranges::find_if(kRules, [&](const Rule& r) { return kernel == r.kernel; });
  if (rule != std::end(kRules) && tensors.size() >= rule->least) cost.flops = rule->flops(tensors);
  if (plan && cost.flops && kernel.starts_with("attention")) *cost.flops *= seen_share(*plan, tensors[0].shape[2], tensors[1].shape[2]);
  return cost;
}

}  // namespace plumb::tools
