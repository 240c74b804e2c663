// A bounded fit of three parameters, and the onset that follows from it.
#include "methods/robust/adele/onset.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "engine/core/error.h"

namespace plumb::methods::adele {
namespace {

constexpr double kLeast = 1e-9;  // of b and c
using Three = std::array<double, 3>;

struct Points {
  const std::vector<double>&x, &y, &sigma;
  size_t size() const { return x.size(); }
};

// x^b / c; 0 at x = 0, also for b = 0.
double exponent(double x, double b, double c) { return x > 0 ? std::pow(x, b) / c : 0; }

double cost(const Points& p, const Saturation& f) {
  double total = 0;
  for (size_t j = 0; j < p.size(); ++j) total += std::pow((f(p.x[j]) - p.y[j]) / p.sigma[j], 2);
  return total;
}

// The best a in [0, 1] for given b and c: f is linear in it.
double best_a(const Points& p, double b, double c) {
  double up = 0, down = 0;
  for (size_t j = 0; j < p.size(); ++j) {
    double g = -std::expm1(-exponent(p.x[j], b, c)), w = 1 / (p.sigma[j] * p.sigma[j]);
    up += w * g * p.y[j];
    down += w * g * g;
  }
  return down > 0 ? std::clamp(up / down, 0.0, 1.0) : 0;
}

Saturation best_of_grid(const Points& p) {
  Saturation best;
  best.a = best_a(p, best.b, best.c);
  double least = cost(p, best);
  for (int i = 1; i <= 16; ++i)
    for (int k = -12; k <= 16; ++k) {
      double b = i / 16.0, c = std::pow(10.0, k / 4.0);
      Saturation f{best_a(p, b, c), b, c};
      double value = cost(p, f);
      if (value < least) least = value, best = f;
    }
  return best;
}

// Solves the symmetric system of the free parameters, (M + damping · diag M) d = −g; the others get 0. False if it is singular.
bool solve(std::array<Three, 3> m, Three g, const std::array<bool, 3>& free, double damping, Three& d) {
  for (size_t i = 0; i < 3; ++i) {
    if (!free[i]) {
      for (size_t k = 0; k < 3; ++k) m[i][k] = m[k][i] = 0;
      m[i][i] = 1;
      g[i] = 0;
    } else {
      m[i][i] *= 1 + damping;
    }
    d[i] = -g[i];
  }
  for (size_t i = 0; i < 3; ++i) {
    if (!(m[i][i] > 0)) return false;
    for (size_t r = i + 1; r < 3; ++r) {
      double by = m[r][i] / m[i][i];
      for (size_t k = i; k < 3; ++k) m[r][k] -= by * m[i][k];
      d[r] -= by * d[i];
    }
  }
  for (size_t i = 3; i-- > 0;) {
    for (size_t k = i + 1; k < 3; ++k) d[i] -= m[i][k] * d[k];
    d[i] /= m[i][i];
  }
  return std::isfinite(d[0]) && std::isfinite(d[1]) && std::isfinite(d[2]);
}

Saturation bounded(const Saturation& f) { return {std::clamp(f.a, 0.0, 1.0), std::clamp(f.b, kLeast, 1.0), std::max(f.c, kLeast)}; }

// Half the gradient and Gauss and Newton's half Hessian of the cost in (a, b, c).
void normal_equations(const Points& p, const Saturation& f, std::array<Three, 3>& m, Three& g) {
  m = {};
  g = {};
  for (size_t j = 0; j < p.size(); ++j) {
    double e = exponent(p.x[j], f.b, f.c), decay = std::exp(-e), log_x = p.x[j] > 0 ? std::log(p.x[j]) : 0;
    Three slope{-std::expm1(-e), f.a * decay * e * log_x, -f.a * decay * e / f.c};
    double residual = f(p.x[j]) - p.y[j], w = 1 / (p.sigma[j] * p.sigma[j]);
    for (size_t i = 0; i < 3; ++i) {
      g[i] += w * slope[i] * residual;
      for (size_t k = 0; k < 3; ++k) m[i][k] += w * slope[i] * slope[k];
    }
  }
}

Saturation levenberg_marquardt(const Points& p, Saturation f) {
  double value = cost(p, f), damping = 1e-3;
  for (int step = 0; step < 300 && damping < 1e12; ++step) {
    std::array<Three, 3> m;
    Three g, d;
    normal_equations(p, f, m, g);
    // A parameter that its bound stops stays where it is.
    std::array<bool, 3> free{!(f.a >= 1 && g[0] < 0) && !(f.a <= 0 && g[0] > 0), !(f.b >= 1 && g[1] < 0) && !(f.b <= kLeast && g[1] > 0),
                             !(f.c <= kLeast && g[2] > 0)};
    if (!solve(m, g, free, damping, d)) {
      damping *= 10;
      continue;
    }
    Saturation moved = bounded({f.a + d[0], f.b + d[1], f.c + d[2]});
    double after = cost(p, moved);
    if (!(after < value)) {
      damping *= 4;
      continue;
    }
    f = moved;
    value = after;
    damping = std::max(1e-12, damping / 4);
  }
  return f;
}

}  // namespace

double Saturation::operator()(double x) const { return -a * std::expm1(-exponent(x, b, c)); }

double Saturation::slope(double x) const { return a * b / c * std::exp(-exponent(x, b, c)) * std::pow(x, b - 1); }

Saturation fit_saturation(const std::vector<double>& x, const std::vector<double>& y, const std::vector<double>& sigma) {
  if (x.size() != y.size() || x.size() != sigma.size())
    throw ValueError(fmt::format("adele: {} places, {} values and {} deviations to fit", x.size(), y.size(), sigma.size()));
  if (x.size() < 3) throw ValueError(fmt::format("adele: three parameters cannot be fitted to {} points", x.size()));
  for (size_t j = 0; j < x.size(); ++j)
    if (!(x[j] >= 0 && std::isfinite(x[j]) && std::isfinite(y[j]) && sigma[j] > 0 && std::isfinite(sigma[j])))
      throw ValueError(fmt::format("adele: point {} to fit is ({}, {}) with deviation {}", j, x[j], y[j], sigma[j]));
  Points points{x, y, sigma};
  return levenberg_marquardt(points, best_of_grid(points));
}

Saturation fit_training_iou(const std::vector<double>& iou) {
  auto n = static_cast<double>(iou.size());
  std::vector<double> x, sigma;
  for (size_t j = 0; j < iou.size(); ++j) {
    double share = n > 1 ? static_cast<double>(j) / (n - 1) : 0;
    x.push_back(n * share);
    sigma.push_back(std::pow(0.1, share));
  }
  return fit_saturation(x, iou, sigma);
}

int64_t leading_flat(const std::vector<double>& iou, double jump) {
  size_t start = 0;
  while (start + 1 < iou.size() && iou[start + 1] - iou[start] < jump) ++start;
  return static_cast<int64_t>(start);
}

std::vector<double> slope_loss(const Saturation& fit, int64_t count) {
  constexpr double kShift = 1e-6;
  double first = fit.slope(1 + kShift);
  std::vector<double> out;
  if (first == 0) return out;
  for (int64_t t = 1; t <= count; ++t) {
    double r = std::abs(fit.slope(static_cast<double>(t) + kShift) - first) / std::abs(first);
    out.push_back(r > 1 ? 0 : r);
  }
  return out;
}

std::optional<int64_t> memorization_epoch(const std::vector<double>& history, double r, int64_t entries) {
  if (!(r > 0 && r < 1)) throw ValueError(fmt::format("adele: r must lie in (0, 1), it is {}", r));
  if (entries < 2) throw ValueError(fmt::format("adele: training of {} entries", entries));
  for (double iou : history)
    if (!(iou >= 0 && iou <= 1)) throw ValueError(fmt::format("adele: an IoU must lie in [0, 1], it is {}", iou));
  if (history.empty()) return std::nullopt;
  int64_t start = leading_flat(history);
  std::vector<double> rest(history.begin() + start, history.end());
  if (rest.size() < 3) return std::nullopt;
  auto losses = slope_loss(fit_training_iou(rest), entries - 1);
  return start + 1 + std::count_if(losses.begin(), losses.end(), [r](double loss) { return loss <= r; });
}

}  // namespace plumb::methods::adele
