// The search for a scale, in f64, channel by channel.
#include "models/quantize/fit_scale.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

#include "ops/shape.h"

namespace plumb::quantize {
namespace {

constexpr double kNotNegative = -1e-9;  // what counts as zero of an activation

struct Candidate {
  double scale, offset;
};

// The numbers that share a scale, and their range.
struct Values {
  std::vector<double> sample;
  double low, high;

  Values(const std::vector<double>& all, int64_t wanted, const std::string& where) {
    for (double v : all)
      if (!std::isfinite(v)) throw ValueError("fit_scale: " + where + " holds " + decimal(v));
    if (all.empty()) throw ValueError("fit_scale: " + where + " is empty");
    auto [least, most] = std::minmax_element(all.begin(), all.end());
    low = *least, high = *most;
    size_t every = wanted > 0 ? std::max<size_t>(1, all.size() / static_cast<size_t>(wanted)) : 1;
    for (size_t i = 0; i < all.size(); i += every) sample.push_back(all[i]);
  }
};

Candidate candidate(const Values& v, const CodeRange& codes, bool symmetric, double factor) {
  auto span = static_cast<double>(codes.high - codes.low);
  double largest = std::max(std::abs(v.low), std::abs(v.high));
  if (symmetric) return {(codes.low < 0 ? 2 : 1) * factor * largest / span, 0};
  double scale = factor * (v.high - v.low) / span;
  return {scale, codes.low < 0 ? factor * v.low - scale * static_cast<double>(codes.low) : kNotNegative};
}

double error_of(const Values& v, const CodeRange& codes, const Candidate& c, double p) {
  auto low = static_cast<double>(codes.low), high = static_cast<double>(codes.high);
  double total = 0;
  for (double x : v.sample) {
    double q = c.scale * std::nearbyint(std::clamp((x - c.offset) / c.scale, low, high)) + c.offset;
    total += std::pow(std::abs(x - q), p);
  }
  return total;
}

struct Best {
  Candidate candidate;
  int64_t shrunk;
};

Best search(const Values& v, const CodeRange& codes, const FitOptions& o, const std::string& where) {
  if (o.symmetric ? v.low == 0 && v.high == 0 : v.low == v.high)
    throw ValueError("fit_scale: " + where + " is " + decimal(v.low) + " everywhere, so no scale fits it");
  if (codes.low == 0 && v.low < kNotNegative)
    throw ValueError("fit_scale: " + where + " holds " + decimal(v.low) + ", and the codes start from 0");
  Best best{{}, 0};
  double least = std::numeric_limits<double>::infinity();
  for (int64_t i = 0; i < o.steps; ++i) {
    Candidate c = candidate(v, codes, o.symmetric, 1 - 0.01 * static_cast<double>(i));
    if (double error = error_of(v, codes, c, o.p); error < least) least = error, best = {c, i};
  }
  return best;
}

void check(const Tensor& v, const CodeRange& codes, const FitOptions& o) {
  if (!is_floating(v.dtype())) unsupported_dtype("fit_scale", v.dtype());
  if (codes.low >= codes.high)
    throw ValueError("fit_scale: code " + decimal(codes.low) + " is not below code " + decimal(codes.high));
  if (!(o.p > 0)) throw ValueError("fit_scale: p must be positive, it is " + decimal(o.p));
  if (o.steps < 1 || o.steps > 100) throw ValueError("fit_scale: steps must lie in [1, 100], they are " + std::to_string(o.steps));
}

}  // namespace

FittedScale fit_scale(const Tensor& v, const CodeRange& codes, const FitOptions& o) {
  check(v, codes, o);
  Tensor rows = v.detach();
  if (o.axis >= 0) rows = reshape(movedim(rows, checked_dim("fit_scale", o.axis, v.rank()), 0), {v.size(o.axis), -1});
  int64_t channels = o.axis >= 0 ? rows.size(0) : 1;
  std::vector<double> all = to_vector(rows), scale, offset;
  FittedScale fitted;
  auto each = static_cast<std::ptrdiff_t>(all.size()) / std::max<int64_t>(1, channels);
  for (int64_t c = 0; c < channels; ++c) {
    std::string where = o.axis >= 0 ? "channel " + std::to_string(c) : "the tensor";
    Best best = search(Values({all.begin() + c * each, all.begin() + (c + 1) * each}, o.max_elements, where), codes, o, where);
    scale.push_back(best.candidate.scale), offset.push_back(best.candidate.offset);
    fitted.shrunk.push_back(best.shrunk);
  }
  fitted.scale = to(to(from_vector(scale), v.dtype()), v.device());
  fitted.offset = to(to(from_vector(offset), v.dtype()), v.device());
  return fitted;
}

bool never_negative(const Tensor& v) {
  std::vector<double> all = to_vector(v.detach());
  return std::ranges::all_of(all, [](double x) { return x >= kNotNegative; });
}

}  // namespace plumb::quantize
