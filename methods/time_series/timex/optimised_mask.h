// A mask for each series by itself, found by descent: what explanations by one network for all series are compared with.
#pragma once
#include "methods/time_series/timex/networks.h"

namespace plumb::methods::timex {

struct OptimisedMaskOptions {
  double area = 0.2;  ///< share of elements that should be kept
  int64_t steps = 150;
  double lr = 0.1;                            ///< of Adam on the masks' logits, from 0
  double size_weight = 1, size_growth = 100;  ///< the weight of the area rises by this factor over the steps
  double connect_weight = 0.1;
  std::function<void()> progress = {};  ///< called after every step
};
/// Dynamask (Crabbé & van der Schaar, ICML 2021) in small: m [N, T, d] in (0, 1) that minimises the cross-entropy of the classifier on
/// m x + (1 − m) baseline against its own probabilities on x, plus how far the sorted mask is from `area` ones, plus mean |m_{t+1} − m_t|.
/// baseline broadcasts to x. Throws ValueError for an area outside (0, 1), steps < 1.
Tensor optimised_mask(const SeriesClassifier& classifier, const Tensor& x, const Tensor& times, const Tensor& baseline,
                      const OptimisedMaskOptions& options = {});

}  // namespace plumb::methods::timex
