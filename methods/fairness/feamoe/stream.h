// A stream of batches with two drifts: one that costs accuracy, one that costs fairness.
#pragma once
#include <vector>

#include "methods/fairness/feamoe/feamoe.h"

namespace plumb::methods::feamoe {

struct DriftStreamOptions {
  int64_t batches = 60;
  int64_t rows = 300;            ///< of a batch
  int64_t inputs = 6;
  int64_t accuracy_drift = 20;   ///< first batch of it
  int64_t fairness_drift = 40;

  /// Throws ConfigError unless all are positive, inputs ≥ 3 and the drifts in order.
  void check() const;
};

/// A ~ Bernoulli(0.4), x ~ N(0, I), x₁ += 0.6 A − 0.3 (a proxy of the group), w ~ 1.5 N(0, I) once, y ~ Bernoulli(σ(w · x)).
/// From accuracy_drift on, rows with x₀ > 0 follow w′ instead, which is −w but for a third of its places: no linear model is right any
/// more. From fairness_drift on labels favour group 1, their logits += 1.2 (A − 0.4), and a second proxy appears: x₂ += A after the label
/// is drawn. Everything is drawn from the default generator. x f32 [rows, inputs], y and a i64 [rows].
std::vector<Batch> drift_stream(const DriftStreamOptions& options = {});

}  // namespace plumb::methods::feamoe
