// Which linear classifier should be trained on few labelled features: logistic regression (discriminative) or Gaussian naive Bayes with
// shared variances (generative)? Zheng, Wu, Bao, Cao, Li & Zhu (ICML 2023), after Ng & Jordan (2001). Logistic regression is
// methods/common/logistic_regression.h.
#pragma once
#include <functional>
#include <vector>

#include "engine/core/generator.h"
#include "engine/core/tensor.h"

namespace plumb::methods::disc_vs_gen {

struct NaiveBayesOptions {
  double var_smoothing = 1e-9;  ///< added to every variance
  bool shared_variance = true;  ///< one variance a feature for all classes, which makes the classifier linear; else one a class: quadratic
};

/// Scores s_k(x) = log π_k − ½ Σ_j (x_j − μ_kj)² / σ_j², with π_k = m_k / m, the class means μ_k, the population variances v_kj (divided by
/// m_k) plus var_smoothing, and σ_j² = Σ_k π_k v_kj. Without shared_variance v_kj takes the place of σ_j², and −½ Σ_j log v_kj is added.
/// In f64. What is remembered is counts, means and sums of squares, so data may come in parts.
class GaussianNB {
 public:
  /// Throws ValueError for fewer than two classes or negative smoothing.
  explicit GaussianNB(int64_t classes, const NaiveBayesOptions& options = {});
  /// Forgets what was seen, and learns from x [m, n] with labels i64 [m]. Throws as check_class_rows.
  GaussianNB& fit(const Tensor& x, const Tensor& labels);
  /// Adds to what was seen, as if all had come together; classes may be missing so far. Throws ShapeError for another number of features.
  GaussianNB& partial_fit(const Tensor& x, const Tensor& labels);

  /// s [m, K]; softmax of it is the posterior. Throws ValueError while a class has no sample.
  Tensor scores(const Tensor& x) const;
  Tensor predict(const Tensor& x) const;        ///< class numbers [m]
  Tensor probabilities(const Tensor& x) const;  ///< [m, K]

  struct Linear {
    Tensor weight, bias;  ///< [K, n], [K]
  };
  /// w_kj = μ_kj / σ_j², b_k = log π_k − ½ Σ_j μ_kj² / σ_j²: the same posterior. Throws ValueError unless the variance is shared.
  Linear as_linear() const;

  const Tensor& means() const { return mean_; }  ///< μ [K, n]
  Tensor class_variances() const;                ///< v [K, n], smoothed
  Tensor pooled_variance() const;                ///< σ² [n]
  Tensor priors() const;                         ///< π [K]

 private:
  void check_ready() const;
  NaiveBayesOptions options_;
  int64_t classes_;
  Tensor count_, mean_, squares_;  // [K, 1], [K, n], Σ (x − μ)² [K, n]
};

/// Each feature to [0, 1] by its range over the rows given; a feature that is constant there gets divisor 1. Others are not clipped.
class MinMaxScaler {
 public:
  explicit MinMaxScaler(const Tensor& x);
  Tensor operator()(const Tensor& x) const;

 private:
  Tensor low_, span_;
};

/// Ψ(t) = ((1 + t) ln(1 + t) + (1 − t) ln(1 − t)) / 2 ≥ t² / 2 for t in [0, 1]: a zero-one excess of t costs at least that much excess of
/// the logistic loss, over all functions. Throws ValueError outside.
double logistic_h_consistency(double t);
/// The bound that follows: R₀₁ − R₀₁* ≤ √(2 (R_log − R_log*)).
double zero_one_bound(double logistic_excess);

/// `count` different rows of those with `labels`, drawn anew until every class is among them. Throws ValueError for fewer rows than classes
/// or more than there are, a class that is not there at all, or where 100,000 draws did not do.
Tensor draw_all_classes(const Tensor& labels, int64_t classes, int64_t count, Generator& generator);

struct SgdLogisticOptions {
  double lr = 30;  ///< as the paper's code on features in [0, 1]; 1 in its simulation
  double momentum = 0.9;
  int64_t epochs = 100, batch = 256;
};
/// A fitted classifier's class numbers for rows.
using Predict = std::function<Tensor(const Tensor& x)>;
/// Logistic regression by gradient descent on the mean cross-entropy, without a ridge: W ~ N(0, 0.01²), b = 0, the rate × 0.1 after 60 %
/// and 80 % of the epochs. Draws from `generator`. Throws as check_class_rows; ValueError unless lr, epochs and batch are positive.
Predict logistic_by_sgd(const Tensor& x, const Tensor& labels, int64_t classes, const SgdLogisticOptions& options, Generator& generator);

/// Fits to rows with labels.
using Fit = std::function<Predict(const Tensor& x, const Tensor& labels)>;
/// 1 − accuracy.
double error_rate(const Predict& predict, const Tensor& x, const Tensor& labels);

struct LabelledRows {
  Tensor x, y;  ///< f64 [m, n], i64 [m]
};
/// For each m: the test error of `fit` on m rows of `pool` that include all classes, scaled by their own ranges; mean over `repeats` draws.
std::vector<double> error_curve(const LabelledRows& pool, const LabelledRows& test, int64_t classes, const std::vector<int64_t>& ms,
                                int64_t repeats, const Fit& fit, Generator& generator);

/// The paper's grid 2 K, 2 K + ⌈ln n⌉, 2 K + 2 ⌈ln n⌉, … up to `most`.
std::vector<int64_t> sample_grid(int64_t features, int64_t classes, int64_t most);
/// The least m of an ascending grid with error(m) < target, walked from the left as the paper does; −1 if there is none.
int64_t sample_complexity(const std::vector<int64_t>& grid, double target, const std::function<double(int64_t m)>& error);
/// The same by doubling the place in the grid, then halving the gap: O(log) evaluations, equal where the error falls with m.
int64_t sample_complexity_by_halves(const std::vector<int64_t>& grid, double target, const std::function<double(int64_t m)>& error);

}  // namespace plumb::methods::disc_vs_gen
