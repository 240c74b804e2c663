// Multi-scale cross-entropy and consistency.
#include "methods/robust/adele/consistency.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "engine/autograd/grad_mode.h"
#include "engine/core/error.h"
#include "ops/elementary.h"
#include "ops/loss.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "ops/softmax.h"

namespace plumb::methods::adele {
namespace {

void check_logits(const std::vector<Tensor>& logits) {
  if (logits.empty()) throw ShapeError("adele: logits of no scale");
  for (const Tensor& z : logits)
    if (z.rank() != 4 || z.shape() != logits[0].shape())
      throw ShapeError(fmt::format("adele: logits must be [N, C, H, W] at every scale, they are {} and {}", to_string(logits[0].shape()),
                                   to_string(z.shape())));
}

void check_weights(const std::vector<Tensor>& logits, const Tensor& weights) {
  if (weights.shape() != Shape{static_cast<int64_t>(logits.size())})
    throw ShapeError(fmt::format("adele: weights {} for {} scales", to_string(weights.shape()), logits.size()));
}

void check_labels(const Tensor& labels, const Tensor& logits, int64_t ignore) {
  if (labels.shape() != Shape{logits.size(0), logits.size(2), logits.size(3)})
    throw ShapeError(fmt::format("adele: labels {} for logits {}", to_string(labels.shape()), to_string(logits.shape())));
  int64_t classes = logits.size(1);
  for (int64_t y : to_vector<int64_t>(labels))
    if (y != ignore && (y < 0 || y >= classes))
      throw IndexError(fmt::format("adele: label {} is outside [0, {}) and not {}, which is ignored", y, classes, ignore));
}

void check_options(const MultiScaleOptions& o) {
  if (!(o.rho >= 0 && o.rho <= 1)) throw ValueError(fmt::format("adele: rho must lie in [0, 1], it is {}", o.rho));
  if (!(o.lambda >= 0)) throw ValueError(fmt::format("adele: lambda must not be negative, it is {}", o.lambda));
  if (!(o.clamp >= 0 && o.clamp < 0.5)) throw ValueError(fmt::format("adele: the clamp must lie in [0, 0.5), it is {}", o.clamp));
}

void check_all(const std::vector<Tensor>& logits, const Tensor& weights, const Tensor& labels, const MultiScaleOptions& o) {
  check_logits(logits);
  check_weights(logits, weights);
  check_labels(labels, logits[0], o.ignore);
  check_options(o);
}

Tensor mixture(const std::vector<Tensor>& logits, const Tensor& weights, double clamp) {
  Tensor q;
  for (size_t k = 0; k < logits.size(); ++k) {
    Tensor part = select(weights, 0, static_cast<int64_t>(k)) * softmax(logits[k], 1);
    q = q.defined() ? q + part : part;
  }
  return plumb::clamp(q, clamp, 1 - clamp);
}

// 1 for the images of which some pixel is sure, [N, 1, 1].
Tensor sure_images(const Tensor& q, const Tensor& labels, const MultiScaleOptions& o) {
  NoGrad no_grad;
  Tensor counted = where(unsqueeze(labels, 1) == o.ignore, 0.0, q.detach());
  return to(amax(counted, {1, 2, 3}) >= o.rho, q.dtype());
}

double pixels(const Tensor& logits) { return static_cast<double>(logits.numel() / logits.size(1)); }

Tensor consistency(const std::vector<Tensor>& logits, const Tensor& weights, const Tensor& labels, const MultiScaleOptions& o) {
  Tensor q = mixture(logits, weights, o.clamp), log_q = log(q), divergence;
  for (const Tensor& z : logits) {
    Tensor kl = sum(softmax(z, 1) * (log_softmax(z, 1) - log_q), {1, 2, 3});
    divergence = divergence.defined() ? divergence + kl : kl;
  }
  return sum(sure_images(q, labels, o) * divergence) / pixels(q);
}

Tensor cross_entropies(const std::vector<Tensor>& logits, const Tensor& weights, const Tensor& labels, const MultiScaleOptions& o) {
  Tensor total;
  for (size_t k = 0; k < logits.size(); ++k) {
    Tensor z = permute(logits[k], {0, 2, 3, 1});
    if (o.logit_scale) z = select(weights, 0, static_cast<int64_t>(k)) * z;
    Tensor loss = cross_entropy(z, labels, {.ignore_index = o.ignore, .reduction = Reduction::sum}) / pixels(logits[k]);
    total = total.defined() ? total + loss : loss;
  }
  return total;
}

}  // namespace

Tensor scale_mixture(const std::vector<Tensor>& logits, const Tensor& weights, double clamp) {
  check_logits(logits);
  check_weights(logits, weights);
  check_options({.clamp = clamp});
  return mixture(logits, weights, clamp);
}

Tensor multiscale_consistency(const std::vector<Tensor>& logits, const Tensor& weights, const Tensor& labels, const MultiScaleOptions& o) {
  check_all(logits, weights, labels, o);
  return consistency(logits, weights, labels, o);
}

Tensor multiscale_cross_entropy(const std::vector<Tensor>& logits, const Tensor& weights, const Tensor& labels,
                                const MultiScaleOptions& o) {
  check_all(logits, weights, labels, o);
  return cross_entropies(logits, weights, labels, o);
}

Tensor multiscale_loss(const std::vector<Tensor>& logits, const Tensor& weights, const Tensor& labels, const MultiScaleOptions& o) {
  check_all(logits, weights, labels, o);
  Tensor loss = cross_entropies(logits, weights, labels, o);
  if (o.lambda > 0) loss = loss + o.lambda * consistency(logits, weights, labels, o);
  return o.average ? loss / static_cast<double>(logits.size()) : loss;
}

Tensor equal_weights(size_t scales) { return full({static_cast<int64_t>(scales)}, 1.0 / static_cast<double>(scales)); }

Tensor resized_to_scale(const Tensor& images, double scale) {
  if (!(scale > 0 && std::isfinite(scale))) throw ValueError(fmt::format("adele: a scale must be above 0, it is {}", scale));
  auto side = [scale](int64_t n) { return std::max<int64_t>(1, std::llround(scale * static_cast<double>(n))); };
  return resized_to(images, side(images.size(2)), side(images.size(3)));
}

Tensor resized_to(const Tensor& maps, int64_t height, int64_t width) {
  if (maps.rank() == 4 && maps.size(2) == height && maps.size(3) == width) return maps;
  return interpolate(maps, {.size = Size2(height, width), .mode = Interpolation::linear, .align_corners = true});
}

Tensor mean_probabilities(const std::vector<Tensor>& logits) {
  check_logits(logits);
  NoGrad no_grad;
  Tensor total;
  for (const Tensor& z : logits) total = total.defined() ? total + softmax(z, 1) : softmax(z, 1);
  return total / static_cast<double>(logits.size());
}

}  // namespace plumb::methods::adele
