// Small non-linear least squares in double.
#include "models/data_mixing/mixing_law.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "engine/core/tensor.h"
#include "engine/data/mixture.h"
#include "models/data_mixing/loop.h"
#include "ops/linalg.h"

namespace plumb::data_mixing {
namespace {

constexpr double kStarts[] = {0, 0.3, 0.6, 0.9, 0.99};  // b in units of the smallest loss
constexpr int kIterations = 200;

double squared_error(const MixingLaw& law, const std::vector<Shares>& p, const Shares& y) {
  double total = 0;
  for (size_t n = 0; n < p.size(); ++n) total += (law(p[n]) - y[n]) * (law(p[n]) - y[n]);
  return total;
}

// (JᵀJ + λ diag(JᵀJ)) step = Jᵀ (y − L), the parameters being t and, last, b.
Shares damped_step(const MixingLaw& law, const std::vector<Shares>& p, const Shares& y, double lambda) {
  size_t k = law.t.size(), size = k + 1;
  std::vector<double> a(size * size, 0), right(size, 0);
  for (size_t n = 0; n < p.size(); ++n) {
    double scale = law(p[n]) - law.b, rest = y[n] - law(p[n]);
    Shares row(size, 1);
    for (size_t j = 0; j < k; ++j) row[j] = scale * p[n][j];
    for (size_t i = 0; i < size; ++i) {
      right[i] += row[i] * rest;
      for (size_t j = 0; j < size; ++j) a[i * size + j] += row[i] * row[j];
    }
  }
  for (size_t i = 0; i < size; ++i) a[i * size + i] += lambda * a[i * size + i] + 1e-12;
  auto n = static_cast<int64_t>(size);
  return to_vector(solve(from_vector(a, {n, n}), from_vector(right)));
}

// For a given b the law is linear in log(L − b): least squares for t.
MixingLaw start_at(double b, const std::vector<Shares>& p, const Shares& y) {
  size_t k = p[0].size();
  std::vector<double> rows, logs;
  for (size_t n = 0; n < p.size(); ++n) {
    rows.insert(rows.end(), p[n].begin(), p[n].end());
    logs.push_back(std::log(y[n] - b));
  }
  return {to_vector(lstsq(from_vector(rows, {static_cast<int64_t>(p.size()), static_cast<int64_t>(k)}), from_vector(logs))), b};
}

MixingLaw descend(MixingLaw law, const std::vector<Shares>& p, const Shares& y) {
  double error = squared_error(law, p, y), lambda = 1e-3;
  for (int i = 0; i < kIterations && lambda < 1e12; ++i) {
    Shares step = damped_step(law, p, y, lambda);
    MixingLaw next = law;
    for (size_t j = 0; j < law.t.size(); ++j) next.t[j] += step[j];
    next.b += step.back();
    double now = squared_error(next, p, y);
    if (now < error) {
      law = next, error = now, lambda = std::max(lambda / 3, 1e-15);
    } else {
      lambda *= 4;
    }
  }
  return law;
}

double total_loss(const std::vector<MixingLaw>& laws, const Shares& p) {
  double total = 0;
  for (const MixingLaw& law : laws) total += law(p);
  return total;
}

}  // namespace

double MixingLaw::operator()(const Shares& p) const {
  double x = 0;
  for (size_t j = 0; j < t.size(); ++j) x += t[j] * p[j];
  return std::exp(x) + b;
}

std::vector<MixingLaw> fit_mixing_laws(const std::vector<Shares>& mixtures, const std::vector<Shares>& losses) {
  if (mixtures.empty() || mixtures.size() != losses.size())
    throw ValueError(fmt::format("mixing law: {} mixtures and {} losses", mixtures.size(), losses.size()));
  size_t k = mixtures[0].size();
  if (mixtures.size() < k + 1)
    throw ValueError(fmt::format("mixing law: {} runs do not determine a law of {} groups; it takes {}", mixtures.size(), k, k + 1));
  for (const Shares& p : mixtures) data::check_mixture(p, static_cast<int64_t>(k));
  std::vector<MixingLaw> laws;
  for (size_t i = 0; i < losses[0].size(); ++i) {
    Shares y;
    for (const Shares& l : losses) y.push_back(l.at(i));
    for (double v : y)
      if (!(v > 0) || !std::isfinite(v)) throw ValueError(fmt::format("mixing law: a loss must be positive, it is {}", v));
    double smallest = *std::min_element(y.begin(), y.end()), least = std::numeric_limits<double>::infinity();
    MixingLaw best;
    for (double start : kStarts) {
      MixingLaw law = descend(start_at(start * smallest, mixtures, y), mixtures, y);
      double error = squared_error(law, mixtures, y);
      if (error < least) best = law, least = error;
    }
    laws.push_back(best);
  }
  return laws;
}

Shares best_mixture(const std::vector<MixingLaw>& laws) {
  if (laws.empty()) throw ValueError("mixing law: there are no laws");
  size_t k = laws[0].t.size();
  Shares p(k, 1.0 / static_cast<double>(k));
  double now = total_loss(laws, p), step = 1;
  for (int i = 0; i < 5000 && step > 1e-12; ++i) {
    Shares gain(k, 0);
    for (const MixingLaw& law : laws)
      for (size_t j = 0; j < k; ++j) gain[j] -= law.t[j] * (law(p) - law.b);
    Shares next = exponentiated_gradient_step(p, gain, step);
    double then = total_loss(laws, next);
    if (then < now) {
      p = next, now = then, step *= 1.5;
    } else {
      step /= 3;
    }
  }
  return p;
}

}  // namespace plumb::data_mixing
