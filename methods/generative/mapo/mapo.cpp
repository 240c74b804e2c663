// The bounded score and the two links.
#include "methods/generative/mapo/mapo.h"

#include <cmath>
#include <string>

#include "ops/activation.h"
#include "ops/elementary.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb::methods::mapo {
namespace {

constexpr double kSeries = 0.1, kLarge = 30;

// u/(eᵘ − 1) = 1 − u/2 + u²/12 − u⁴/720 + u⁶/30240 − u⁸/1209600 + …: below 0.1 the next term is less than 3e-18. In the plain formula the
// slope is a difference of numbers near 1/u, so the series goes farther up than the value alone would need.
Tensor series(const Tensor& u) {
  Tensor v = square(u);
  return 1 - u * 0.5 + v * (1.0 / 12 + v * (-1.0 / 720 + v * (1.0 / 30240 + v * (-1.0 / 1209600))));
}

// Each branch sees numbers of its own range only: a branch that is not taken would give 0 · ∞ in the derivative.
Tensor score(const Tensor& u) {
  Tensor small = u<kSeries, large = u> kLarge;
  Tensor low = where(small, u, 0.0), high = where(large, u, kLarge), middle = clamp(u, kSeries, kLarge);
  Tensor decay = exp(-high);
  return where(small, series(low), where(large, high * decay / (1 - decay), middle / expm1(middle)));
}

void require(bool holds, const char* what, double value) {
  if (!holds) throw ValueError(std::string("mapo: ") + what + ", it is " + decimal(value));
}

void check_values(const Tensor& errors, const char* which) {
  double least = min(errors).item();
  if (!(least >= 0))
    throw ValueError(std::string("mapo_loss: errors of ") + which + " samples must not be negative, one is " + decimal(least));
}

Tensor exact(const Tensor& x) { return to(x, compute_dtype(x.dtype())); }

}  // namespace

Tensor bounded_score(const Tensor& errors, double k) {
  require(k > 0 && std::isfinite(k), "snr must be positive and finite", k);
  return score(exact(errors) * k);
}

void MapoOptions::check() const {
  require(beta >= 0 && std::isfinite(beta), "beta must be finite and not negative", beta);
  require(snr > 0 && std::isfinite(snr), "snr must be positive and finite", snr);
  require(margin_scale > 0 && std::isfinite(margin_scale), "margin_scale must be positive and finite", margin_scale);
  require(power > 0 && std::isfinite(power), "power must be positive and finite", power);
}

MapoLoss mapo_loss(const diffusion::PairErrors& errors, const MapoOptions& o) {
  o.check();
  diffusion::check_errors("mapo_loss", errors);
  check_values(errors.preferred, "preferred");
  check_values(errors.rejected, "rejected");
  Tensor w = exact(errors.preferred), l = exact(errors.rejected);
  if (o.link == Link::power) {
    Tensor margin = pow(score(w), o.power) - pow(score(l), o.power), log_ratio = logsigmoid(margin);
    return {mean(w) - mean(log_ratio) * (1 / o.power), margin, log_ratio};
  }
  Tensor margin = bounded_score(w, o.snr) - bounded_score(l, o.snr), log_ratio = logsigmoid(margin * o.margin_scale);
  return {mean(w) - mean(log_ratio) * o.beta, margin, log_ratio};
}

Tensor sft_loss(const diffusion::PairErrors& errors) {
  diffusion::check_errors("sft_loss", errors);
  return mean(exact(errors.preferred));
}

Saturation saturation(const Tensor& margin, double scale) {
  Tensor z = margin * scale;
  return {mean(to(z > 10, f64)).item(), mean(to(z < -10, f64)).item()};
}

}  // namespace plumb::methods::mapo
