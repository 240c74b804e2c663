// Lines of least squares.
#include "models/metrics/line_fit.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "engine/core/error.h"

namespace plumb {
namespace {

void check(const char* op, std::span<const double> x, std::span<const double> y) {
  if (x.size() != y.size())
    throw ValueError(std::string(op) + ": " + std::to_string(x.size()) + " x and " + std::to_string(y.size()) + " y must be as many");
  if (x.size() < 2) throw ValueError(std::string(op) + ": a line needs two points, got " + std::to_string(x.size()));
  for (size_t i = 0; i < x.size(); ++i)
    if (!std::isfinite(x[i]) || !std::isfinite(y[i])) throw ValueError(std::string(op) + ": point " + std::to_string(i) + " is not finite");
}

double mean_of(std::span<const double> v) {
  double total = 0;
  for (double a : v) total += a;
  return total / static_cast<double>(v.size());
}

}  // namespace

LineFit line_fit(std::span<const double> x, std::span<const double> y) {
  check("line_fit", x, y);
  double mx = mean_of(x), my = mean_of(y), xx = 0, xy = 0, yy = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    xx += (x[i] - mx) * (x[i] - mx);
    xy += (x[i] - mx) * (y[i] - my);
    yy += (y[i] - my) * (y[i] - my);
  }
  bool equal = std::ranges::all_of(x, [&](double a) { return a == x[0]; });  // whose mean is rounded, so that xx need not be 0
  if (equal || !(xx > 0)) throw ValueError("line_fit: all x are " + decimal(x[0]));
  LineFit fit;
  fit.slope = xy / xx;
  fit.intercept = my - fit.slope * mx;
  double errors = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    double e = y[i] - fit.intercept - fit.slope * x[i];
    errors += e * e;
  }
  constexpr double kNone = std::numeric_limits<double>::quiet_NaN();
  fit.slope_error = x.size() > 2 ? std::sqrt(errors / static_cast<double>(x.size() - 2) / xx) : kNone;
  fit.r2 = yy > 0 ? 1 - errors / yy : kNone;
  return fit;
}

LineFit power_law_fit(std::span<const double> x, std::span<const double> y) {
  check("power_law_fit", x, y);
  std::vector<double> lx, ly;
  for (size_t i = 0; i < x.size(); ++i) {
    if (!(x[i] > 0 && y[i] > 0))
      throw ValueError("power_law_fit: point " + std::to_string(i) + " (" + decimal(x[i]) + ", " + decimal(y[i]) +
                       ") must be positive");
    lx.push_back(std::log(x[i]));
    ly.push_back(std::log(y[i]));
  }
  return line_fit(lx, ly);
}

}  // namespace plumb
