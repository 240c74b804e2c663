// AR-Net: autoregression of a large order as a linear network, with a regulariser that finds the few lags that count.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "models/nn/containers.h"
#include "models/nn/linear.h"

namespace plumb::methods::ar_net {

struct ArNetConfig {
  int64_t order = 20;           ///< p, the lags that are read
  int64_t horizon = 1;          ///< h, the steps that are predicted
  std::vector<int64_t> hidden;  ///< widths of hidden layers with relu; none: the linear model, whose weights can be read

  std::string to_json() const;
  static ArNetConfig from_json(const std::string& json);
  /// Throws ConfigError naming what is out of range.
  void check() const;
};

/// ŷ_{t+k} = b_k + Σ_i w_ki y_{t−i} (Triebe, Laptev & Rajagopal 2019, eq. 2), or a perceptron of the same lags.
class ArNet : public nn::Module {
 public:
  /// Layers start as nn::Linear does. Throws as ArNetConfig::check.
  explicit ArNet(const ArNetConfig& config);
  /// lags [B, p], the newest value first as data::LagMatrix has them → [B, h]. Throws ShapeError for another number of lags.
  Tensor operator()(const Tensor& lags) const;
  /// The weight that reads the lags, [h, p] or [first hidden width, p]: what is regularised.
  const Tensor& lag_weight() const { return layers_[0].weight; }
  /// [h, p], lag 1 first, and [h]: the autoregression's. Throw ValueError where there are hidden layers.
  Tensor coefficients() const;
  Tensor intercept() const;
  /// How many lags have a weight of more than `threshold` in absolute value.
  int64_t lags_used(double threshold = 0.01) const;
  const ArNetConfig& config() const { return config_; }

 private:
  ArNetConfig config_;
  nn::ModuleList<nn::Linear> layers_;
};

// -- regularisers of a weight of any shape and n elements ----------------------------------------------------

struct SparsityForm {
  double c1 = 3, c2 = 3;  ///< for series of deviation 1; the released code's second version has 2 and 2
  double clip = 100;      ///< the largest |∂R/∂w_i| · n; changes nothing above |w| ≈ 4e-4 at c1 = c2 = 3. 0: none
};
/// R(w) = 1/n Σ [ 2 / (1 + e^{−c1 |w_i|^{1/c2}}) − 1 ] (eq. 5): steep near 0 and flat beyond, so that small weights go to 0 and large ones
/// stay. Its gradient is sign(w_i) min(clip, 2 e^{−u} / (1 + e^{−u})² · (c1 / c2) (|w_i| + 10⁻¹²)^{1/c2 − 1}) / n with u = c1 |w_i|^{1/c2}:
/// 0 at an exact 0, and finite everywhere. Throws ValueError unless c1 and c2 are positive and clip is not negative.
Tensor ar_sparsity_penalty(const Tensor& w, const SparsityForm& form = {});
/// 1/n Σ |w_i|^q, with the gradient treated alike: q = 1 is the lasso, q = ½ the paper's alternative. Throws ValueError unless 0 < q ≤ 1.
Tensor power_penalty(const Tensor& w, double exponent, double clip = 100);

/// λ = c (1/s − 1) (eq. 4), s the expected share of lags that are not zero: 0 for s = 1. Throws ValueError unless 0 < s ≤ 1, c ≥ 0.
double ar_lambda(double s, double c);
/// q² with q = (share of the training that is done − start) / (full − start), within [0, 1]: how λ grows in the released code's second
/// version. In the first it grows as optim::linear_rampup does over ten epochs. Throws ValueError unless 0 ≤ start < full.
double quadratic_ramp(double share, double start = 0, double full = 0.5);

// -- measures ------------------------------------------------------------------------------------------------

/// 100 Σ |ŵ − w| / (10⁻⁸ + Σ (|ŵ| + |w|)), the symmetric error of coefficients in per cent; the shorter vector is filled up with zeros.
/// Throws ShapeError unless both are vectors or rows [1, p].
double stpe(const Tensor& estimated, const Tensor& truth);
/// mean |y_{t+1} − y_t|: how large a series' noise is, for choosing c. Throws ShapeError for another shape, ValueError for fewer than 2
/// values.
double noise_estimate(const Tensor& series);

}  // namespace plumb::methods::ar_net
