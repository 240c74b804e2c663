// The inference machine, its cascade, and their losses.
#include "methods/vision/cirim/cirim.h"

#include <cmath>

#include "models/nn/init.h"
#include "ops/activation.h"
#include "ops/complex.h"
#include "ops/join.h"
#include "ops/loss.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb::methods::cirim {
namespace {

nn::Conv2dOptions replicated(int64_t padding, int64_t dilation = 1, bool bias = true) {
  return {.padding = padding, .dilation = dilation, .padding_mode = PadMode::replicate, .bias = bias};
}

void start_he_normal(nn::Conv2d& conv) {
  nn::init::kaiming_normal(conv.weight);
  if (conv.bias.defined()) nn::init::zeros(conv.bias);
}

Tensor as_channels(const Tensor& image) { return permute(image, {0, 3, 1, 2}); }
Tensor as_image(const Tensor& channels) { return permute(channels, {0, 2, 3, 1}); }

// A block's estimates with its explicit data consistency; `k` is the k-space that the block was given and becomes the one it gives.
Tensor consistent(const RimBlock& block, const Tensor& x, const Tensor& y, const MriOperator& mri, const Tensor& k_in, Tensor& k_out) {
  switch (block.config().consistency) {
    case DataConsistency::implicit:
      return x;
    case DataConsistency::explicit_estimate:
      return mri.combine(soft_dc(mri.spectrum(x), y, mri.mask(), block.dc_weight));
    default:
      k_out = released_dc(k_in, mri.spectrum(x), y, mri.mask(), block.dc_weight);
      return mri.combine(k_out);
  }
}

}  // namespace

void RimConfig::check() const {
  if (steps < 1) throw ValueError("rim: there must be at least one step, T is " + std::to_string(steps));
  if (channels < 1) throw ValueError("rim: there must be at least one channel, there are " + std::to_string(channels));
}

RimBlock::Unit::Unit(nn::Module* parent, std::string name, const RimConfig& c) : Module(parent, std::move(name)) {
  const nn::ConvCellOptions pointwise{.kernel = 1};
  switch (c.unit) {
    case RecurrentKind::ind_rnn: {
      ind_rnn.emplace(this, "ind_rnn", c.channels, c.channels, pointwise);
      double deviation = 0.5 / static_cast<double>(c.channels);
      nn::init::normal(ind_rnn->input.weight, 0, deviation);
      nn::init::zeros(ind_rnn->input.bias);
      nn::init::normal(ind_rnn->recurrent, 0, deviation);
      break;
    }
    case RecurrentKind::gru:
      gru.emplace(this, "gru", c.channels, c.channels, pointwise);
      break;
    case RecurrentKind::mgu:
      mgu.emplace(this, "mgu", c.channels, c.channels, pointwise);
      break;
  }
}

Tensor RimBlock::Unit::operator()(const Tensor& x, const Tensor& h) const {
  return ind_rnn ? (*ind_rnn)(x, h) : gru ? (*gru)(x, h) : (*mgu)(x, h);
}

RimBlock::RimBlock(const RimConfig& c)
    : conv1(this, "conv1", 4, (c.check(), c.channels), 5, replicated(2)),
      conv2(this, "conv2", c.channels, c.channels, 3, replicated(2, 2)),
      last(this, "last", c.channels, 2, 3, replicated(1, 1, false)),
      config_(c),
      unit1_(this, "unit1", c),
      unit2_(this, "unit2", c) {
  for (nn::Conv2d* conv : {&conv1, &conv2, &last}) start_he_normal(*conv);
  if (c.consistency != DataConsistency::implicit) register_parameter("dc_weight", dc_weight, ones({}));
}

std::vector<Tensor> RimBlock::operator()(const Tensor& image, const Tensor& y, const MriOperator& mri) const {
  std::vector<Tensor> estimates;
  Tensor x = image, h1, h2;
  for (int64_t t = 0; t < config_.steps; ++t) {
    Tensor u = cat({as_channels(x), as_channels(mri.likelihood_gradient(x, y))}, 1);
    h1 = unit1_(relu(conv1(u)), h1);
    h2 = unit2_(relu(conv2(h1)), h2);
    x = x + as_image(last(h2));
    estimates.push_back(x);
  }
  return estimates;
}

Cirim::Cirim(int64_t cascades, const RimConfig& config) {
  if (cascades < 1) throw ValueError("cirim: there must be at least one cascade, there are " + std::to_string(cascades));
  for (int64_t c = 0; c < cascades; ++c) blocks.emplace_back(config);
}

std::vector<std::vector<Tensor>> Cirim::forward(const Tensor& y, const MriOperator& mri) const {
  std::vector<std::vector<Tensor>> all;
  Tensor image = mri.adjoint(y), k_in = y;
  for (const RimBlock& block : blocks) {
    std::vector<Tensor> estimates = block(image, y, mri);
    Tensor k_out;
    for (Tensor& x : estimates) x = consistent(block, x, y, mri, k_in, k_out);
    image = estimates.back().detach();
    if (k_out.defined()) k_in = k_out.detach();
    all.push_back(std::move(estimates));
  }
  return all;
}

std::vector<double> step_weights(int64_t steps) {
  if (steps < 1) throw ValueError("step_weights: there must be at least one step, T is " + std::to_string(steps));
  if (steps == 1) return {1};
  std::vector<double> v;
  for (int64_t t = 0; t < steps; ++t) v.push_back(std::pow(10, -1 + static_cast<double>(t) / static_cast<double>(steps - 1)));
  return v;
}

Tensor magnitude_loss(const Tensor& prediction, const Tensor& target) {
  auto normalised = [](const Tensor& x) {
    Tensor m = complex_abs(x);
    return m / clamp_min(amax(m, {-2, -1}, true), 1e-12);
  };
  return l1_loss(normalised(prediction), normalised(target));
}

Tensor combine_step_losses(const std::vector<std::vector<Tensor>>& losses, StepWeighting weighting) {
  if (losses.empty() || losses[0].empty()) throw ValueError("cascade_loss: there are no estimates");
  Tensor total;
  for (const auto& steps : losses) {
    std::vector<double> v = step_weights(static_cast<int64_t>(steps.size()));
    double whole = 0;
    for (double w : v) whole += w;
    for (size_t t = 0; t < steps.size(); ++t) {
      Tensor part = steps[t] * ((weighting == StepWeighting::intended ? v[t] : whole) / static_cast<double>(steps.size()));
      total = total.defined() ? total + part : part;
    }
  }
  return total / static_cast<double>(losses.size());
}

Tensor cascade_loss(const std::vector<std::vector<Tensor>>& estimates, const Tensor& target, StepWeighting weighting) {
  std::vector<std::vector<Tensor>> losses;
  for (const auto& steps : estimates) {
    losses.emplace_back();
    for (const Tensor& x : steps) losses.back().push_back(magnitude_loss(x, target));
  }
  return combine_step_losses(losses, weighting);
}

optim::Schedule inverse_sqrt_annealing(int64_t steps) {
  double w = 0.1 * static_cast<double>(steps);
  return [w](int64_t step) {
    auto k = static_cast<double>(step);
    return k <= w ? (k + 1) / (w + 1) : std::sqrt((w + 1) / (k + 1));
  };
}

}  // namespace plumb::methods::cirim
