// The Ising model, by sampling and by counting.
#include "methods/common/ising.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "ops/shape.h"

namespace plumb::methods {

Ising::Ising(IsingOptions options) : options_(options) {
  int64_t n = options.side;
  if (n < 3) throw ValueError("ising: the side must be at least 3, it is " + std::to_string(n));
  for (int64_t i = 0; i < n; ++i)
    for (int64_t j = 0; j < n; ++j)
      neighbours_.push_back({(i + n - 1) % n * n + j, i * n + (j + n - 1) % n, i * n + (j + 1) % n, (i + 1) % n * n + j});
}

std::vector<int> Ising::states(const Tensor& x) const {
  if (x.rank() != 2 || x.size(1) != sites())
    throw ShapeError("ising: takes states [B, " + std::to_string(sites()) + "], got " + to_string(x.shape()));
  std::vector<int> values;
  for (double v : to_vector(x)) {
    if (v != 0 && v != 1) throw ValueError("ising: a site is 0 or 1, one is " + decimal(v));
    values.push_back(static_cast<int>(v));
  }
  return values;
}

double Ising::log_f(const int* x) const {
  double total = 0;
  for (size_t i = 0; i < neighbours_.size(); ++i) {
    int around = 0, s = 2 * x[i] - 1;
    for (int64_t j : neighbours_[i]) around += 2 * x[j] - 1;
    total += s * (options_.coupling * around + options_.field);
  }
  return total;
}

Tensor Ising::log_f(const Tensor& x) const {
  std::vector<int> all = states(x);
  std::vector<double> result;
  for (int64_t b = 0; b < x.size(0); ++b) result.push_back(log_f(all.data() + b * sites()));
  return from_vector(result);
}

// log p(s_i = 1 | rest) − log p(s_i = −1 | rest) = 2 (2 J Σ s_j + b)
Tensor Ising::gibbs(const Tensor& x, int64_t sweeps, Generator& generator) const {
  std::vector<int> all = states(x);
  for (int64_t b = 0; b < x.size(0); ++b) {
    int* at = all.data() + b * sites();
    for (int64_t step = 0; step < sweeps * sites(); ++step) {
      int64_t i = step % sites();
      int around = 0;
      for (int64_t j : neighbours_[static_cast<size_t>(i)]) around += 2 * at[j] - 1;
      double up = 1 / (1 + std::exp(-2 * (2 * options_.coupling * around + options_.field)));
      at[i] = generator.next_double() < up;
    }
  }
  return to(from_vector(all, x.shape()), x.dtype());
}

EnumeratedIsing::EnumeratedIsing(const Ising& model) : sites_(model.sites()) {
  if (sites_ > 16) throw ValueError("ising: 2^" + std::to_string(sites_) + " states are too many to count; the side is at most 4");
  std::vector<int> x(static_cast<size_t>(sites_));
  double total = 0;
  for (int64_t state = 0; state < int64_t{1} << sites_; ++state) {
    for (int64_t i = 0; i < sites_; ++i) x[static_cast<size_t>(i)] = static_cast<int>(state >> i & 1);
    log_f_.push_back(model.log_f(x.data()));
    total += std::exp(log_f_.back());  // at most e^(2 · 0.1 · 32 + …): far from overflow for couplings of order 1
  }
  log_z_ = std::log(total);
}

double EnumeratedIsing::mean_log_f() const {
  double total = 0;
  for (double l : log_f_) total += std::exp(l - log_z_) * l;
  return total;
}

Tensor EnumeratedIsing::log_marginal(const Tensor& x) const {
  if (x.rank() != 2 || x.size(1) != sites_)
    throw ShapeError("ising: takes states [B, " + std::to_string(sites_) + "], got " + to_string(x.shape()));
  std::vector<double> values = to_vector(x), result;
  for (int64_t b = 0; b < x.size(0); ++b) {
    uint64_t known = 0, ones = 0;
    for (int64_t i = 0; i < sites_; ++i) {
      double v = values[static_cast<size_t>(b * sites_ + i)];
      if (v != 0 && v != 1 && v != -1) throw ValueError("ising: a site is 0, 1 or -1 (unknown), one is " + decimal(v));
      known |= uint64_t{v >= 0} << i;
      ones |= uint64_t{v == 1} << i;
    }
    double total = 0;
    for (uint64_t state = 0; state < log_f_.size(); ++state)
      if ((state & known) == ones) total += std::exp(log_f_[state] - log_z_);
    result.push_back(std::log(total));
  }
  return from_vector(result);
}

std::vector<double> EnumeratedIsing::site_means() const {
  std::vector<double> means(static_cast<size_t>(sites_));
  for (uint64_t state = 0; state < log_f_.size(); ++state)
    for (size_t i = 0; i < means.size(); ++i)
      if (state >> i & 1) means[i] += std::exp(log_f_[state] - log_z_);
  return means;
}

Tensor EnumeratedIsing::sample(int64_t n, Generator& generator) const {
  std::vector<double> sums;
  double total = 0;
  for (double l : log_f_) sums.push_back(total += std::exp(l - log_z_));
  std::vector<float> x;
  for (int64_t k = 0; k < n; ++k) {
    auto found = std::upper_bound(sums.begin(), sums.end(), generator.next_double() * total);
    auto state = std::min<uint64_t>(static_cast<uint64_t>(found - sums.begin()), sums.size() - 1);
    for (int64_t i = 0; i < sites_; ++i) x.push_back(static_cast<float>(state >> i & 1));
  }
  return from_vector(x, {n, sites_});
}

}  // namespace plumb::methods
