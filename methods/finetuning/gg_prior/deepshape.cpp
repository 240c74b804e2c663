// Weights dealt out anew by their ranks.
#include "methods/finetuning/gg_prior/deepshape.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <string>

#include "engine/autograd/grad_mode.h"
#include "methods/common/entropy_coding.h"
#include "ops/shape.h"

namespace plumb::methods::gg_prior {
namespace {

std::vector<double> pooled(const std::vector<Tensor>& parameters) {
  std::vector<double> all;
  for (const Tensor& p : parameters) {
    std::vector<double> values = to_vector(p.detach());
    all.insert(all.end(), values.begin(), values.end());
  }
  return all;
}

void put_back(const std::vector<double>& all, const std::vector<Tensor>& parameters) {
  NoGrad off;
  auto at = all.begin();
  for (const Tensor& p : parameters) {
    Tensor elements = p.detach();
    copy_data(from_vector(std::vector<double>(at, at + p.numel()), p.shape()), elements);
    at += p.numel();
  }
}

// Places in ascending order of their values; equal ones in their own order.
template <typename T>
std::vector<size_t> ranking(const std::vector<T>& values) {
  std::vector<size_t> order(values.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return values[a] < values[b]; });
  return order;
}

int64_t tail_limit(const std::vector<int64_t>& k, int64_t seldom) {
  Counts counts = count_integers(k);
  for (auto it = counts.upper_bound(0); it != counts.end(); ++it)
    if (it->second <= seldom) return it->first;
  return std::max(std::abs(counts.begin()->first), std::abs(counts.rbegin()->first));
}

// ν̂, a and μ of the weights without their tail.
void fit_body(const std::vector<double>& w, double steps, DeepshapeReport& r) {
  WeightMoments m;
  double total = 0;
  for (double x : w) {
    if (std::abs(x) * steps > static_cast<double>(r.tail)) continue;
    m.sum_abs += std::abs(x), m.sum_squares += x * x, total += x;
    ++m.count;
  }
  r.fit = fit_moments(m);
  r.scale = GeneralizedGaussian::of_variance(r.fit.shape, r.fit.deviation * r.fit.deviation).scale;
  r.middle = static_cast<int64_t>(std::trunc(total / static_cast<double>(m.count) * steps));
}

void plan_counts(double steps, const DeepshapeOptions& o, DeepshapeReport& r) {
  double shape = o.shape_factor * r.fit.shape, scale = o.scale_factor * r.scale * steps, sum = 0;
  for (int64_t x = -r.tail; x <= r.tail; ++x) {
    r.probabilities.push_back(std::exp(-std::pow(static_cast<double>(std::abs(x)) / scale, shape)));
    sum += r.probabilities.back();
  }
  for (double& p : r.probabilities) {
    p /= sum;
    r.counts.push_back(static_cast<int64_t>(std::floor(static_cast<double>(r.moved) * p)));
  }
}

void deal_out(const DeepshapeReport& r, std::vector<int64_t>& k) {
  std::vector<size_t> order = ranking(k);
  std::erase_if(order, [&](size_t i) { return std::abs(k[i] - r.middle) > r.tail; });
  size_t next = 0;
  for (size_t x = 0; x < r.counts.size(); ++x)
    for (int64_t i = 0; i < r.counts[x]; ++i) k[order[next++]] = r.middle - r.tail + static_cast<int64_t>(x);
}

std::vector<double> reshaped(const std::vector<double>& w, const GeneralizedGaussian& target, double strength, double middle) {
  if (w.empty()) throw ValueError("deepshape: there are no weights");
  if (!(strength >= 0 && strength <= 1)) throw ValueError("deepshape: the strength must be in [0, 1], it is " + decimal(strength));
  target.check();
  if (strength == 0) return w;
  std::vector<double> out(w.size());
  std::vector<size_t> order = ranking(w);
  for (size_t rank = 0; rank < order.size(); ++rank) {
    double mapped = middle + target.quantile((static_cast<double>(rank) + 0.5) / static_cast<double>(w.size()));
    out[order[rank]] = (1 - strength) * w[order[rank]] + strength * mapped;
  }
  return out;
}

}  // namespace

void DeepshapeOptions::check() const {
  if (bits < 0 || bits > 30) throw ValueError("deepshape: bits must be in [0, 30], they are " + std::to_string(bits));
  if (tail_count < 0) throw ValueError("deepshape: tail_count must not be negative, it is " + std::to_string(tail_count));
  if (!(shape_factor > 0 && scale_factor > 0))
    throw ValueError("deepshape: factors must be positive, they are " + decimal(shape_factor) + " and " +
                     decimal(scale_factor));
}

DeepshapeReport deepshape(const std::vector<Tensor>& parameters, const DeepshapeOptions& o) {
  o.check();
  double steps = std::ldexp(1.0, o.bits);
  std::vector<double> w = pooled(parameters);
  std::vector<int64_t> k = grid_integers(parameters, 1 / steps);
  DeepshapeReport r;
  r.tail = tail_limit(k, o.tail_count);
  fit_body(w, steps, r);
  r.moved = std::ranges::count_if(k, [&](int64_t x) { return std::abs(x - r.middle) <= r.tail; });
  plan_counts(steps, o, r);
  deal_out(r, k);
  for (size_t i = 0; i < w.size(); ++i) w[i] = static_cast<double>(k[i]) / steps;
  put_back(w, parameters);
  return r;
}

Tensor deepshape_continuous(const Tensor& weights, const GeneralizedGaussian& target, double strength, double middle) {
  NoGrad off;
  return to(to(from_vector(reshaped(to_vector(weights.detach()), target, strength, middle), weights.shape()), weights.dtype()),
            weights.device());
}

void deepshape_continuous_(const std::vector<Tensor>& parameters, const GeneralizedGaussian& target, double strength, double middle) {
  put_back(reshaped(pooled(parameters), target, strength, middle), parameters);
}

}  // namespace plumb::methods::gg_prior
