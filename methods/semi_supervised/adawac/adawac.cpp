// AdaWAC's losses and weights, and those of its baselines.
#include "methods/semi_supervised/adawac/adawac.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "engine/autograd/grad_mode.h"
#include "engine/core/error.h"
#include "ops/elementary.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "ops/sort.h"

namespace plumb::methods::adawac {
namespace {

// The places of a batch, with as many values as there are places.
std::vector<size_t> checked_places(const char* name, const Tensor& index, std::initializer_list<const Tensor*> values, size_t samples) {
  for (const Tensor* v : values)
    if (v->rank() != 1 || index.rank() != 1 || v->numel() != index.numel())
      throw ShapeError(fmt::format("{}: index {} with values {}", name, to_string(index.shape()), to_string(v->shape())));
  std::vector<size_t> places;
  for (int64_t i : to_vector<int64_t>(index)) {
    if (i < 0 || i >= static_cast<int64_t>(samples)) throw IndexError(fmt::format("{}: index {} is outside [0, {})", name, i, samples));
    places.push_back(static_cast<size_t>(i));
  }
  return places;
}

size_t checked_size(const char* name, int64_t samples, double eta) {
  if (samples < 1) throw ValueError(fmt::format("{}: {} samples", name, samples));
  if (!(eta >= 0)) throw ValueError(fmt::format("{}: eta must not be negative, it is {}", name, eta));
  return static_cast<size_t>(samples);
}

void check_ratio(double dice_ratio) {
  if (!(dice_ratio >= 0 && dice_ratio <= 1))
    throw ValueError(fmt::format("adawac: the Dice ratio must lie in [0, 1], it is {}", dice_ratio));
}

void check_parts(const PairParts& parts, const Tensor& weights) {
  if (parts.ce.rank() != 1 || parts.dac.shape() != parts.ce.shape() || weights.shape() != parts.ce.shape())
    throw ShapeError(fmt::format("adawac: cross-entropies {}, agreements {}, weights {}", to_string(parts.ce.shape()),
                                 to_string(parts.dac.shape()), to_string(weights.shape())));
}

double sigmoid_of(double s) { return s >= 0 ? 1 / (1 + std::exp(-s)) : std::exp(s) / (1 + std::exp(s)); }

}  // namespace

Tensor feature_mse(const Tensor& phi1, const Tensor& phi2) {
  if (phi1.rank() < 2 || phi1.shape() != phi2.shape())
    throw ShapeError(fmt::format("feature_mse: maps {} and {}", to_string(phi1.shape()), to_string(phi2.shape())));
  return mean(flatten(square(phi1 - phi2), 1), {1});
}

void check_pairs(const PairBatch& b) {
  if (b.image1.shape() != b.image2.shape() || b.mask1.shape() != b.mask2.shape() || b.index.shape() != Shape{b.image1.size(0)})
    throw ShapeError(fmt::format("adawac: views {} and {}, masks {} and {}, index {}", to_string(b.image1.shape()),
                                 to_string(b.image2.shape()), to_string(b.mask1.shape()), to_string(b.mask2.shape()),
                                 to_string(b.index.shape())));
}

PairParts parts_of(const Tensor& logits1, const Tensor& logits2, const Tensor& phi1, const Tensor& phi2, const PairBatch& b,
                   double lambda) {
  if (!(lambda >= 0)) throw ValueError(fmt::format("adawac: lambda must not be negative, it is {}", lambda));
  using namespace unet;
  return {0.5 * (per_sample_cross_entropy(logits1, b.mask1) + per_sample_cross_entropy(logits2, b.mask2)), lambda * feature_mse(phi1, phi2),
          0.5 * (soft_dice_loss_with_logits(logits1, b.mask1) + soft_dice_loss_with_logits(logits2, b.mask2))};
}

Tensor adawac_loss(const PairParts& parts, const Tensor& beta, double r) {
  check_ratio(r);
  check_parts(parts, beta);
  Tensor b = beta.detach();
  return r * parts.dice + (1 - r) * mean(b * parts.ce + (1.0 - b) * parts.dac);
}

SampleWeights::SampleWeights(int64_t samples, double eta) : logits_(checked_size("sample_weights", samples, eta)), eta_(eta) {}

Tensor SampleWeights::update(const Tensor& index, const Tensor& ce, const Tensor& dac) {
  auto places = checked_places("sample_weights", index, {&ce, &dac}, logits_.size());
  auto supervised = to_vector(ce.detach()), agreement = to_vector(dac.detach());
  for (size_t j = 0; j < places.size(); ++j) logits_[places[j]] += eta_ * (supervised[j] - agreement[j]);
  std::vector<double> beta;
  for (size_t i : places) beta.push_back(sigmoid_of(logits_[i]));
  return to(from_vector(beta), ce.dtype());
}

Tensor SampleWeights::beta() const {
  std::vector<double> beta;
  for (double s : logits_) beta.push_back(sigmoid_of(s));
  return from_vector(beta);
}
void SampleWeights::reset() { std::ranges::fill(logits_, 0.0); }
Tensor SampleWeights::logits() const { return from_vector(logits_); }
void SampleWeights::set_logits(const Tensor& logits) {
  if (logits.shape() != Shape{static_cast<int64_t>(logits_.size())})
    throw ShapeError(fmt::format("sample_weights: logits {} for {} samples", to_string(logits.shape()), logits_.size()));
  logits_ = to_vector(logits);
}

BatchWeights::BatchWeights(int64_t samples, double eta, double entropy)
    : log_(checked_size("batch_weights", samples, eta), -std::log(static_cast<double>(samples))), eta_(eta), entropy_(entropy) {
  if (!(entropy >= 0)) throw ValueError(fmt::format("batch_weights: the entropy's weight must not be negative, it is {}", entropy));
}

Tensor BatchWeights::update(const Tensor& index, const Tensor& ce) {
  auto places = checked_places("batch_weights", index, {&ce}, log_.size());
  auto loss = to_vector(ce.detach());
  for (size_t j = 0; j < places.size(); ++j) {
    double& w = log_[places[j]];
    w = (1 - eta_ * entropy_) * w + eta_ * loss[j];
  }
  double largest = -INFINITY, total = 0;
  for (size_t i : places) largest = std::max(largest, log_[i]);
  for (size_t i : places) total += std::exp(log_[i] - largest);
  std::vector<double> beta;
  for (size_t i : places) beta.push_back(std::exp(log_[i] - largest) / total);
  for (size_t j = 0; j < places.size(); ++j) log_[places[j]] = std::log(std::max(beta[j], 1e-300));
  return to(from_vector(beta), ce.dtype());
}
Tensor BatchWeights::log_weights() const { return from_vector(log_); }

Tensor nonempty(const Tensor& masks) {
  NoGrad no_grad;
  return to(any(masks != 0, {1, 2}), f32);
}

Tensor trim_quantile_mask(const Tensor& ce, double q) {
  NoGrad no_grad;
  return to(ce.detach() > quantile(ce.detach(), q), ce.dtype());
}

Tensor kept_mean(const Tensor& values, const Tensor& keep) {
  if (values.rank() != 1 || keep.shape() != values.shape())
    throw ShapeError(fmt::format("kept_mean: values {}, kept {}", to_string(values.shape()), to_string(keep.shape())));
  Tensor k = keep.detach();
  return sum(values * k) / std::max(1.0, sum(k).item());
}

Tensor trimmed_loss(const PairParts& parts, const Tensor& keep, double r) {
  check_ratio(r);
  check_parts(parts, keep);
  return r * parts.dice + (1 - r) * kept_mean(0.5 * (parts.ce + parts.dac), keep);
}

}  // namespace plumb::methods::adawac
