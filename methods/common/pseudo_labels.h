// Labels that a model gives itself: which ones to trust, how to weigh them, and how to keep their classes balanced.
#pragma once
#include <memory>
#include <vector>

#include "engine/core/tensor.h"
#include "methods/common/per_sample.h"

namespace plumb::methods {

/// The label of each row of probabilities [N, C] and how sure the model is. Outside the graph.
struct PseudoLabels {
  Tensor label;       ///< i64 [N], the first largest
  Tensor confidence;  ///< [N], its probability
};
/// Throws ShapeError unless probabilities are [N, C], ValueError (naming row and sum) for rows that do not sum to 1 within 1e-4.
PseudoLabels pseudo_labels(const Tensor& probabilities);
void check_probabilities(const char* name, const Tensor& probabilities);

/// 1 where the largest probability of a row is at least `threshold` (above it, if strict), else 0: [N], of the probabilities' type.
/// Throws ValueError for a threshold outside [0, 1].
Tensor confidence_mask(const Tensor& probabilities, double threshold, bool strict = false);

/// p^(1/T) / Σ p^(1/T) in each row. T < 1 sharpens; T = 1 is p. Throws ValueError unless T > 0.
Tensor sharpen(const Tensor& probabilities, double temperature);

/// Σ_j w_j CE(logits_j, target_j) / denominator for logits [N, C], target i64 [N] or probabilities [N, C], weight [N]; the usual
/// denominator is the whole batch's N (0 stands for it), not the number of confident rows. Target and weight are taken as constants.
/// Throws ShapeError for sizes that differ.
Tensor weighted_cross_entropy(const Tensor& logits, const Tensor& target, const Tensor& weight, double denominator = 0);

/// Distribution alignment (ReMixMatch; Berthelot et al. 2020): p_j ← p_j / m, renormalised, with m the recent mean prediction, against a
/// uniform prior. The mean is kept as FixMatch's code does, over the last 32 batches, or as an exponential average.
class DistributionAligner {
 public:
  /// The mean over the last `batches` batch means, the current one included; slots not yet filled count as zeros, which the
  /// normalisation cancels. Throws ValueError for batches < 1.
  static DistributionAligner queue(int64_t classes, int64_t batches = 32);
  /// m ← d m + (1 − d) batch mean, before it is used; the first batch mean at first.
  static DistributionAligner average(int64_t classes, double decay = 0.999);
  /// As average, but m starts as 1 / classes and is moved after it was used (SimMatchV2).
  static DistributionAligner average_after(int64_t classes, double decay = 0.9);
  /// probabilities [N, C] → aligned ones, outside the graph. Throws as pseudo_labels does.
  Tensor align(const Tensor& probabilities);
  /// What the predictions are divided by at the moment, [C].
  Tensor mean() const;
  /// Goes on from a stored mean [C]. Throws ValueError for a queue, which is more than its mean.
  void set_mean(const Tensor& mean);

 private:
  enum class Kind : uint8_t { queue, before, after };
  DistributionAligner(Kind kind, int64_t classes, int64_t batches, double decay);
  Kind kind_;
  FeatureQueue queue_;
  Tensor mean_;
  double decay_;
};

/// An exponential average of numbers that starts at the first one.
class ScalarEma {
 public:
  /// Throws ValueError unless 0 ≤ decay < 1.
  explicit ScalarEma(double decay);
  double update(double value);
  double value() const { return value_; }

 private:
  double decay_, value_ = 0;
  bool started_ = false;
};

/// Thresholds that follow each class's progress (FlexMatch; Zhang et al. 2021): T_c = θ β_c / (2 − β_c), β_c = σ_c / max(max σ, unused),
/// σ_c the number of unlabelled examples whose latest prediction above θ was c, `unused` how many never had one.
class FlexThresholds {
 public:
  FlexThresholds(int64_t unlabelled, int64_t classes, double threshold = 0.95);
  /// [C], as of now.
  std::vector<double> thresholds() const;
  /// 1 where the confidence is at least the label's threshold, [N] f32.
  Tensor mask(const PseudoLabels& labels) const;
  /// Notes the labels of confident examples; index i64 [N] in [0, unlabelled), else IndexError.
  void update(const Tensor& index, const PseudoLabels& labels);

 private:
  double threshold_;
  std::vector<int64_t> latest_;  // −1: none
  int64_t classes_;
};

/// What an unlabelled batch was used for, added up over a stretch of training.
class UtilisationMeter {
 public:
  /// weight [N]: the rows with a weight above 0 are used; label and truth i64 [N].
  void add(const Tensor& weight, const Tensor& label, const Tensor& truth);
  double used() const { return seen_ ? used_ / seen_ : 0; }        ///< share of the rows seen
  double accuracy() const;                                          ///< of the used rows' labels; NaN if none was used
  void reset() { seen_ = used_ = right_ = 0; }

 private:
  double seen_ = 0, used_ = 0, right_ = 0;
};

}  // namespace plumb::methods
