// The penalties, on closed forms.
#include "methods/robust/hessian_alignment/hessian_alignment.h"

#include <fmt/format.h>

#include <algorithm>

#include "engine/autograd/grad_mode.h"
#include "ops/elementary.h"
#include "ops/join.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"

namespace plumb::methods::hessian_alignment {
namespace {

using Environments = std::vector<HeadStatistics>;

void check_environments(const Environments& environments) {
  if (environments.empty()) throw ValueError("hessian_alignment: there are no environments");
  for (const HeadStatistics& e : environments)
    if (e.gradient().shape() != environments[0].gradient().shape())
      throw ShapeError("hessian_alignment: heads differ: " + to_string(environments[0].gradient().shape()) + " and " +
                       to_string(e.gradient().shape()));
}

template <typename F>
std::vector<Tensor> of_each(const Environments& environments, F f) {
  std::vector<Tensor> values;
  for (const HeadStatistics& e : environments) values.push_back(f(e));
  return values;
}

Tensor mean_of(const std::vector<Tensor>& values) { return mean(stack(values), {0}); }

// mean_e (or Σ_e) ‖x_e − x̄‖²
Tensor spread(const std::vector<Tensor>& values, Tensor centre, const AlignmentOptions& o) {
  if (o.stop_gradient) centre = centre.detach();
  Tensor total = sum(square(stack(values) - centre));
  return o.sum ? total : total / static_cast<double>(values.size());
}

// α · curvature() + β · gradient term, each only if it counts.
template <typename Curvature>
Tensor penalty(const Environments& environments, const AlignmentOptions& o, Curvature curvature) {
  o.check();
  check_environments(environments);
  std::vector<Tensor> gradients = of_each(environments, [](const HeadStatistics& e) { return e.gradient(); });
  Tensor mean_gradient = mean_of(gradients);
  Tensor total = zeros({}, mean_gradient.dtype(), mean_gradient.device());
  if (o.alpha > 0) total = total + curvature(gradients, mean_gradient) * o.alpha;
  if (o.beta > 0) total = total + spread(gradients, mean_gradient, o) * o.beta;
  return total;
}

// H̄[v], since L̄ is a mean.
Tensor mean_hvp(const Environments& environments, const Tensor& v) {
  return mean_of(of_each(environments, [&](const HeadStatistics& e) { return e.hvp(v); }));
}

}  // namespace

void AlignmentOptions::check() const {
  if (!(alpha >= 0) || !(beta >= 0))
    throw ValueError(fmt::format("hessian_alignment: alpha {} and beta {} must not be negative", alpha, beta));
}

Tensor hgp_penalty(const Environments& environments, const AlignmentOptions& o) {
  return penalty(environments, o, [&](const std::vector<Tensor>& gradients, const Tensor& mean_gradient) {
    std::vector<Tensor> products;
    for (size_t e = 0; e < environments.size(); ++e) products.push_back(environments[e].hvp(gradients[e]));
    return spread(products, mean_hvp(environments, mean_gradient), o);
  });
}

Tensor diagonal_penalty(const Environments& environments, const AlignmentOptions& o) {
  return penalty(environments, o, [&](const std::vector<Tensor>&, const Tensor&) {
    std::vector<Tensor> diagonals = of_each(environments, [](const HeadStatistics& e) { return e.hessian_diagonal(); });
    return spread(diagonals, mean_of(diagonals), o);
  });
}

Tensor hutchinson_penalty(const Environments& environments, int64_t probes, const AlignmentOptions& o) {
  if (probes < 1) throw ValueError(fmt::format("hutchinson: needs at least 1 probe, not {}", probes));
  return penalty(environments, o, [&](const std::vector<Tensor>&, const Tensor& mean_gradient) {
    auto estimate = [&](auto hvp) {
      Tensor z = rademacher(probes, mean_gradient.shape(), mean_gradient.dtype());
      return mean(z * hvp(z), {0});
    };
    std::vector<Tensor> diagonals =
        of_each(environments, [&](const HeadStatistics& e) { return estimate([&](const Tensor& z) { return e.hvp(z); }); });
    return spread(diagonals, estimate([&](const Tensor& z) { return mean_hvp(environments, z); }), o);
  });
}

double hessian_distance(const Environments& environments) {
  check_environments(environments);
  NoGrad off;
  std::vector<Tensor> hessians = of_each(environments, [](const HeadStatistics& e) { return e.hessian(); });
  double largest = 0;
  for (size_t a = 0; a < hessians.size(); ++a)
    for (size_t b = a + 1; b < hessians.size(); ++b) largest = std::max(largest, spectral_norm_of_symmetric(hessians[a] - hessians[b]));
  return largest / spectral_norm_of_symmetric(mean_of(hessians));
}

}  // namespace plumb::methods::hessian_alignment
