// Measuring a model on a stream: every batch is predicted before it is learned from.
#pragma once
#include <vector>

#include "methods/fairness/feamoe/feamoe.h"

namespace plumb::methods::feamoe {

/// What was predicted for each batch of a stream, and what it adds up to. Ranges are batches [from, to), at least one (IndexError
/// otherwise); the rows of a range are measured together.
class PrequentialReport {
 public:
  /// Scores q [B], distances to acceptance r [B] and the truth, before the batch is learned from. Throws ShapeError if they do not fit.
  void add(const Tensor& q, const Tensor& distance, const Batch& batch);
  int64_t batches() const { return static_cast<int64_t>(kept_.size()); }

  /// Share of right decisions q ≥ ½.
  double accuracy(int64_t from, int64_t to) const;
  /// |P(accepted | A = 1) − P(accepted | A = 0)|.
  double demographic_parity(int64_t from, int64_t to) const;
  /// The larger of the gaps in true and in false positive rate; NaN where a rate has no rows.
  double equalised_odds(int64_t from, int64_t to) const;
  /// |mean r of the rejected of group 1 − of group 0|.
  double recourse_gap(int64_t from, int64_t to) const;

  /// Batches from `drift` until one's accuracy is within `tolerance` of the mean over [before, drift): 0 if the first is already,
  /// `end` − drift if none below `end` is.
  int64_t recovery(int64_t before, int64_t drift, int64_t end, double tolerance = 0.02) const;

 private:
  struct Predicted {
    Tensor q, distance, y, a;
  };
  Predicted range(int64_t from, int64_t to) const;
  std::vector<Predicted> kept_;
};

}  // namespace plumb::methods::feamoe
