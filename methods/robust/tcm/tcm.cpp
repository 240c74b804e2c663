// The threshold-consistent margin loss.
#include "methods/robust/tcm/tcm.h"

#include <fmt/format.h>

#include "engine/core/error.h"
#include "methods/common/metric_losses.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb::methods::tcm {
namespace {

// Σ distance over the mask / its size, and its size. A weight of 0 leaves no trace in the loss's bits.
Tensor hard_mean(const Tensor& distance, const Tensor& mask, double weight, int64_t& count) {
  count = sum(to(mask, i64)).item<int64_t>();
  if (count == 0 || weight == 0) return zeros({}, distance.dtype());
  return sum(distance * to(mask, distance.dtype())) * (weight / static_cast<double>(count));
}

}  // namespace

void TcmOptions::check() const {
  for (double m : {positive_margin, negative_margin})
    if (!(m >= -1 && m <= 1)) throw ValueError(fmt::format("tcm_loss: a margin of {} is no cosine", m));
  if (positive_margin < negative_margin && !crossed)
    throw ValueError(fmt::format("tcm_loss: the positive margin {} is below the negative one, {}; say so with crossed", positive_margin,
                                 negative_margin));
  if (!(positive_weight >= 0 && negative_weight >= 0))
    throw ValueError(fmt::format("tcm_loss: weights {} and {} must not be negative", positive_weight, negative_weight));
}

TcmLoss tcm_loss(const Tensor& s, const Tensor& labels, const TcmOptions& o) {
  o.check();
  if (labels.rank() != 1 || s.shape() != Shape{labels.size(0), labels.size(0)})
    throw ShapeError(
        fmt::format("tcm_loss: takes similarities [n, n] and labels [n], got {} and {}", to_string(s.shape()), to_string(labels.shape())));
  PairMasks pairs = pair_masks(labels);
  Tensor fixed = s.detach();
  TcmLoss out;
  Tensor pull =
      hard_mean(o.positive_margin - s, logical_and(pairs.same, fixed <= o.positive_margin), o.positive_weight, out.hard_positives);
  Tensor push =
      hard_mean(s - o.negative_margin, logical_and(pairs.different, fixed >= o.negative_margin), o.negative_weight, out.hard_negatives);
  out.loss = pull + push;
  return out;
}

}  // namespace plumb::methods::tcm
