// Rows of losses.
#include "ops/loss.h"

#include "ops/elementary.h"
#include "ops/pointwise.h"
#include "ops/shape.h"
#include "tests/ops/op_table.h"

namespace plumb::testing {

std::vector<OpCase> loss_cases() {
  using T = const Tensor&;
  constexpr Reduction none = Reduction::none, total = Reduction::sum;
  InputSpec target = fixed(tensor({2, 0, 3})), holes = fixed(tensor({2, -100, 3})), logits = real({3, 4}), unit = within(0.1, 0.9, {3, 4});
  Tensor weight = tensor({0.5, 1.0, 2.0, 1.5}, f64), signs = tensor({{1, -1, 1, 1}, {-1, 1, -1, 1}, {1, 1, -1, -1}});
  Tensor unrelated = tensor({{0.5, -1.0, 0.2, 1.0}, {-0.3, 0.4, 1.5, -0.8}}, f64);
  InputSpec low = within(-2, -0.5, {3, 4}), high = within(0.5, 2, {3, 4});
  return {
      {"cross_entropy", {logits, target}, [](T x, T t) { return cross_entropy(x, t); }},
      {"cross_entropy with everything",
       {logits, holes},
       [=](T x, T t) { return cross_entropy(x, t, {.weight = to(weight, x.device()), .label_smoothing = 0.1, .reduction = none}); }},
      {"cross_entropy of probabilities",
       {logits, unit},
       [=](T x, T t) { return cross_entropy(x, t, {.weight = to(weight, x.device()), .label_smoothing = 0.1}); }},
      {"cross_entropy summed, without a class",
       {logits, target},
       [](T x, T t) { return cross_entropy(x, t, {.ignore_index = 0, .reduction = total}); }},
      {"nll_loss", {logits, holes}, [=](T x, T t) { return nll_loss(x, t, {.weight = to(weight, x.device())}); }},
      {"nll_loss summed, without a class",
       {logits, target},
       [=](T x, T t) { return nll_loss(x, t, {.weight = to(weight, x.device()), .ignore_index = 3, .reduction = total}); }},
      {"focal_loss", {logits, holes}, [](T x, T t) { return focal_loss(x, t, {.gamma = 1.5}); }},
      {"focal_loss weighted, without a class",
       {logits, target},
       [=](T x, T t) { return focal_loss(x, t, {.weight = to(weight, x.device()), .ignore_index = 2, .reduction = total}); }},
      {"multi_margin_loss", {logits, target}, [](T x, T t) { return multi_margin_loss(x, t, {.margin = 8, .p = 2}); }},
      {"multi_margin_loss of distances",
       {logits, target},
       [](T x, T t) { return multi_margin_loss(x, t, {.margin = 8, .p = 1, .reduction = none}); }},
      {"bce with logits", {logits, unit}, [](T x, T t) { return binary_cross_entropy_with_logits(x, t, {.reduction = none}); }},
      {"bce with logits and weights",
       {logits, unit},
       [=](T x, T t) {
         return binary_cross_entropy_with_logits(x, t, {.weight = to(weight, x.device()), .pos_weight = to(weight, x.device())});
       }},
      {"binary_cross_entropy", {unit, unit}, [](T x, T t) { return binary_cross_entropy(x, t); }, false, 8, true, false},
      {"sigmoid_focal_loss", {logits, unit}, [](T x, T t) { return sigmoid_focal_loss(x, t); }},
      {"sigmoid_focal_loss unweighted",
       {logits, unit},
       [](T x, T t) { return sigmoid_focal_loss(x, t, {.gamma = 1, .alpha = -1, .reduction = total}); }},
      {"hinge_loss", {logits.away_from({-1, 1}), fixed(signs)}, [](T x, T t) { return hinge_loss(x, t); }},
      {"hinge_loss squared", {logits, fixed(signs)}, [](T x, T t) { return hinge_loss(x, t, {.margin = 3, .squared = true}); }},
      {"kl_div", {logits, unit}, [](T x, T t) { return kl_div(x, t, {.logits = true, .reduction = none}); }},
      {"kl_div summed", {logits, unit}, [](T x, T t) { return kl_div(x, t, {.reduction = total}); }},
      {"kl_div log target", {logits, logits}, [](T x, T t) { return kl_div(x, t, {.log_target = true}); }},
      {"js_divergence", {logits, logits}, [](T x, T y) { return js_divergence(x, y, {.logits = true}); }},
      {"js_divergence a row", {logits, logits}, [](T x, T y) { return js_divergence(x, y, {.logits = true, .reduction = none}); }},
      {"mse_loss", {logits, logits}, [](T x, T y) { return mse_loss(x, y); }},
      {"mse_loss summed", {logits, logits}, [](T x, T y) { return mse_loss(x, y, total); }},
      {"l1_loss", {low, high}, [](T x, T y) { return l1_loss(x, y, none); }},
      {"smooth_l1_loss near", {unit, unit}, [](T x, T y) { return smooth_l1_loss(x, y); }},
      {"smooth_l1_loss far", {low, high}, [](T x, T y) { return smooth_l1_loss(x, y, 0.5, none); }},
      {"huber_loss near", {unit, unit}, [](T x, T y) { return huber_loss(x, y); }},
      {"huber_loss far", {low, high}, [](T x, T y) { return huber_loss(x, y, 0.5, none); }},
      {"pseudo_huber_loss", {logits, logits}, [](T x, T y) { return pseudo_huber_loss(x, y, 0.7); }},
      {"cauchy_loss", {logits, logits}, [](T x, T y) { return cauchy_loss(x, y, 0.7); }},
      {"poisson_nll_loss", {logits, high}, [](T x, T y) { return poisson_nll_loss(x, y); }},
      {"poisson_nll_loss of rates",
       {high, within(1.2, 3, {3, 4})},
       [](T x, T y) { return poisson_nll_loss(x, y, {.log_input = false, .full = true}); }},
      {"gaussian_nll_loss", {logits, logits, high}, [](T x, T y, T v) { return gaussian_nll_loss(x, y, v); }},
      {"gaussian_nll_loss in full, summed",
       {logits, logits, high},
       [](T x, T y, T v) { return gaussian_nll_loss(x, y, v, {.full = true, .reduction = total}); }},
      {"cosine_similarity", {logits, logits}, [](T x, T y) { return cosine_similarity(x, y, 0); }},
      {"cosine_embedding_loss",
       {high, high, fixed(tensor({1, -1, 1}))},
       [](T x, T y, T t) { return cosine_embedding_loss(x, y, t, {.margin = 0.1}); }},
      {"triplet_margin_loss", {logits, logits, logits}, [](T x, T y, T z) { return triplet_margin_loss(x, y, z, {.margin = 9}); }},
      {"triplet_margin_loss swapped",
       {low, high, logits},
       [](T x, T y, T z) { return triplet_margin_loss(x, y, z, {.margin = 9, .p = 3, .swap = true, .reduction = none}); }},
      {"info_nce against more",
       {logits, logits},
       [=](T x, T y) {
         return info_nce(x, y,
                         {.temperature = 2, .normalize = false, .negatives = to(to(unrelated, x.device()), x.dtype()), .reduction = total});
       },
       false,
       12},
      {"info_nce", {logits, logits}, [](T x, T y) { return info_nce(x, y, {.temperature = 0.5, .symmetric = true}); }, false, 12},
  };
}

}  // namespace plumb::testing
