// Labels that a model gives itself.
#include "methods/common/pseudo_labels.h"

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

namespace plumb::methods {

void check_probabilities(const char* name, const Tensor& probabilities) {
  if (probabilities.rank() != 2 || probabilities.size(1) < 1)
    throw ShapeError(fmt::format("{}: probabilities must be [N, C], got {}", name, to_string(probabilities.shape())));
  NoGrad no_grad;
  auto sums = to_vector<double>(sum(to(probabilities.detach(), f64), {1}));
  for (size_t j = 0; j < sums.size(); ++j)
    if (!(std::abs(sums[j] - 1) <= 1e-4))
      throw ValueError(fmt::format("{}: row {} of the probabilities sums to {:.6g}, not 1", name, j, sums[j]));
}

PseudoLabels pseudo_labels(const Tensor& probabilities) {
  check_probabilities("pseudo_labels", probabilities);
  NoGrad no_grad;
  auto [confidence, label] = max(probabilities.detach(), 1);
  return {label, confidence};
}

Tensor confidence_mask(const Tensor& probabilities, double threshold, bool strict) {
  if (!(threshold >= 0 && threshold <= 1))
    throw ValueError(fmt::format("confidence_mask: the threshold must lie in [0, 1], it is {}", threshold));
  NoGrad no_grad;
  Tensor largest = amax(probabilities.detach(), {1});
  return to(strict ? largest > threshold : largest >= threshold, probabilities.dtype());
}

Tensor sharpen(const Tensor& probabilities, double temperature) {
  if (!(temperature > 0)) throw ValueError(fmt::format("sharpen: the temperature must be positive, it is {}", temperature));
  Tensor powered = pow(probabilities, 1 / temperature);
  return powered / sum(powered, {-1}, true);
}

Tensor weighted_cross_entropy(const Tensor& logits, const Tensor& target, const Tensor& weight, double denominator) {
  if (logits.rank() != 2 || weight.shape() != Shape{logits.size(0)})
    throw ShapeError(
        fmt::format("weighted_cross_entropy: logits {} with weights {}", to_string(logits.shape()), to_string(weight.shape())));
  if (denominator == 0) denominator = static_cast<double>(std::max<int64_t>(1, logits.size(0)));
  Tensor each = cross_entropy(logits, target.detach(), {.reduction = Reduction::none});
  return sum(each * weight.detach()) * (1 / denominator);
}

DistributionAligner::DistributionAligner(Kind kind, int64_t classes, int64_t batches, double decay)
    : kind_(kind), queue_(batches, classes, f64), decay_(decay) {
  if (!(decay >= 0 && decay < 1)) throw ValueError(fmt::format("distribution_aligner: the decay must lie in [0, 1), it is {}", decay));
}
DistributionAligner DistributionAligner::queue(int64_t classes, int64_t batches) { return {Kind::queue, classes, batches, 0}; }
DistributionAligner DistributionAligner::average(int64_t classes, double decay) { return {Kind::before, classes, 1, decay}; }
DistributionAligner DistributionAligner::average_after(int64_t classes, double decay) {
  DistributionAligner made(Kind::after, classes, 1, decay);
  made.mean_ = full({classes}, 1.0 / static_cast<double>(classes), f64);
  return made;
}

Tensor DistributionAligner::align(const Tensor& probabilities) {
  check_probabilities("distribution_aligner", probabilities);
  NoGrad no_grad;
  Tensor p = to(probabilities.detach(), f64), batch = plumb::mean(p, {0});
  auto aligned = [&] {
    Tensor divided = p / clamp_min(mean(), 1e-12);
    return to(divided / sum(divided, {1}, true), probabilities.dtype());
  };
  if (kind_ == Kind::after) {
    Tensor out = aligned();
    mean_ = decay_ * mean_ + (1 - decay_) * batch;
    return out;
  }
  if (kind_ == Kind::queue) queue_.push(unsqueeze(batch, 0));
  else mean_ = mean_.defined() ? decay_ * mean_ + (1 - decay_) * batch : batch;
  return aligned();
}

Tensor DistributionAligner::mean() const { return kind_ == Kind::queue ? queue_mean(queue_) : mean_; }

void DistributionAligner::set_mean(const Tensor& mean) {
  if (kind_ == Kind::queue) throw ValueError("distribution_aligner: a queue of batches cannot be set to a mean");
  mean_ = to(mean.detach(), f64);
}

ScalarEma::ScalarEma(double decay) : decay_(decay) {
  if (!(decay >= 0 && decay < 1)) throw ValueError(fmt::format("scalar_ema: the decay must lie in [0, 1), it is {}", decay));
}
double ScalarEma::update(double value) {
  value_ = started_ ? decay_ * value_ + (1 - decay_) * value : value;
  started_ = true;
  return value_;
}

FlexThresholds::FlexThresholds(int64_t unlabelled, int64_t classes, double threshold)
    : threshold_(threshold), latest_(static_cast<size_t>(std::max<int64_t>(0, unlabelled)), -1), classes_(classes) {
  if (unlabelled < 1 || classes < 2)
    throw ValueError(fmt::format("flex_thresholds: {} unlabelled examples of {} classes", unlabelled, classes));
  if (!(threshold > 0 && threshold <= 1))
    throw ValueError(fmt::format("flex_thresholds: the threshold must lie in (0, 1], it is {}", threshold));
}

std::vector<double> FlexThresholds::thresholds() const {
  std::vector<double> learned(static_cast<size_t>(classes_));
  double unused = 0, most = 0;
  for (int64_t c : latest_) {
    if (c < 0) ++unused;
    else most = std::max(most, ++learned[static_cast<size_t>(c)]);
  }
  double scale = std::max(most, unused);
  for (double& t : learned) {
    double beta = t / scale;
    t = threshold_ * beta / (2 - beta);
  }
  return learned;
}

Tensor FlexThresholds::mask(const PseudoLabels& labels) const {
  auto limit = thresholds();
  auto label = to_vector<int64_t>(labels.label);
  auto confidence = to_vector<double>(labels.confidence);
  std::vector<float> out(label.size());
  for (size_t j = 0; j < label.size(); ++j) out[j] = confidence[j] >= limit.at(static_cast<size_t>(label[j])) ? 1.0f : 0.0f;
  return from_vector(out);
}

void FlexThresholds::update(const Tensor& index, const PseudoLabels& labels) {
  auto at = to_vector<int64_t>(index), label = to_vector<int64_t>(labels.label);
  auto confidence = to_vector<double>(labels.confidence);
  for (int64_t i : at)
    if (i < 0 || i >= static_cast<int64_t>(latest_.size()))
      throw IndexError(fmt::format("flex_thresholds: index {} is outside [0, {})", i, latest_.size()));
  for (size_t j = 0; j < at.size(); ++j)
    if (confidence[j] >= threshold_) latest_[static_cast<size_t>(at[j])] = label[j];
}

void UtilisationMeter::add(const Tensor& weight, const Tensor& label, const Tensor& truth) {
  auto w = to_vector<double>(weight);
  auto said = to_vector<int64_t>(label), real = to_vector<int64_t>(truth);
  if (said.size() != w.size() || real.size() != w.size())
    throw ShapeError(fmt::format("utilisation: {} weights, {} labels, {} truths", w.size(), said.size(), real.size()));
  for (size_t j = 0; j < w.size(); ++j) {
    ++seen_;
    if (!(w[j] > 0)) continue;
    ++used_;
    right_ += said[j] == real[j];
  }
}

double UtilisationMeter::accuracy() const { return right_ / used_; }

}  // namespace plumb::methods
