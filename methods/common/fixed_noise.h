// Judging a generator again and again on the same noise: a number that only the generator can change.
#pragma once
#include <functional>

#include "models/metrics/frechet.h"

namespace plumb::methods {

/// The Fréchet distance between what a generator makes of one set of noises and reference features. What is chosen by it fits these noises:
/// report on others, against other data.
class FixedNoise {
 public:
  /// noise [n, ..] is kept as it is. `features` turns samples into rows; without it samples are rows themselves.
  FixedNoise(Tensor noise, const Tensor& reference, std::function<Tensor(const Tensor&)> features = {});
  /// Infinite for samples that are not finite. `generator` must draw what it draws itself (steps beyond the first) from numbers of its own.
  double operator()(const std::function<Tensor(const Tensor& noise)>& generator) const;
  const Tensor& noise() const { return noise_; }

 private:
  Tensor noise_;
  std::function<Tensor(const Tensor&)> features_;
  metrics::FeatureStatistics reference_;
};

}  // namespace plumb::methods
