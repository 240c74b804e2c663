// Likelihood along the ODE.
#include "models/diffusion/likelihood.h"

#include <cmath>
#include <numbers>
#include <string>

#include "engine/autograd/backward.h"
#include "engine/autograd/grad_mode.h"
#include "ops/elementary.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb::diffusion {
namespace {

// The ODE's slope at one level, and its trace, [B] f64.
struct Slope {
  Tensor value, trace;
};

Tensor per_example_sum(const Tensor& x) { return sum(flatten(to(x, f64), 1), {1}); }

// Σ over directions v of vᵀ (∂d/∂x) v, each a backward pass through the denoiser.
Tensor slope_trace(const Tensor& d, const Tensor& x, const LikelihoodOptions& o) {
  int64_t batch = x.size(0), width = x.numel() / batch;
  Tensor total = zeros({batch}, f64, x.device());
  auto along = [&](const Tensor& v) { return per_example_sum(v * grad({d}, {x}, {.retain_graph = true}, {v})[0]); };
  for (int64_t k = 0; k < o.probes; ++k) {
    Tensor signs = to(bernoulli(x.shape(), 0.5, {.dtype = boolean, .device = x.device(), .generator = o.generator}), x.dtype()) * 2 - 1;
    total = total + along(signs) / static_cast<double>(o.probes);
  }
  for (int64_t j = 0; o.probes == 0 && j < width; ++j) {
    Tensor v = zeros({batch, width}, x.dtype(), x.device());
    Tensor one = narrow(v, 1, j, 1);
    copy_data(scalar_tensor(1.0, x.dtype(), x.device()), one);
    total = total + along(reshape(v, x.shape()));
  }
  return total;
}

Slope slope_at(const Denoiser& denoiser, const Tensor& at, double sigma, const LikelihoodOptions& o) {
  Tensor x = alias(at).requires_grad_(), d, trace;
  {
    GradMode on(true);
    d = denoiser(x, full({x.size(0)}, sigma, x.dtype(), x.device()));
  }
  if (d.requires_grad())
    trace = slope_trace(d, x, o);
  else
    trace = zeros({x.size(0)}, f64, x.device());  // a denoiser that ignores x
  auto width = static_cast<double>(x.numel() / x.size(0));
  return {(at - d.detach()) / sigma, (width - trace) / sigma};
}

}  // namespace

Tensor log_likelihood(const Denoiser& denoiser, const Tensor& start, const std::vector<double>& sigmas, const LikelihoodOptions& o) {
  if (o.probes < 0) throw ValueError("log_likelihood: probes must not be negative, it is " + std::to_string(o.probes));
  if (sigmas.size() < 2) throw ValueError("log_likelihood: needs at least 2 levels, got " + std::to_string(sigmas.size()));
  for (size_t i = 0; i + 1 < sigmas.size(); ++i)
    if (!(sigmas[i] > 0 && sigmas[i + 1] > sigmas[i]))
      throw ValueError("log_likelihood: levels must ascend from above 0, " + decimal(sigmas[i]) + " is followed by " +
                       decimal(sigmas[i + 1]));
  if (start.rank() < 2 || start.numel() == 0) throw ShapeError("log_likelihood: takes examples [B, ..], got " + to_string(start.shape()));
  NoGrad off;
  Tensor x = start.detach(), change = zeros({x.size(0)}, f64, x.device());
  for (size_t i = 0; i + 1 < sigmas.size(); ++i) {
    double length = sigmas[i + 1] - sigmas[i];
    Slope here = slope_at(denoiser, x, sigmas[i], o), there = slope_at(denoiser, x + here.value * length, sigmas[i + 1], o);
    x = x + (here.value + there.value) * (0.5 * length);
    change = change + (here.trace + there.trace) * (0.5 * length);
  }
  double variance = sigmas.back() * sigmas.back() + o.data_variance, width = static_cast<double>(x.numel() / x.size(0));
  return per_example_sum(square(to(x, f64))) * (-0.5 / variance) - 0.5 * width * std::log(2 * std::numbers::pi * variance) + change;
}

}  // namespace plumb::diffusion
