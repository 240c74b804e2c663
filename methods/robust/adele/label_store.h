// Labels that training may correct, and which classes are corrected when (ADELE, Liu et al., CVPR 2022).
#pragma once
#include <cstdint>
#include <optional>
#include <vector>

#include "engine/core/tensor.h"

namespace plumb::methods::adele {

struct CorrectionOptions {
  double tau = 0.8;                 ///< a pixel changes where its largest foreground probability, or that of the background, is above it
  bool any_source = false;          ///< pixels of classes that are not corrected may change too (the code for VOC)
  bool background_images = false;   ///< images without a corrected class are looked at as well, if they are background alone (VOC)
  bool protect_foreground = false;  ///< no change that removes over half of the foreground and leaves over 95 % background (VOC)
};

/// The labels of training images, i64 [n, H, W], as they are given and as they are now. Class 0 is the background.
class LabelStore {
 public:
  /// Throws ShapeError for another rank, IndexError for a label that is neither in [0, classes) nor `ignore`, ValueError for classes < 2.
  LabelStore(const Tensor& labels, int64_t classes, int64_t ignore = 255);
  /// The labels in use, and those that were given. Not to be written to.
  const Tensor& labels() const { return labels_; }
  const Tensor& original() const { return original_; }
  int64_t classes() const { return classes_; }

  /// Replaces labels of image `image` by its confident predictions, probabilities [C, H, W], for the corrected classes U (1 … C − 1):
  ///   Y ← argmax P  where  max_{c ≥ 1} P_c > τ or P_0 > τ,  Y and argmax P are in {0} ∪ U,  argmax P is in {0} ∪ classes(Y)
  /// Images in which no class of U occurs are skipped. Returns how many pixels changed. No label that the image did not have appears, and
  /// ignored pixels stay. Throws ShapeError, IndexError for another image or class, ValueError unless 0 ≤ τ ≤ 1.
  int64_t correct(int64_t image, const Tensor& probabilities, const std::vector<int64_t>& corrected, const CorrectionOptions& options = {});
  /// The labels as they were given (before each correction in the code for VOC).
  void reset();

 private:
  Tensor labels_, original_;
  int64_t classes_, ignore_;
};

struct OnsetOptions {
  double r = 0.9;
  int64_t entries = 100;  ///< that the histories will have after all of training
  int64_t every = 10;     ///< a class is corrected once in so many entries; 1: always once it is due
  int64_t wait = 1;       ///< a class is due at entry e (from 1) if e − wait ≥ its onset: 1 (organs) or 0 (VOC)
};

/// Which classes are corrected at the end of which epoch: those due by memorization_epoch of their training IoU, fitted to the whole
/// history until they are, and not corrected since the last entry that `every` divides, where this is forgotten before the decision.
class OnsetSchedule {
 public:
  /// Throws ValueError for classes < 2, every < 1, wait < 0, and as memorization_epoch.
  explicit OnsetSchedule(int64_t classes, OnsetOptions options = {});
  /// The training IoU of every class, the background's first (it is not used), once an epoch or several times. A class that did not occur
  /// is NaN, which counts as 0. Throws ValueError for another number of classes.
  void record(const std::vector<double>& iou);
  /// At the end of an epoch: the classes to be corrected now, in order.
  std::vector<int64_t> due();
  /// The entry at which the class became due, if it did.
  std::optional<int64_t> onset(int64_t c) const { return onset_.at(static_cast<size_t>(c)); }
  const std::vector<double>& history(int64_t c) const { return history_.at(static_cast<size_t>(c)); }

 private:
  OnsetOptions options_;
  std::vector<std::vector<double>> history_;
  std::vector<std::optional<int64_t>> onset_;
  std::vector<bool> done_;
  int64_t entries_ = 0, forgotten_ = 0;
};

}  // namespace plumb::methods::adele
