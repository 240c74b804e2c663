// The small diffusion model of vectors.
#include "models/diffusion/vector_ddpm.h"

#include <cmath>
#include <utility>

#include "models/diffusion/sampler.h"
#include "ops/elementary.h"
#include "ops/index.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb::diffusion {
namespace {

TimeMlpConfig network_config(const VectorDdpmConfig& c) { return {.features = c.features, .hidden = c.hidden, .condition = c.classes}; }

}  // namespace

VectorDdpm::VectorDdpm(const VectorDdpmConfig& config, VpSchedule schedule)
    : config_(config), schedule_(std::move(schedule)), network_(network_config(config)) {
  register_module("network", network_);
}

Tensor VectorDdpm::operator()(const Tensor& x, const Tensor& t, const Tensor& label) const {
  std::vector<double> through, share;
  for (double time : to_vector(t)) {  // a sampler's times come back from levels σ
    double alpha_bar = schedule_.alpha_bar(std::llround(time));
    through.push_back(std::sqrt(1 - alpha_bar)), share.push_back(std::sqrt(alpha_bar));
  }
  auto each = [&](const std::vector<double>& numbers) {
    return per_example(plumb::to(plumb::to(from_vector(numbers), x.dtype()), x.device()), x);
  };
  Tensor told = plumb::to(t, x.dtype()) * (2 / static_cast<double>(schedule_.steps())) - 1;
  Tensor condition = label.defined() ? plumb::to(one_hot(label, config_.classes), x.dtype()) : Tensor();
  return each(through) * x + each(share) * network_(x, told, {}, condition);
}

Tensor VectorDdpm::losses(const Tensor& clean, const Tensor& label, Generator& generator) const {
  Tensor noise = randn_like(clean, &generator), t = randint(0, schedule_.steps(), {clean.size(0)}, {.dtype = i64, .generator = &generator});
  Tensor x = add_noise(clean, noise, plumb::to(plumb::to(schedule_.alpha_bar(t), clean.dtype()), clean.device()));
  return mean(square((*this)(x, plumb::to(t, clean.device()), label) - noise), {1});
}

Denoiser VectorDdpm::denoiser(Tensor label) const {
  return [this, label = std::move(label)](const Tensor& x, const Tensor& sigma) {
    return VpPrecondition(schedule_, Prediction::eps)
        .denoise([&](const Tensor& y, const Tensor& t) { return (*this)(y, t, label); }, x, sigma);
  };
}

// Noise of the last level in the scale of the data: there √ᾱ x₀ + √(1−ᾱ) z is taken as z alone, x = z/√ᾱ.
Tensor VectorDdpm::sampled(int64_t n, const Tensor& label, int64_t steps, Generator& generator) const {
  std::vector<double> sigmas = schedule_.sigmas(steps);
  Device device = network_.last_weight().device();
  Tensor z = randn({n, config_.features}, {.device = device, .generator = &generator});
  Tensor x = z / std::sqrt(schedule_.alpha_bar(schedule_.steps() - 1));
  return diffusion::sample(denoiser(label), x, sigmas, {.sampler = Sampler::ddim, .generator = &generator});
}

Tensor VectorDdpm::sample(const Tensor& label, int64_t steps, Generator& generator) const {
  return sampled(label.size(0), label, steps, generator);
}

Tensor VectorDdpm::sample(int64_t n, int64_t steps, Generator& generator) const { return sampled(n, {}, steps, generator); }

}  // namespace plumb::diffusion
