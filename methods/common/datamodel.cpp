// Linear regressions of outputs on masks, and influence functions.
#include "methods/common/datamodel.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>

#include "engine/autograd/grad_mode.h"
#include "engine/data/dataset.h"
#include "ops/create.h"
#include "ops/elementary.h"
#include "ops/index.h"
#include "ops/linalg.h"
#include "ops/matmul.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "ops/softmax.h"

namespace plumb::methods {
namespace {

Shape behind(int64_t first, const Shape& rest) {
  Shape shape{first};
  for (int64_t size : rest) shape.push_back(size);
  return shape;
}

/// Number of elements of one row of x.
int64_t width_of(const Tensor& x) { return x.numel() / x.size(0); }
Shape row_shape(const Tensor& x) { return x.shape().slice(1, x.rank()); }

/// (G + λI)⁻¹ C by Cholesky; a singular G without penalty is refused.
Tensor ridge_solution(const Tensor& gram, const Tensor& cross, double lambda, int64_t m) {
  int64_t n = gram.size(0);
  auto refuse = [&] {
    throw ValueError(fmt::format("datamodel: λ = 0 with {} subset models of {} examples, whose masks are linearly dependent", m, n));
  };
  if (lambda == 0 && m <= n) refuse();
  Tensor l;
  try {
    l = cholesky(gram + lambda * eye(n, n, f64));
  } catch (const ValueError&) {
    if (lambda > 0) throw;
    refuse();
  }
  Tensor pivots = square(diagonal(l));
  double limit = static_cast<double>(n) * std::numeric_limits<double>::epsilon() * max(diagonal(gram)).item();
  if (lambda == 0 && min(pivots).item() <= limit) refuse();
  return triangular_solve(mT(l), triangular_solve(l, cross), /*upper=*/true);
}

/// min yᵀy − 2 cᵀβ + βᵀGβ + λ‖β‖₁ for each column of C, by coordinate descent: β_i ← S(c_i − Σ_{k ≠ i} G_ik β_k, λ/2) / G_ii.
class CoordinateDescent {
 public:
  CoordinateDescent(const Tensor& gram, const Tensor& cross, const DatamodelOptions& o)
      : options_(o),
        n_(static_cast<size_t>(gram.size(0))),
        outputs_(static_cast<size_t>(cross.size(1))),
        gram_(to_vector(gram)),
        cross_(to_vector(mT(cross))) {}

  Tensor solution() {
    std::vector<double> all;
    for (size_t k = 0; k < outputs_; ++k) {
      std::vector<double> beta = of_output(cross_.data() + k * n_);
      all.insert(all.end(), beta.begin(), beta.end());
    }
    return clone(mT(from_vector(all, {static_cast<int64_t>(outputs_), static_cast<int64_t>(n_)})));
  }

 private:
  std::vector<double> of_output(const double* cross) {
    std::vector<double> beta(n_), residual(cross, cross + n_);  // residual = c − Gβ
    for (int64_t sweep = 0; sweep < options_.sweeps; ++sweep) {
      double moved = 0, largest = 0;
      for (size_t i = 0; i < n_; ++i) {
        double g = gram_[i * n_ + i];
        if (g <= 0) continue;  // an example that is in all subsets, or in none
        double at = residual[i] + g * beta[i];
        double wanted = std::copysign(std::max(0.0, std::abs(at) - options_.lambda / 2), at) / g;
        largest = std::max(largest, std::abs(wanted));
        double change = wanted - beta[i];
        if (change == 0) continue;
        beta[i] = wanted;
        moved = std::max(moved, std::abs(change));
        for (size_t k = 0; k < n_; ++k) residual[k] -= change * gram_[i * n_ + k];
      }
      if (moved <= options_.tolerance * largest) break;
    }
    return beta;
  }

