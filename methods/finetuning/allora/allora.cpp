// Steps by the lengths of rows.
#include "methods/finetuning/allora/allora.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "engine/autograd/grad_mode.h"
#include "ops/elementary.h"
#include "ops/matmul.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb::methods::allora {
namespace {

void check_eta(double eta) {
  if (!(eta > 0) || !std::isfinite(eta)) throw ValueError(fmt::format("allora: eta must be positive and finite, it is {}", eta));
}

void check_matrix(const Tensor& up) {
  if (up.rank() != 2) throw ShapeError("allora: takes a matrix [outputs, rank], got " + to_string(up.shape()));
}

// 1 / √(‖·‖ + 1/η²) of squared norms.
Tensor factor(const Tensor& squares, double eta, Rule rule) {
  Tensor size = rule == Rule::norm ? sqrt(squares) : squares;
  return 1 / sqrt(size + 1 / (eta * eta));
}

Tensor factors_of(const Tensor& value, const AdaptiveScale& s) {
  return s.grain == Grain::row ? row_factor(value, s.eta, s.rule) : matrix_factor(value, s.eta, s.rule);
}

bool among(const std::vector<Tensor>& list, const Tensor& p) {
  return std::any_of(list.begin(), list.end(), [&](const Tensor& q) { return q.same_as(p); });
}

void check_all(const std::vector<Tensor>& matrices, const AdaptiveScale& scale) {
  scale.check();
  for (const Tensor& m : matrices) check_matrix(m);
}

}  // namespace

void AdaptiveScale::check() const {
  check_eta(eta);
  if (!(weight_decay >= 0)) throw ValueError(fmt::format("allora: weight_decay must not be negative, it is {}", weight_decay));
}

Tensor row_factor(const Tensor& up, double eta, Rule rule) {
  check_matrix(up);
  check_eta(eta);
  NoGrad off;
  return factor(sum(square(up.detach()), {1}), eta, rule);
}

Tensor matrix_factor(const Tensor& up, double eta, Rule rule) {
  check_matrix(up);
  check_eta(eta);
  NoGrad off;
  return clone(expand(reshape(factor(sum(square(up.detach())), eta, rule), {1}), {up.size(0)}));
}

optim::GradientTransform scale_gradients(std::vector<Tensor> matrices, const AdaptiveScale& scale) {
  check_all(matrices, scale);
  return [matrices = std::move(matrices), scale](const std::vector<Tensor>& parameters, std::vector<Tensor>& gradients) {
    for (size_t i = 0; i < parameters.size(); ++i)
      if (gradients[i].defined() && among(matrices, parameters[i]))
        gradients[i] = gradients[i] * unsqueeze(factors_of(parameters[i], scale), 1);
  };
}

optim::UpdateHook scale_steps(std::vector<Tensor> matrices, const AdaptiveScale& scale) {
  check_all(matrices, scale);
  return {[matrices = std::move(matrices), scale](optim::Update& u) {
            if (!among(matrices, u.parameter)) return;
            Tensor decayed = u.before * (1 - u.lr * scale.weight_decay);
            copy_data(decayed + unsqueeze(factors_of(u.before, scale), 1) * (u.value - decayed), u.value);
          },
          true};
}

void adapt_steps(optim::Optimizer& optimizer, const AdapterFactors& adapters, const AdaptiveScale& scale) {
  std::vector<Tensor> matrices = adapters.up;
  if (scale.both) matrices.insert(matrices.end(), adapters.down.begin(), adapters.down.end());
  if (scale.placement == Placement::step)
    optimizer.add_hook(scale_steps(std::move(matrices), scale));
  else
    optimizer.add_transform(scale_gradients(std::move(matrices), scale));
}

Tensor per_sample_product(const Tensor& x, const Tensor& down, const Tensor& up, double eta, Rule rule) {
  check_eta(eta);
  Tensor hidden = linear(x, down);
  // The value, and the way to `down` and x …
  Tensor y = linear(hidden, up.detach());
  // … and 0, by which the gradient reaches `up`.
  Tensor toward_up = linear(hidden.detach(), up);
  Tensor f;
  {
    NoGrad off;
    f = factor(sum(square(y.detach()), {-1}, true), eta, rule);
  }
  return y + f * (toward_up - toward_up.detach());
}

Tensor dropout_penalty(const Tensor& x, const Tensor& w, double p) {
  if (x.rank() != 2 || w.shape() != Shape{x.size(1)})
    throw ShapeError("dropout_penalty: takes x [N, D] and w [D], got " + to_string(x.shape()) + " and " + to_string(w.shape()));
  if (!(p >= 0 && p < 1)) throw ValueError(fmt::format("dropout_penalty: p must lie in [0, 1), it is {}", p));
  return sum(square(w) * sum(square(x), {0})) * (p / (1 - p));
}

}  // namespace plumb::methods::allora
