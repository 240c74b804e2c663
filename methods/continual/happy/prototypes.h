// Prototypes of the classes seen so far, in place of their examples: features near them are drawn when a network learns new classes.
#pragma once
#include "engine/core/generator.h"
#include "engine/core/tensor.h"

namespace plumb::methods::happy {

struct DrawnFeatures {
  Tensor features, labels;  ///< [n, d], i64 [n]
};

/// One direction μ_c a class, of length 1, and one radius r for all (as PASS; Zhu et al., CVPR 2021). Happy draws classes by their
/// hardness:
///   h_c = mean_{c' ≠ c} ⟨μ_c, μ_c'⟩,    y ~ softmax(h / τ),    z = μ_y + r ε,  ε ~ N(0, I), not normalised again
class PrototypeBank {
 public:
  /// From labelled examples: features [n, d], normalised here; labels i64 [n] in [0, classes). μ_c = normalised mean, r² = mean over
  /// classes of tr(Cov_c) / d about the mean as it is, population covariances. Throws ShapeError for other sizes, ValueError naming a class
  /// without examples, IndexError for a label outside.
  void fit_labelled(const Tensor& features, const Tensor& labels, int64_t classes);
  /// Classes size() … classes − 1 from examples with pseudo-labels (those of old classes count nothing; the radius stays). A class that
  /// nobody was given has its row of the head, rows [classes, d]. Throws ValueError before fit_labelled or where there are no new classes;
  /// else as fit_labelled.
  void extend_pseudo(const Tensor& features, const Tensor& pseudo_labels, const Tensor& head_rows);

  int64_t size() const { return prototypes_.defined() ? prototypes_.size(0) : 0; }
  const Tensor& prototypes() const { return prototypes_; }  ///< f32 [classes, d]
  double radius() const { return radius_; }
  /// f64 [classes]; 0 for a single class.
  Tensor hardness() const;
  /// softmax(hardness / τ), f64; uniform for an infinite τ. Throws ValueError unless τ > 0, or before there are prototypes.
  Tensor shares(double temperature) const;
  /// n features around prototypes drawn with these shares, outside the graph.
  DrawnFeatures sample(int64_t n, double temperature, Generator& generator) const;

 private:
  void require_fitted() const;
  Tensor prototypes_;
  double radius_ = 0;
};

}  // namespace plumb::methods::happy
