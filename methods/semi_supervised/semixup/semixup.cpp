// Semixup.
#include "methods/semi_supervised/semixup/semixup.h"

#include <fmt/format.h>

#include "engine/core/error.h"
#include "ops/index.h"
#include "ops/join.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/shape.h"

namespace plumb::methods::semixup {
namespace {

void check(const Weights& w) {
  if (!(w.in >= 0 && w.interpolated >= 0 && w.out >= 0))
    throw ValueError(fmt::format("semixup: weights must not be negative: in {}, interpolated {}, out {}", w.in, w.interpolated, w.out));
}

}  // namespace

Parts semixup_loss(const Logits& l, double lambda, const Weights& w) {
  check(w);
  if (!(lambda >= 0 && lambda <= 1)) throw ValueError(fmt::format("semixup: lambda must lie in [0, 1], it is {}", lambda));
  for (const Tensor& other : {l.z_perm, l.z_aug, l.z_mix})
    if (l.z.rank() != 2 || other.shape() != l.z.shape())
      throw ShapeError(fmt::format("semixup: logits {} and {} differ in shape", to_string(l.z.shape()), to_string(other.shape())));
  Parts p;
  p.in = softmax_mse(l.z_aug, l.z);
  p.interpolated = softmax_mse(l.z_mix, lambda * l.z + (1 - lambda) * l.z_perm);
  p.out_mixed = softmax_mse(l.z, l.z_mix);
  p.out_augmented = softmax_mse(l.z_aug, l.z_mix);
  p.total = (w.drop_in ? 0 : w.in) * p.in + (w.drop_interpolated ? 0 : w.interpolated) * p.interpolated +
            (w.drop_out ? 0 : w.out) * (p.out_mixed + p.out_augmented);
  return p;
}

Semixup::Semixup(const SemixupOptions& options) : options_(options), draws_(options.common) {
  check(options.weights);
  for (double least : {options.unlabelled.least, options.common.labelled.least})
    if (!(least <= 1)) throw ValueError(fmt::format("semixup: the least lambda must be at most 1, it is {}", least));
}

Semixup::Drawn Semixup::draw(const SemiBatch& batch) {
  NoGrad no_grad;
  Tensor augmented = draws_.second_view(batch);
  int64_t n = batch.weak.size(0);
  Drawn d{draws_.labelled(batch), {}, sample_mix_coefficient(draws_.unlabelled(), options_.unlabelled), n};
  Tensor order = randperm(n, {.dtype = i64, .generator = &draws_.unlabelled()}), second = index_select(batch.weak, 0, order);
  d.images = cat({d.labelled.images, batch.weak, second, augmented, mix(batch.weak, order, d.lambda)}, 0);
  return d;
}

SemiStep Semixup::from_logits(const Tensor& rows, const Drawn& d) {
  int64_t n = d.unlabelled;
  auto parts = split(rows, {d.labelled.images.size(0), n, n, n, n}, 0);
  parts_ = semixup_loss({parts[1], parts[2], parts[3], parts[4]}, d.lambda, options_.weights);
  return counted_step(d.labelled.loss(parts[0]) + parts_.total, parts[1]);
}

}  // namespace plumb::methods::semixup
