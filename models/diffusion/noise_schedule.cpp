// Noise levels, computed in f64 on the host.
#include "models/diffusion/noise_schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <string>

#include "ops/elementary.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/shape.h"

namespace plumb::diffusion {

std::vector<double> karras_sigmas(int64_t count, double sigma_min, double sigma_max, double rho, GridOrder order) {
  if (count < 2) throw ValueError("karras_sigmas: a grid has at least 2 levels, " + std::to_string(count) + " asked for");
  if (!(sigma_min > 0) || !(sigma_max > sigma_min) || !std::isfinite(sigma_max) || !(rho > 0))
    throw ValueError("karras_sigmas: needs 0 < sigma_min < sigma_max and rho > 0, got " + decimal(sigma_min) + ", " +
                     decimal(sigma_max) + " and " + decimal(rho));
  double top = std::pow(sigma_max, 1 / rho), bottom = std::pow(sigma_min, 1 / rho);
  std::vector<double> sigmas(static_cast<size_t>(count));
  for (int64_t i = 0; i < count; ++i)
    sigmas[static_cast<size_t>(i)] = std::pow(top + static_cast<double>(i) / static_cast<double>(count - 1) * (bottom - top), rho);
  sigmas.front() = sigma_max;
  sigmas.back() = sigma_min;
  if (order == GridOrder::ascending) std::ranges::reverse(sigmas);
  return sigmas;
}

std::vector<double> karras_sigmas_to_zero(int64_t count, double sigma_min, double sigma_max, double rho) {
  std::vector<double> sigmas = karras_sigmas(count, sigma_min, sigma_max, rho);
  sigmas.push_back(0);
  return sigmas;
}

VpSchedule::VpSchedule(std::vector<double> betas) : betas_(std::move(betas)) {
  if (betas_.empty()) throw ValueError("vp_schedule: there are no steps");
  double product = 1;
  for (double b : betas_) {
    if (!(b > 0 && b < 1)) throw ValueError("vp_schedule: every beta must lie in (0, 1), one is " + decimal(b));
    alpha_bars_.push_back(product *= 1 - b);
  }
}

namespace {

// T numbers f(0) … f(1), evenly spaced arguments.
template <typename F>
std::vector<double> spread(int64_t steps, F&& f) {
  if (steps < 1) throw ValueError("vp_schedule: the number of steps must be positive, it is " + std::to_string(steps));
  std::vector<double> values;
  for (int64_t i = 0; i < steps; ++i) values.push_back(f(steps == 1 ? 0 : static_cast<double>(i) / static_cast<double>(steps - 1)));
  return values;
}

}  // namespace

VpSchedule VpSchedule::linear(int64_t steps, double first, double last) {
  return VpSchedule(spread(steps, [&](double u) { return first + u * (last - first); }));
}

VpSchedule VpSchedule::scaled_linear(int64_t steps, double first, double last) {
  double a = std::sqrt(first), b = std::sqrt(last);
  return VpSchedule(spread(steps, [&](double u) { return (a + u * (b - a)) * (a + u * (b - a)); }));
}

VpSchedule VpSchedule::cosine(int64_t steps, double offset, double max_beta) {
  if (steps < 1) throw ValueError("vp_schedule: the number of steps must be positive, it is " + std::to_string(steps));
  auto alpha_bar = [&](int64_t t) {
    double c = std::cos((static_cast<double>(t) / static_cast<double>(steps) + offset) / (1 + offset) * std::numbers::pi / 2);
    return c * c;
  };
  std::vector<double> betas;
  for (int64_t t = 0; t < steps; ++t) betas.push_back(std::min(1 - alpha_bar(t + 1) / alpha_bar(t), max_beta));
  return VpSchedule(std::move(betas));
}

size_t VpSchedule::checked(int64_t t) const {
  if (t < 0 || t >= steps())
    throw IndexError("vp_schedule: time " + std::to_string(t) + " is outside [0, " + std::to_string(steps()) + ")");
  return static_cast<size_t>(t);
}

double VpSchedule::sigma(int64_t t) const {
  double a = alpha_bar(t);
  return std::sqrt((1 - a) / a);
}

double VpSchedule::posterior_variance(int64_t t) const { return beta(t) * (1 - alpha_bar(t - 1)) / (1 - alpha_bar(t)); }

double VpSchedule::time_of(double wanted) const {
  int64_t low = 0, high = steps() - 1;
  if (wanted <= sigma(low)) return 0;
  if (wanted >= sigma(high)) return static_cast<double>(high);
  while (high - low > 1) {
    int64_t middle = (low + high) / 2;
    (sigma(middle) <= wanted ? low : high) = middle;
  }
  double a = std::log(sigma(low)), b = std::log(sigma(high));
  return static_cast<double>(low) + (std::log(wanted) - a) / (b - a);
}

std::vector<double> VpSchedule::sigmas(int64_t count) const {
  if (count < 1 || count > steps()) throw ValueError("vp_schedule: " + std::to_string(count) + " of " + std::to_string(steps()) + " steps");
  std::vector<double> levels;
  for (int64_t i = count; i >= 1; --i) levels.push_back(sigma(i * steps() / count - 1));
  levels.push_back(0);
  return levels;
}

Tensor VpSchedule::alpha_bar(const Tensor& t) const {
  std::vector<float> values;
  for (int64_t i : to_vector<int64_t>(t)) values.push_back(static_cast<float>(alpha_bar(i)));
  return to(from_vector(values, t.shape()), t.device());
}

double shifted_level(double u, double shift) { return shift * u / (1 + (shift - 1) * u); }

std::vector<double> flow_levels(int64_t count, double shift) {
  if (count < 1 || !(shift > 0))
    throw ValueError("flow_levels: needs at least one level and a positive shift, got " + std::to_string(count) + " and " +
                     std::to_string(shift));
  std::vector<double> levels;
  for (int64_t k = count; k >= 0; --k) levels.push_back(shifted_level(static_cast<double>(k) / static_cast<double>(count), shift));
  return levels;
}

Tensor lognormal_sigmas(int64_t n, double mean, double std, Generator& generator) {
  return exp(randn({n}, {.generator = &generator}) * std + mean);
}

std::vector<double> lognormal_bin_probabilities(const std::vector<double>& s, double mean, double std) {
  if (s.size() < 2 || !(std > 0))
    throw ValueError("lognormal_bin_probabilities: needs at least 2 levels and a positive std, got " + std::to_string(s.size()) + " and " +
                     std::to_string(std));
  std::vector<double> p;
  double total = 0;
  auto cdf = [&](double sigma) { return std::erf((std::log(sigma) - mean) / (std::numbers::sqrt2 * std)); };
  for (size_t i = 0; i + 1 < s.size(); ++i) {
    if (!(s[i] > 0 && s[i + 1] > s[i]))
      throw ValueError("lognormal_bin_probabilities: the grid must ascend from above 0, " + decimal(s[i]) + " is followed by " +
                       decimal(s[i + 1]));
    p.push_back(cdf(s[i + 1]) - cdf(s[i]));
    total += p.back();
  }
  for (double& x : p) x /= total;
  return p;
}

}  // namespace plumb::diffusion
