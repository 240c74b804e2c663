// Counts of what was predicted for what is true, and the measures made of them: accuracy, balanced accuracy, F1, IoU, Dice, kappa.
#pragma once
#include <vector>

#include "engine/core/tensor.h"

namespace plumb::metrics {

/// Gathers (label, prediction) pairs of examples or of pixels, batch by batch. Classes are numbered 0 … classes − 1. Measures of a class
/// that would divide 0 by 0 are NaN; means leave such classes out, and are NaN if none is left.
class ConfusionMatrix {
 public:
  /// Labels equal to `ignore_index` are not counted. Throws ValueError for less than one class.
  explicit ConfusionMatrix(int64_t classes, int64_t ignore_index = -100);
  /// Class numbers of any one shape (integers or bool). Throws ShapeError if the shapes differ, DTypeError for floating types, IndexError
  /// naming a class outside; nothing is counted then.
  void add(const Tensor& predicted, const Tensor& labels);

  int64_t classes() const { return classes_; }
  int64_t count(int64_t label, int64_t predicted) const { return counts_[static_cast<size_t>(label * classes_ + predicted)]; }
  int64_t total() const;

  double accuracy() const;                 ///< share of pairs on the diagonal
  std::vector<double> recalls() const;     ///< of each class: true positives / its labels
  std::vector<double> precisions() const;  ///< true positives / its predictions
  double balanced_accuracy() const;        ///< mean recall
  std::vector<double> f1() const;          ///< 2 TP / (labels + predictions), which is also the Dice coefficient
  double macro_f1() const;
  std::vector<double> iou() const;  ///< TP / (labels + predictions − TP)
  double mean_iou() const;
  double mean_dice(bool with_background = true) const;  ///< of all classes, or of those from 1 on

  enum class Weights { equal, linear, quadratic };
  /// Cohen's κ = 1 − Σ w n / Σ w e with e_lp = labels_l · predictions_p / total: agreement beyond chance (Cohen 1960, 1968). w_lp is 1 off
  /// the diagonal, |l − p|, or (l − p)². NaN where chance alone explains everything.
  double kappa(Weights weights = Weights::equal) const;

 private:
  int64_t labelled(int64_t c) const;
  int64_t guessed(int64_t c) const;
  int64_t classes_, ignore_index_;
  std::vector<int64_t> counts_;  // [label][predicted]
};

/// Share of equal class numbers. Throws as ConfusionMatrix::add, ValueError where there are none.
double accuracy(const Tensor& predicted, const Tensor& labels);
/// Share of rows of scores [n, C] whose label [n] is among the k largest; of equal scores the lower class comes first.
/// Throws ShapeError, IndexError for a label outside, ValueError unless 1 ≤ k ≤ C and n ≥ 1.
double top_k_accuracy(const Tensor& scores, const Tensor& labels, int64_t k);
/// Mean over the classes that occur among the labels of the share recognised.
double balanced_accuracy(const Tensor& predicted, const Tensor& labels);
/// 2 TP / (2 TP + FP + FN) of the class 1, for predictions and labels in {0, 1}; 0 where there is neither.
double f1_score(const Tensor& predicted, const Tensor& labels);

}  // namespace plumb::metrics
