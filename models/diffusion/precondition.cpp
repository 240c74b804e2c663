// Preconditioning. Scalings are functions of one number, evaluated for every example in f64.
#include "models/diffusion/precondition.h"

#include <cmath>
#include <string>

#include "ops/elementary.h"
#include "ops/pointwise.h"
#include "ops/shape.h"

namespace plumb::diffusion {
namespace {

struct ScalingTensors {
  Tensor skip, out, in, noise;
};

ScalingTensors tensors(const Precondition& p, const Tensor& x, const Tensor& sigma) {
  if (sigma.rank() != 1 || x.rank() < 1 || sigma.size(0) != x.size(0))
    throw ShapeError("denoise: sigma must hold one number an example of " + to_string(x.shape()) + ", it is " + to_string(sigma.shape()));
  std::vector<double> skip, out, in, noise;
  for (double s : to_vector(sigma)) {
    Scalings c = p.at(s);
    skip.push_back(c.skip), out.push_back(c.out), in.push_back(c.in), noise.push_back(c.noise);
  }
  auto place = [&](const std::vector<double>& v) { return to(to(from_vector(v), x.dtype()), x.device()); };
  return {per_example(place(skip), x), per_example(place(out), x), per_example(place(in), x), place(noise)};
}

void require(bool holds, const char* who, const char* what, double value) {
  if (!holds) throw ValueError(std::string(who) + ": " + what + ", it is " + decimal(value));
}

// ln σ that stays finite at σ = 0.
double log_level(double sigma) { return std::log(sigma + 1e-44); }

}  // namespace

Tensor per_example(const Tensor& numbers, const Tensor& x) {
  if (numbers.rank() != 1 || x.rank() < 1 || numbers.size(0) != x.size(0))
    throw ShapeError("per_example: " + to_string(numbers.shape()) + " is not one number an example of " + to_string(x.shape()));
  Shape shape = Shape::filled(x.rank(), 1);
  shape[0] = x.size(0);
  return reshape(to(numbers, x.device()), shape);
}

Tensor Precondition::denoise(const Network& network, const Tensor& x, const Tensor& sigma) const {
  ScalingTensors c = tensors(*this, x, sigma);
  return c.skip * x + c.out * network(c.in * x, c.noise);
}

Tensor Precondition::network_target(const Tensor& clean, const Tensor& x, const Tensor& sigma) const {
  ScalingTensors c = tensors(*this, x, sigma);
  return (clean - c.skip * x) / c.out;
}

EdmPrecondition::EdmPrecondition(double sigma_data, double noise_scale) : sigma_data_(sigma_data), noise_scale_(noise_scale) {
  require(sigma_data > 0, "edm", "sigma_data must be positive", sigma_data);
}
Scalings EdmPrecondition::at(double s) const {
  require(s > 0, "edm", "sigma must be positive", s);
  double d2 = sigma_data_ * sigma_data_, sum = s * s + d2;
  return {d2 / sum, s * sigma_data_ / std::sqrt(sum), 1 / std::sqrt(sum), noise_scale_ * 0.25 * std::log(s)};
}

ConsistencyPrecondition::ConsistencyPrecondition(double sigma_data, double sigma_min, double noise_scale)
    : sigma_data_(sigma_data), sigma_min_(sigma_min), noise_scale_(noise_scale) {
  require(sigma_data > 0, "consistency", "sigma_data must be positive", sigma_data);
  require(sigma_min > 0, "consistency", "sigma_min must be positive", sigma_min);
}
// σ often comes back from an f32 tensor, where σ_min is rounded: what rounds to it is it.
Scalings ConsistencyPrecondition::at(double s) const {
  require(static_cast<float>(s) >= static_cast<float>(sigma_min_), "consistency", "sigma must be at least sigma_min", s);
  double above = static_cast<float>(s) == static_cast<float>(sigma_min_) ? 0 : s - sigma_min_, d2 = sigma_data_ * sigma_data_,
         root = std::sqrt(s * s + d2);
  return {d2 / (above * above + d2), sigma_data_ * above / root, 1 / root, noise_scale_ * 0.25 * std::log(s)};
}

Scalings VpPrecondition::at(double s) const {
  require(s >= 0, "vp", "sigma must not be negative", s);
  double a = 1 / (1 + s * s), t = schedule_.time_of(s);
  switch (prediction_) {
    case Prediction::eps: return {1, -s, std::sqrt(a), t};
    case Prediction::x0: return {0, 1, std::sqrt(a), t};
    default: return {a, -std::sqrt(1 - a), std::sqrt(a), t};
  }
}

Scalings ContinuousVPrecondition::at(double s) const {
  require(s >= 0, "v", "sigma must not be negative", s);
  double root = std::sqrt(s * s + 1);
  return {1 / (s * s + 1), -s / root, 1 / root, 0.25 * log_level(s)};
}

Tensor add_noise(const Tensor& clean, const Tensor& noise, const Tensor& alpha_bar) {
  return per_example(sqrt(alpha_bar), clean) * clean + per_example(sqrt(1 - alpha_bar), clean) * noise;
}

Tensor velocity(const Tensor& clean, const Tensor& noise, const Tensor& alpha_bar) {
  return per_example(sqrt(alpha_bar), clean) * noise - per_example(sqrt(1 - alpha_bar), clean) * clean;
}

Tensor predicted_clean(Prediction kind, const Tensor& x, const Tensor& prediction, const Tensor& alpha_bar) {
  if (kind == Prediction::x0) return prediction;
  Tensor a = per_example(sqrt(alpha_bar), x), b = per_example(sqrt(1 - alpha_bar), x);
  return kind == Prediction::eps ? (x - b * prediction) / a : a * x - b * prediction;
}

}  // namespace plumb::diffusion
