// Losses of masks, the estimate of what is saved, and the trainer with two optimisers.
#include "methods/efficiency/ftwt/ftwt.h"

#include <string>

#include "engine/autograd/grad_mode.h"
#include "ops/loss.h"
#include "ops/pointwise.h"
#include "ops/shape.h"

namespace plumb::methods::ftwt {
namespace {

// The mean over the traces that have logits of loss(trace).
template <typename F>
Tensor over_layers(const std::vector<sparsity::MaskTrace>& traces, F&& loss) {
  Tensor total;
  int64_t layers = 0;
  for (const auto& trace : traces) {
    Tensor l = loss(trace);
    if (!l.defined()) continue;
    total = total.defined() ? total + l : l;
    ++layers;
  }
  if (layers == 0) throw ValueError("ftwt: no layer has both a prediction and a target");
  return total / static_cast<double>(layers);
}

void check_share(const char* what, double value) {
  if (!(value >= 0 && value <= 1)) throw ValueError(std::string("ftwt: ") + what + " must lie in [0, 1], it is " + decimal(value));
}

}  // namespace

Tensor mask_loss(const Tensor& logits, const Tensor& target) {
  if (logits.shape() != target.shape())
    throw ShapeError("mask_loss: logits " + to_string(logits.shape()) + " and targets " + to_string(target.shape()));
  Tensor all = binary_cross_entropy_with_logits(logits, to(target.detach(), logits.dtype()), {.reduction = Reduction::sum});
  return all / static_cast<double>(logits.size(0));
}

Tensor mask_loss(const std::vector<sparsity::MaskTrace>& traces) {
  return over_layers(traces,
                     [](const auto& t) { return t.logits.defined() && t.target.defined() ? mask_loss(t.logits, t.target) : Tensor(); });
}

Tensor open_loss(const std::vector<sparsity::MaskTrace>& traces) {
  return over_layers(traces, [](const auto& t) { return t.logits.defined() ? mask_loss(t.logits, ones_like(t.logits)) : Tensor(); });
}

std::vector<Tensor> masks_of(const std::vector<sparsity::MaskTrace>& traces) {
  std::vector<Tensor> masks;
  for (const auto& t : traces) masks.push_back(t.mask);
  return masks;
}

std::vector<Tensor> targets_of(const std::vector<sparsity::MaskTrace>& traces) {
  std::vector<Tensor> targets;
  for (const auto& t : traces) targets.push_back(t.target);
  return targets;
}

double estimate_reduction(const Network& network, const Tensor& images, double r, const sparsity::DynamicFlops& flops) {
  NoGrad off;
  return flops.reduction(targets_of(network(images, {.masking = sparsity::Masking::none, .r = r, .targets = true}).traces));
}

SplitParameters split_parameters(const nn::Module& network) {
  SplitParameters split;
  for (const nn::NamedTensor& p : network.named_parameters()) {
    bool predicts = ("." + p.name).find(".predictor.") != std::string::npos;
    (predicts ? split.predictors : split.backbone).push_back(p.tensor);
  }
  return split;
}

void TrainerOptions::check() const {
  if (!(r <= 1)) throw ValueError("ftwt: r must not exceed 1, it is " + decimal(r));
  if (steps < 1) throw ValueError("ftwt: steps must be positive, they are " + std::to_string(steps));
  check_share("the cooldown", cooldown);
  if (!(mask_weight >= 0)) throw ValueError("ftwt: the weight of the mask loss must not be negative, it is " + decimal(mask_weight));
}

optim::Schedule backbone_schedule(int64_t steps) { return optim::milestones({steps * 81 / 200, steps * 122 / 200, steps * 151 / 200}); }

Trainer::Trainer(SplitParameters parameters, const TrainerOptions& o)
    : options_((o.check(), o)),
      backbone_(std::move(parameters.backbone), {.lr = o.lr, .momentum = o.momentum, .weight_decay = o.weight_decay}),
      predictors_(std::move(parameters.predictors), {.lr = o.predictor_lr, .momentum = o.momentum}),
      schedule_(backbone_schedule(o.steps)) {}

Trainer::Losses Trainer::step(const Network& network, const Tensor& images, const Tensor& labels) {
  if (done_ >= options_.steps) throw ValueError("ftwt: all " + std::to_string(options_.steps) + " steps are done");
  bool learns_masks = !cooled() && options_.mask_weight > 0;
  backbone_.zero_grad();
  predictors_.zero_grad();
  Output out = network(
      images, {.masking = sparsity::Masking::predicted, .r = options_.r, .keep_at_least = options_.keep_at_least, .targets = learns_masks});
  Tensor task = cross_entropy(out.logits, labels), loss = task;
  Losses losses{task.item()};
  if (learns_masks) {
    Tensor mask = mask_loss(out.traces);
    losses.mask = mask.item();
    loss = loss + mask * options_.mask_weight;
  }
  loss.backward();
  backbone_.set_lr_scale(schedule_(done_));
  backbone_.step();
  if (learns_masks) predictors_.step();
  ++done_;
  return losses;
}

}  // namespace plumb::methods::ftwt
