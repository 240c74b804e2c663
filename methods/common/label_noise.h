// Wrong labels on purpose: symmetric, asymmetric and instance-dependent noise with a record of the truth, and what a network made of them.
#pragma once
#include <vector>

#include "engine/core/generator.h"
#include "engine/core/tensor.h"

namespace plumb::methods {

/// Labels i64 [n] as they are given to training, and as they are.
struct NoisyLabels {
  Tensor given, clean;
  /// bool [n]: given ≠ clean.
  Tensor wrong() const;
  /// The share of wrong labels: below the nominal rate where a redrawn label may be the true one.
  double rate() const;
};

/// ⌊rate · n + ½⌋ labels, chosen by a random permutation, are redrawn uniformly from all classes; without `include_true` from all but the
/// true one. The effective rate is rate (1 − 1/classes) with it. Throws ValueError unless 0 ≤ rate ≤ 1 and classes ≥ 2, IndexError for a
/// label outside [0, classes), ShapeError or DTypeError unless labels are i64 [n]; so do the others.
NoisyLabels inject_symmetric(const Tensor& labels, double rate, int64_t classes, Generator& generator, bool include_true = true);

/// Of the n_c examples of each class c with map[c] ≠ c, ⌊rate · n_c + ½⌋ get the label map[c]; chosen and mapped by their clean labels.
/// map has an entry in [0, classes) for each class.
NoisyLabels inject_asymmetric(const Tensor& labels, const std::vector<int64_t>& map, double rate, Generator& generator);

/// Every label is drawn afresh from row clean_i of `transition` [C, C], rows that sum to 1.
NoisyLabels inject_transition(const Tensor& labels, const Tensor& transition, Generator& generator);

struct InstanceNoiseOptions {
  double spread = 0.1;  ///< standard deviation of an example's own flip rate about the nominal one, held within [0, 1]
};
/// Noise that depends on what an example looks like (Xia et al., NeurIPS 2020, algorithm 2): flip rate q_i ~ N(rate, spread²) within [0,
/// 1], P(label = c) = q_i softmax_{c ≠ y}(x_i · W_y)_c, P(label = y) = 1 − q_i, W_y [features, C] standard normal, one a class. features
/// [n, ..] are flattened and each is brought to length 1 times √features.
NoisyLabels inject_instance_dependent(const Tensor& labels, const Tensor& features, double rate, int64_t classes, Generator& generator,
                                      InstanceNoiseOptions options = {});

/// Maps for inject_asymmetric: c → c + 1 modulo `classes`; the next class within each group, the last to the first (super-classes of
/// CIFAR-100), classes in no group staying; {from, to} pairs, others staying. Throws ValueError for a class outside [0, classes).
std::vector<int64_t> next_class_map(int64_t classes);
std::vector<int64_t> next_in_group_map(const std::vector<std::vector<int64_t>>& groups, int64_t classes);
std::vector<int64_t> pair_map(const std::vector<std::pair<int64_t, int64_t>>& pairs, int64_t classes);
/// 7 → 1, 2 → 7, 5 ↔ 6, 3 → 8: digits that look alike.
std::vector<int64_t> similar_digits_map();

/// [C, C] f64: row c holds the shares of the given labels among the examples of class c; a class without examples has 1 at itself.
Tensor transition_matrix(const NoisyLabels& labels, int64_t classes);

/// What a classifier says about the training examples. Shares of the wrongly labelled ones sum to 1; NaN if there are none.
struct NoiseAudit {
  int64_t wrong = 0;         ///< wrongly labelled examples
  double corrected = 0;      ///< of them predicted as the truth
  double memorised = 0;      ///< predicted as the wrong label
  double other = 0;
  double clean_correct = 0;  ///< of the rightly labelled examples predicted right
};
/// predictions i64 [n]. Throws ShapeError for another number.
NoiseAudit audit(const Tensor& predictions, const NoisyLabels& labels);

/// How well a set of examples that are called mislabelled, bool [n], names them.
struct DetectionQuality {
  double precision = 0, recall = 0;  ///< NaN where there is nothing to divide by
};
/// flagged bool [n], one an example of `labels`. Throws ShapeError for another shape or type.
DetectionQuality detection_quality(const Tensor& flagged, const NoisyLabels& labels);

}  // namespace plumb::methods