  DatamodelOptions options_;
  size_t n_, outputs_;
  std::vector<double> gram_, cross_;
};

Tensor one_row(int64_t n, const std::vector<int64_t>& places) {
  std::set<int64_t> seen;
  Tensor row = zeros({n}, f64);
  for (int64_t i : places) {
    if (i < 0 || i >= n) throw IndexError(fmt::format("datamodel: example {} is outside [0, {})", i, n));
    if (!seen.insert(i).second) throw ValueError(fmt::format("datamodel: example {} is to be removed twice", i));
    row.data<double>()[i] = 1;
  }
  return row;
}

}  // namespace

Tensor subset_masks(int64_t m, int64_t n, double alpha, Generator& generator, SubsetSize size) {
  if (m < 1 || n < 2) throw ValueError(fmt::format("subset_masks: {} subsets of {} examples", m, n));
  if (!(alpha > 0 && alpha < 1)) throw ValueError(fmt::format("subset_masks: alpha must lie in (0, 1), it is {}", alpha));
  auto fixed = static_cast<int64_t>(std::llround(alpha * static_cast<double>(n)));
  if (size == SubsetSize::fixed && (fixed == 0 || fixed == n))
    throw ValueError(fmt::format("subset_masks: alpha {} of {} examples is {} of them", alpha, n, fixed));
  Tensor masks = zeros({m, n}, DType::boolean);
  for (int64_t j = 0; j < m; ++j) {
    bool* row = masks.data<bool>() + j * n;
    if (size == SubsetSize::fixed) {
      auto order = data::random_order(n, generator);
      for (int64_t k = 0; k < fixed; ++k) row[order[static_cast<size_t>(k)]] = true;
      continue;
    }
    int64_t in = 0;
    while (in == 0 || in == n) {
      in = 0;
      for (int64_t i = 0; i < n; ++i) in += row[i] = generator.next_double() < alpha;
    }
  }
  return masks;
}

DatamodelRegression::DatamodelRegression(DatamodelOptions options) : options_(options) {
  if (!(options.lambda >= 0) || options.sweeps < 1 || !(options.tolerance >= 0))
    throw ValueError(fmt::format("datamodel: λ {}, {} sweeps, tolerance {}", options.lambda, options.sweeps, options.tolerance));
}

void DatamodelRegression::fit(const Tensor& masks, const Tensor& outputs) {
  if (masks.rank() != 2 || outputs.rank() < 1 || masks.size(0) != outputs.size(0))
    throw ShapeError(
        fmt::format("datamodel: masks {} and outputs {} must be [m, n] and [m, ..]", to_string(masks.shape()), to_string(outputs.shape())));
  int64_t m = masks.size(0);
  if (m < 2) throw ValueError(fmt::format("datamodel: takes at least 2 subset models, got {}", m));
  NoGrad no_grad;
  Tensor x = to(masks, f64), y = reshape(to(outputs, f64), {m, width_of(outputs)});
  Tensor x_mean = mean(x, {0}), y_mean = mean(y, {0});
  Tensor centred = x - x_mean, gram = matmul(mT(centred), centred), cross = matmul(mT(centred), y - y_mean);
  Tensor beta = options_.penalty == DatamodelPenalty::ridge ? ridge_solution(gram, cross, options_.lambda, m)
                                                            : CoordinateDescent(gram, cross, options_).solution();
  intercept_ = reshape(y_mean - matmul(x_mean, beta), row_shape(outputs));
  beta_ = reshape(beta, behind(masks.size(1), row_shape(outputs)));
}

void DatamodelRegression::check_fitted() const {
  if (!beta_.defined()) throw ValueError("datamodel: nothing was fitted yet");
}

Tensor DatamodelRegression::predict(const Tensor& masks) const {
  check_fitted();
  if (masks.rank() != 2 || masks.size(1) != beta_.size(0))
    throw ShapeError(fmt::format("datamodel: masks {} for {} examples", to_string(masks.shape()), beta_.size(0)));
  NoGrad no_grad;
  Tensor y = matmul(to(masks, f64), reshape(beta_, {beta_.size(0), width_of(beta_)}));
  return reshape(y, behind(masks.size(0), row_shape(beta_))) + intercept_;
}

Tensor DatamodelRegression::predict_removal(const std::vector<int64_t>& forget) const {
  check_fitted();
  return removal_effect(beta_, forget);
}

Tensor removal_effect(const Tensor& effects, const std::vector<int64_t>& forget) {
  NoGrad no_grad;
  Tensor row = one_row(effects.size(0), forget);
  return reshape(-matmul(row, reshape(to(effects, f64), {effects.size(0), width_of(effects)})), row_shape(effects));
}

LambdaChoice choose_lambda(const Tensor& masks, const Tensor& outputs, const std::vector<double>& candidates, double held_out,
                           DatamodelOptions options) {
  if (candidates.empty()) throw ValueError("datamodel: there is no λ to choose from");
  int64_t m = masks.size(0), kept = static_cast<int64_t>(std::llround((1 - held_out) * static_cast<double>(m)));
  if (!(held_out > 0 && held_out < 1) || kept < 2 || m - kept < 2)
    throw ValueError(fmt::format("datamodel: a held-out share of {} of {} subset models", held_out, m));
  NoGrad no_grad;
  LambdaChoice choice;
  for (double lambda : candidates) {
    options.lambda = lambda;
    DatamodelRegression regression(options);
    regression.fit(slice(masks, 0, 0, kept), slice(outputs, 0, 0, kept));
    Tensor missed = regression.predict(slice(masks, 0, kept)) - to(slice(outputs, 0, kept), f64);
    choice.errors.push_back(mean(square(missed)).item());
  }
  choice.lambda = candidates[static_cast<size_t>(std::ranges::min_element(choice.errors) - choice.errors.begin())];
  return choice;
}

Tensor influence_effects(const Tensor& jacobian, const Tensor& logits, const Tensor& labels, const Tensor& queries, double damping) {
  if (jacobian.rank() != 3 || logits.shape() != jacobian.shape().slice(0, 2) || labels.shape() != Shape{jacobian.size(0)} ||
      queries.rank() != 3 || queries.size(2) != jacobian.size(2))
    throw ShapeError(fmt::format("influence_effects: Jacobians {} and {} with logits {} and labels {}", to_string(jacobian.shape()),
                                 to_string(queries.shape()), to_string(logits.shape()), to_string(labels.shape())));
  if (!(damping > 0)) throw ValueError(fmt::format("influence_effects: damping must be positive, it is {}", damping));
  NoGrad no_grad;
  Tensor j = to(jacobian, f64), p = softmax(to(logits, f64), 1), q = to(queries, f64);
  int64_t n = j.size(0), classes = j.size(1), width = j.size(2), asked = q.size(0);
  double share = 1 / static_cast<double>(n);
  Tensor curvature = diag_embed(p) - unsqueeze(p, 2) * unsqueeze(p, 1);  // [n, C, C]
  Tensor flat = reshape(j, {n * classes, width});
  Tensor hessian = share * matmul(mT(flat), reshape(matmul(curvature, j), {n * classes, width})) + damping * eye(width, width, f64);
  Tensor gradients = squeeze(matmul(unsqueeze(p - to(one_hot(labels, classes), f64), 1), j), 1);  // [n, K]
  Tensor l = cholesky(0.5 * (hessian + mT(hessian)));
  Tensor solved = triangular_solve(mT(l), triangular_solve(l, mT(gradients)), /*upper=*/true);  // H⁻¹ g, [K, n]
  Tensor effects = matmul(reshape(q, {asked * q.size(1), width}), solved);                      // [q C, n]
  return reshape(-share * mT(effects), {n, asked, q.size(1)});
}

}  // namespace plumb::methods
