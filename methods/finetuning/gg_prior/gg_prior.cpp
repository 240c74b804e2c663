// The start, the penalty, and the rate.
#include "methods/finetuning/gg_prior/gg_prior.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>

#include "engine/autograd/grad_mode.h"
#include "ops/elementary.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb::methods::gg_prior {
namespace {

void shrink(const Tensor& parameter, const ShapeFit& fit, int64_t count, const BackslashOptions& o, double factor) {
  if (o.offset == 0 && fit.shape < 1)
    throw ValueError("backslash: with offset 0 the step at 0 is infinite for the fitted shape " + decimal(fit.shape));
  double length = factor * o.lambda * fit.shape / static_cast<double>(count);
  Tensor w = parameter.detach(), magnitude = abs(w);
  Tensor step = pow(magnitude + o.offset, fit.shape - 1) * length;
  if (o.clip) step = minimum(step, magnitude);
  copy_data(w - sign(w) * step, w);
}

}  // namespace

GeneralizedGaussian start_of(const Shape& weight, const InitOptions& o) {
  if (weight.rank() < 2) throw ShapeError("gg_prior: a weight has at least two dimensions, got " + to_string(weight));
  if (!(o.variance > 0)) throw ValueError("gg_prior: the variance must be positive, it is " + decimal(o.variance));
  GeneralizedGaussian{o.shape, 1}.check();
  int64_t fan = o.fan == nn::init::Fan::out ? weight[0] : weight[1];
  for (int i = 2; i < weight.rank(); ++i) fan *= weight[i];
  return GeneralizedGaussian::of_variance(o.shape, o.variance / static_cast<double>(fan));
}

void initialize(Tensor weight, const InitOptions& o, Generator& generator) {
  NoGrad off;
  Tensor draws =
      start_of(weight.shape(), o).sample(weight.shape(), {.dtype = weight.dtype(), .device = weight.device(), .generator = &generator});
  Tensor elements = weight.detach();
  copy_data(draws, elements);
}

void initialize(nn::Module& model, const InitOptions& o, Generator& generator) {
  for (const auto& [name, parameter] : model.named_parameters()) {
    if (parameter.rank() >= 2)
      initialize(parameter, o, generator);
    else if (name.find("weight") != std::string::npos)
      nn::init::ones(parameter);
    else if (name.find("bias") != std::string::npos)
      nn::init::zeros(parameter);
  }
}

ShapeFit backslash(const std::vector<Tensor>& parameters, const BackslashOptions& o, double factor) {
  NoGrad off;
  if (parameters.empty()) throw ValueError("backslash: there are no parameters");
  if (!(o.lambda >= 0 && o.offset >= 0))
    throw ValueError("backslash: lambda and offset must not be negative, they are " + decimal(o.lambda) + " and " +
                     decimal(o.offset));
  WeightMoments all = weight_moments(parameters);
  ShapeFit fit = fit_moments(all);
  if (o.lambda == 0) return fit;
  for (const Tensor& p : parameters) {
    WeightMoments own = o.per_tensor ? weight_moments({p}) : all;
    if (o.per_tensor && own.sum_abs == 0) continue;  // zeros stay
    if (o.per_tensor) fit = fit_moments(own);
    shrink(p, fit, own.count, o, factor);
  }
  return fit;
}

Tensor rate_bits(const Tensor& weights, const GeneralizedGaussian& prior, double step) {
  if (!(step > 0)) throw ValueError("rate_bits: the step must be positive, it is " + decimal(step));
  prior.check();
  Tensor magnitude = abs(weights), zero = magnitude == 0;
  Tensor powers = where(zero, 0.0, pow(where(zero, 1.0, magnitude) / prior.scale, prior.shape));
  double each = std::log2(2 * prior.scale / prior.shape) + std::lgamma(1 / prior.shape) / std::log(2.0) - std::log2(step);
  return sum(powers) / std::log(2.0) + each * static_cast<double>(weights.numel());
}

void prune_smallest(const std::vector<Tensor>& parameters, double share) {
  NoGrad off;
  if (!(share >= 0 && share <= 1)) throw ValueError("prune_smallest: the share must be in [0, 1], it is " + decimal(share));
  std::vector<double> all;
  for (const Tensor& p : parameters)
    for (double w : to_vector(p.detach())) all.push_back(w);
  std::vector<size_t> order(all.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return std::abs(all[a]) < std::abs(all[b]); });
  auto count = static_cast<size_t>(std::llround(share * static_cast<double>(all.size())));
  for (size_t i = 0; i < count; ++i) all[order[i]] = 0;
  size_t at = 0;
  for (const Tensor& p : parameters) {
    auto n = static_cast<size_t>(p.numel());
    Tensor elements = p.detach();
    copy_data(
        from_vector(std::vector<double>(all.begin() + static_cast<int64_t>(at), all.begin() + static_cast<int64_t>(at + n)), p.shape()),
        elements);
    at += n;
  }
}

}  // namespace plumb::methods::gg_prior
