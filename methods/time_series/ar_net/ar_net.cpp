// The network and its regularisers.
#include "methods/time_series/ar_net/ar_net.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "engine/autograd/grad_mode.h"
#include "engine/autograd/record.h"
#include "engine/core/error.h"
#include "engine/io/json_fields.h"
#include "models/require.h"
#include "ops/activation.h"
#include "ops/elementary.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb::methods::ar_net {
namespace {

constexpr double kTiny = 1e-12;

constexpr auto fields = [](auto& c, auto&& f) { f("order", c.order), f("horizon", c.horizon), f("hidden", c.hidden); };

Tensor in_full(const Tensor& w) { return w.dtype() == f64 ? w : to(w, f32); }

// value, recorded with the gradient sign(w) min(clip, slope(|w| + tiny)) / n.
template <typename Slope>
Tensor penalty(const char* name, const Tensor& w, const Tensor& value, double clip, Slope slope) {
  return record(name, value, {w}, saving(w), [=](const Grads& dy, const Saved& s, Needs) -> Grads {
    const Tensor& x = s[0];
    Tensor steep = slope(abs(x) + kTiny);
    if (clip > 0) steep = clamp_max(steep, clip);
    return {dy[0] * sign(x) * steep / static_cast<double>(x.numel())};
  });
}

std::vector<double> vector_of(const char* op, const Tensor& w) {
  if (!(w.rank() == 1 || (w.rank() == 2 && w.size(0) == 1)))
    throw ShapeError(fmt::format("{}: takes a vector or a row [1, p], got {}", op, to_string(w.shape())));
  return to_vector(w);
}

}  // namespace

std::string ArNetConfig::to_json() const { return fields_to_json(*this, fields); }
ArNetConfig ArNetConfig::from_json(const std::string& text) { return fields_from_json<ArNetConfig>("ar_net", text, fields); }

void ArNetConfig::check() const {
  require_positive("ar_net", {{"order", order}, {"horizon", horizon}});
  for (int64_t width : hidden) require_positive("ar_net", {{"hidden", width}});
}

ArNet::ArNet(const ArNetConfig& c) : config_((c.check(), c)), layers_(this, "layers") {
  int64_t in = c.order;
  for (int64_t width : c.hidden) {
    layers_.emplace_back(in, width);
    in = width;
  }
  layers_.emplace_back(in, c.horizon);
}

Tensor ArNet::operator()(const Tensor& lags) const {
  if (lags.rank() != 2 || lags.size(1) != config_.order)
    throw ShapeError(fmt::format("ar_net: takes lags [B, {}], got {}", config_.order, to_string(lags.shape())));
  Tensor y = layers_[0](lags);
  for (size_t i = 1; i < layers_.size(); ++i) y = layers_[i](relu(y));
  return y;
}

Tensor ArNet::coefficients() const {
  if (layers_.size() > 1) throw ValueError("ar_net: a network with hidden layers has no coefficients of lags");
  return layers_[0].weight.detach();
}

Tensor ArNet::intercept() const {
  if (layers_.size() > 1) throw ValueError("ar_net: a network with hidden layers has no coefficients of lags");
  return layers_[0].bias.detach();
}

int64_t ArNet::lags_used(double threshold) const {
  return count_nonzero(amax(abs(lag_weight().detach()), {0}) > threshold).item<int64_t>();
}

// R = mean tanh(u / 2), u = c1 |w|^{1/c2};   dR/d|w| = 2 e^{−u} / (1 + e^{−u})² · (c1 / c2) |w|^{1/c2 − 1}
Tensor ar_sparsity_penalty(const Tensor& w, const SparsityForm& f) {
  if (!(f.c1 > 0 && f.c2 > 0 && f.clip >= 0))
    throw ValueError(
        fmt::format("ar_sparsity_penalty: c1 and c2 must be positive and clip not negative, they are {}, {} and {}", f.c1, f.c2, f.clip));
  Tensor x = in_full(w), value;
  {
    NoGrad off;
    value = mean(tanh(pow(abs(x), 1 / f.c2) * (f.c1 / 2)));
  }
  return penalty("ar_sparsity_penalty", x, value, f.clip, [c1 = f.c1, c2 = f.c2](const Tensor& size) {
    Tensor e = exp(pow(size, 1 / c2) * -c1);
    return 2.0 * e / square(1.0 + e) * pow(size, 1 / c2 - 1) * (c1 / c2);
  });
}

Tensor power_penalty(const Tensor& w, double q, double clip) {
  if (!(q > 0 && q <= 1 && clip >= 0))
    throw ValueError(fmt::format("power_penalty: the exponent must lie in (0, 1] and clip not be negative, they are {} and {}", q, clip));
  Tensor x = in_full(w), value;
  {
    NoGrad off;
    value = mean(pow(abs(x), q));
  }
  return penalty("power_penalty", x, value, clip, [q](const Tensor& size) { return q * pow(size, q - 1); });
}

double ar_lambda(double s, double c) {
  if (!(s > 0 && s <= 1)) throw ValueError(fmt::format("ar_lambda: the share of lags must lie in (0, 1], it is {}", s));
  if (!(c >= 0)) throw ValueError(fmt::format("ar_lambda: c must not be negative, it is {}", c));
  return c * (1 / s - 1);
}

double quadratic_ramp(double share, double start, double full) {
  if (!(start >= 0 && start < full))
    throw ValueError(fmt::format("quadratic_ramp: needs 0 ≤ start < full, they are {} and {}", start, full));
  double q = std::clamp((share - start) / (full - start), 0.0, 1.0);
  return q * q;
}

double stpe(const Tensor& estimated, const Tensor& truth) {
  std::vector<double> a = vector_of("stpe", estimated), b = vector_of("stpe", truth);
  a.resize(std::max(a.size(), b.size()));
  b.resize(a.size());
  double apart = 0, together = 1e-8;
  for (size_t i = 0; i < a.size(); ++i) apart += std::abs(a[i] - b[i]), together += std::abs(a[i]) + std::abs(b[i]);
  return 100 * apart / together;
}

double noise_estimate(const Tensor& series) {
  if (series.rank() != 1) throw ShapeError(fmt::format("noise_estimate: takes a series [N], got {}", to_string(series.shape())));
  std::vector<double> y = to_vector(series);
  if (y.size() < 2) throw ValueError(fmt::format("noise_estimate: needs 2 values, there are {}", y.size()));
  double total = 0;
  for (size_t t = 1; t < y.size(); ++t) total += std::abs(y[t] - y[t - 1]);
  return total / static_cast<double>(y.size() - 1);
}

}  // namespace plumb::methods::ar_net
