// PS-KD (Kim, Ji, Yoon, Hwang, ICCV 2021): a network is its own teacher. What it predicted for an example in the last epoch takes the place
// of a growing part of the label.
//   q_n = (1 − α_t) y_n + α_t P_n,    α_t = α_T t / T in epoch t = 1 … T,    loss = −mean_n Σ_c q_nc log softmax(z_n)_c
// P_n is the softmax of the very pass that example n was trained with in the epoch before, a constant; y_n in the first epoch. The gradient
// on the logits is (p_n − q_n) / B: it falls most for examples that became easier since the last epoch.
#pragma once
#include <vector>

#include "methods/common/per_sample.h"

namespace plumb::methods::ps_kd {

/// α_t = last · t / epochs. Throws ValueError unless 0 ≤ last ≤ 1 and 1 ≤ t ≤ epochs.
double mixing_weight(double last, int64_t t, int64_t epochs);

/// The targets of a training run, one row an example. All that a checkpoint must hold is table() and epoch().
class ProgressiveTargets {
 public:
  /// In the first epoch. Throws ValueError unless samples, classes and epochs are positive and 0 ≤ last ≤ 1.
  ProgressiveTargets(int64_t samples, int64_t classes, int64_t epochs, double last = 0.8);

  /// Throws ValueError unless 1 ≤ t ≤ epochs.
  void begin_epoch(int64_t t);
  int64_t epoch() const { return epoch_; }
  /// α of this epoch.
  double alpha() const;

  /// q [B, classes] of the examples index (i64 [B]) with labels i64 [B] or soft labels [B, classes]; outside the graph. An example without
  /// a prediction has its label. Throws IndexError for an index outside [0, samples) or a label outside [0, classes), ShapeError for shapes
  /// that do not fit.
  Tensor targets(const Tensor& index, const Tensor& labels) const;
  /// P alone, so that another loss can take the cross-entropy's place for the labels' part: (1 − α) ℓ(z, y) + α CE(z, P).
  Tensor predictions(const Tensor& index, const Tensor& labels) const;
  /// Stores what was predicted, [B, classes]: to be called after the targets of the same batch were taken. Of an index that occurs twice
  /// the last row stays. Throws as targets does, ValueError for a row with an entry outside [0, 1] (NaN too) or whose sum is not 1 within
  /// 1e-3. Nothing is changed then.
  void update(const Tensor& index, const Tensor& probabilities);
  /// Whether one of the examples has a prediction. Until then targets() gives the labels alone.
  bool any_seen(const Tensor& index) const;

  /// [samples, classes], rows of zeros where there is no prediction yet; a handle: a module may hold it as a buffer.
  const Tensor& table() const { return predictions_.table(); }
  /// Copies a stored table of the same shape. Throws ShapeError.
  void set_table(const Tensor& table);

 private:
  PerSampleStore predictions_;
  int64_t epochs_, epoch_ = 1;
  double last_;
};

/// The loss of one batch, which then becomes what is predicted for its examples: logits [B, classes], labels i64 [B], index i64 [B].
/// With α = 0, and before any of them has a prediction, it is the cross-entropy, bit for bit. Throws as targets and update do.
Tensor ps_kd_loss(const Tensor& logits, const Tensor& labels, const Tensor& index, ProgressiveTargets& targets);

/// ‖p − q‖₁ of each row, [B]: the L1 norm of an example's gradient on its logits, times B. probabilities and targets [B, classes].
Tensor gradient_norms(const Tensor& probabilities, const Tensor& targets);
/// The ratio of that norm to the cross-entropy's, 1 − α (1 − P_y) / (1 − p_y), which holds where p_i ≥ α P_i for all i ≠ y.
/// Throws ValueError where it does not, or p_y is 1; IndexError for a label outside the classes; ShapeError for vectors that differ.
double gradient_ratio(const std::vector<double>& p, const std::vector<double>& before, double alpha, int64_t label);
/// The part of Σ `norms` that belongs to the ⌈share · n⌉ examples with the lowest `confidence` (p of the label); both [n].
double hardest_part(const Tensor& norms, const Tensor& confidence, double share = 0.1);

}  // namespace plumb::methods::ps_kd
