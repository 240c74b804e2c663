// Steps of the reverse SDE. Shares are numbers of each example, computed in f64.
#include "models/diffusion/stochastic_solver.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "engine/autograd/grad_mode.h"
#include "models/diffusion/sampler.h"
#include "models/diffusion/solver.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/shape.h"

namespace plumb::diffusion {
namespace {

Tensor column(const std::vector<double>& numbers, const Tensor& x) {
  return per_example(to(to(from_vector(numbers), x.dtype()), x.device()), x);
}

}  // namespace

NoiseRule NoiseRule::eta(double eta) {
  if (!(eta >= 0 && eta <= 1)) throw ValueError("noise_rule: eta must lie in [0, 1], it is " + decimal(eta));
  NoiseRule rule;
  rule.eta_ = eta;
  return rule;
}

NoiseRule NoiseRule::scaled(std::function<double(double)> phi) {
  if (!phi) throw ValueError("noise_rule: phi is missing");
  NoiseRule rule;
  rule.phi_ = std::move(phi);
  return rule;
}

NoiseRule NoiseRule::er_sde5() {
  return scaled([](double x) { return x * (std::exp(std::pow(x, 0.3)) + 10); });
}

StepShares NoiseRule::at(double from, double to) const {
  if (!(to >= 0 && to < from))
    throw ValueError("sde_step: a step goes down to a level in [0, " + decimal(from) + "), not to " + decimal(to));
  if (!phi_) {
    auto [up, down] = eta_step(from, to, eta_);
    return {down / from, up};
  }
  double keep = phi_(to) / phi_(from);
  return {keep, std::sqrt(std::max(to * to - from * from * keep * keep, 0.0))};
}

Tensor sde_step(const NoiseRule& rule, const Denoiser& denoiser, const Tensor& x, const Tensor& from, const Tensor& to,
                Generator& generator) {
  std::vector<double> high = to_vector(from), low = to_vector(to), keep, noise;
  if (high.size() != low.size())
    throw ShapeError("sde_step: " + std::to_string(high.size()) + " levels to start from, " + std::to_string(low.size()) + " to go to");
  for (size_t b = 0; b < high.size(); ++b) {
    StepShares shares = rule.at(high[b], low[b]);
    keep.push_back(shares.keep), noise.push_back(shares.noise);
  }
  if (rule.deterministic() && std::ranges::all_of(low, [](double s) { return s > 0; }))
    return ode_step(Solver::euler, denoiser, x, from, to);
  Tensor estimate = denoiser(x, from), next = estimate + column(keep, x) * (x - estimate);
  return rule.deterministic() ? next : next + column(noise, x) * randn_like(x, &generator);
}

Tensor solve_path(const NoiseRule& rule, const Denoiser& denoiser, const Tensor& x, const std::vector<Tensor>& path, Generator& generator) {
  if (path.size() < 2) throw ValueError("solve_path: a path has at least 2 levels, not " + std::to_string(path.size()));
  NoGrad off;
  Tensor y = x;
  for (size_t k = 0; k + 1 < path.size(); ++k) y = sde_step(rule, denoiser, y, path[k], path[k + 1], generator);
  return y;
}

Tensor vp_step(const NoiseRule& rule, const VpSchedule& schedule, const Tensor& clean, const Tensor& eps, const std::vector<int64_t>& from,
               const std::vector<int64_t>& to, const Tensor& noise) {
  if (from.size() != to.size() || static_cast<int64_t>(from.size()) != clean.size(0))
    throw ShapeError("vp_step: " + std::to_string(from.size()) + " and " + std::to_string(to.size()) + " times for " +
                     to_string(clean.shape()));
  if (!rule.deterministic() && !noise.defined()) throw ValueError("vp_step: a step with noise needs noise");
  std::vector<double> of_clean, of_eps, of_noise;
  for (size_t b = 0; b < from.size(); ++b) {
    if (to[b] >= from[b])
      throw ValueError("vp_step: a step goes to an earlier time, not from " + std::to_string(from[b]) + " to " + std::to_string(to[b]));
    double sigma = schedule.sigma(from[b]), scale = std::sqrt(schedule.alpha_bar(to[b]));
    StepShares shares = rule.at(sigma, schedule.sigma(to[b]));
    of_clean.push_back(scale), of_eps.push_back(scale * shares.keep * sigma), of_noise.push_back(scale * shares.noise);
  }
  Tensor next = column(of_clean, clean) * clean + column(of_eps, clean) * eps;
  return rule.deterministic() ? next : next + column(of_noise, clean) * noise;
}

}  // namespace plumb::diffusion
