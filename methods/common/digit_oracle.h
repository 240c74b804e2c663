// A classifier that judges generated digits: trained on real ones, it says which digit a sample is, and how the samples divide into digits.
#pragma once
#include "methods/common/digit_generation.h"
#include "models/mlp/mlp.h"

namespace plumb::methods {

/// Knows the rows of DigitVectors: a perceptron trained on four fifths of them, with a little noise.
class DigitOracle {
 public:
  /// About a second. Draws from the default generator.
  explicit DigitOracle(const DigitVectors& digits, int64_t steps = 1500);

  /// Probabilities of the ten digits for rows [n, 64]: [n, 10].
  Tensor probabilities(const Tensor& rows) const;
  /// The most likely digit, i64 [n].
  Tensor classes(const Tensor& rows) const;
  /// What the layer before the last says, [n, 64]: features for Fréchet and neighbour distances.
  Tensor features(const Tensor& rows) const;
  /// Share of the digits that it was not trained on which it names rightly.
  double accuracy() const { return accuracy_; }

 private:
  Tensor hidden(const Tensor& rows) const;
  mlp::Mlp body_;  // to the features
  nn::Linear head_;
  double accuracy_ = 0;
};

/// How samples divide into digits.
struct DigitDivision {
  double certain;    ///< share of samples to which one digit is given with probability > 0.9: those that look like a digit
  double imbalance;  ///< ½ Σ_c |share of c − 1/C|, the total variation from all C = 10 digits alike: 0.9 for samples of one digit
};
/// Of probabilities [n, C] of any C classes. Throws ShapeError unless n ≥ 1.
DigitDivision division(const Tensor& probabilities);
/// Throws ShapeError unless rows are [n, 64] with n ≥ 1.
DigitDivision division(const DigitOracle& oracle, const Tensor& rows);

}  // namespace plumb::methods
