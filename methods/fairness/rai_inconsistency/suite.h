// The suite of measures of one model: accuracy, fairness of groups and of individuals, privacy, robustness; contradictory ones included.
#pragma once
#include <string>
#include <vector>

#include "ops/tensor_function.h"

namespace plumb::methods::rai_inconsistency {

/// One number; less is better for all. NaN where it is undefined (nobody of a group is selected, a class is missing): never 0.
struct Measure {
  std::string name;  ///< "demographic parity", "1 − AUC", …
  std::string kind;  ///< accuracy, group fairness, individual fairness, privacy or robustness
  double value = 0;
};
using MetricSuite = std::vector<Measure>;

/// What the suite measures beside predictions; a part that is left out is not measured.
struct EvalContext {
  double threshold = 0.5;  ///< a decision is h = [p ≥ threshold]
  int64_t bins = 10;       ///< of calibration errors
  int64_t neighbours = 5;
  Tensor others = {};    ///< features [n, d] without the protected attribute: individuals that are alike should be treated alike
  Tensor features = {};  ///< [n, F], what the model reads; with `model`: robustness
  TensorFunction model = [](const Tensor& x) { return x; };  ///< features [n, F] → logits [n] of y = 1
  double noise = 0.5;                                        ///< deviation of normal noise on features
  double fgsm = 0.1;                                         ///< size of the step of the adversary
  std::vector<double> member_losses = {};                    ///< losses on training examples: who was among them?
  std::vector<double> other_losses = {};                     ///< on examples that were not
  double shifted_share = 0.9;                                ///< share that one group gets when shares shift
};

/// Predictions p [n] = P(y = 1) in [0, 1], labels y [n], 0 or 1, and groups a [n]. In this order, gaps being the largest between two
/// groups:
///   accuracy: error, NLL (p clamped to [1e-12, 1 − 1e-12]), Brier = mean (p − y)², 1 − AUC, ECE
///   group fairness: demographic parity |s_a − s_b|, disparate impact 1 − min s / max s, equal opportunity |TPR gap|, equalised odds
///     max(|TPR gap|, |FPR gap|), predictive parity |PPV gap|, calibration in the large max_a |mean_a (y − p)|, group ECE gap, balance +
///     and − (gap of mean p among y = 1, y = 0), worst-group error
///   individual fairness: generalised entropy and Theil index of benefits h − y + 1; with `others` neighbour inconsistency
///     mean_i |h_i − mean_{j among the k nearest} h_j|
///   privacy: with both losses, membership advantage and membership AUC
///   robustness: error under group shift, the worst over groups of the error where that group makes up `shifted_share`; with `features`
///     error under noise and error under FGSM x + ε sign ∂L/∂x
/// Noise is drawn from the default generator. Throws ShapeError unless vectors have one length, ValueError for p outside [0, 1], a label
/// that is neither 0 nor 1, and where all rows are of one group.
MetricSuite evaluate(const Tensor& p, const Tensor& y, const Tensor& a, const EvalContext& context = {});

/// The value called `name`. Throws ValueError if there is none.
double value_of(const MetricSuite& suite, const std::string& name);

/// Those measures that follow from p, y and a alone, for resampling: accuracy, group fairness, benefits and group shift, in evaluate()'s
/// order.
MetricSuite evaluate_predictions(const Tensor& p, const Tensor& y, const Tensor& a, double threshold = 0.5, int64_t bins = 10);

/// Of each i, |h_i − mean_{j ∈ its k nearest others} h_j|, for decisions [n] and rows [n, d]; ties to the lower index. The mean over i is
/// the inconsistency. Throws as cluster::k_nearest.
std::vector<double> neighbour_inconsistency(const Tensor& decisions, const Tensor& rows, int64_t k = 5);

/// Fast gradient sign (Goodfellow et al. 2015): x + ε sign ∂L/∂x with L the binary cross-entropy of the model's logits.
Tensor fgsm(const TensorFunction& model, const Tensor& x, const Tensor& y, double epsilon);
/// −y log p − (1 − y) log(1 − p) of every row, p clamped to [1e-12, 1 − 1e-12].
std::vector<double> row_losses(const Tensor& p, const Tensor& y);

/// zCDP of T full-batch Gaussian steps of noise multiplier σ, ρ = T / (2σ²), as ε = ρ + 2 √(ρ ln(1/δ)) of (ε, δ)-privacy (Bun & Steinke
/// 2016). Throws ValueError unless T ≥ 0, σ > 0 and 0 < δ < 1.
struct PrivacyCost {
  double rho = 0, epsilon = 0;
};
PrivacyCost zcdp_cost(int64_t steps, double noise_multiplier, double delta);

}  // namespace plumb::methods::rai_inconsistency
