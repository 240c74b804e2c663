// Fire Together Wire Together (Elkerdawy, Elhoushi, Zhang, Ray; CVPR 2022): a small predictor a layer learns, by plain binary
// cross-entropy, which channels the layer's own output will find important in this sample; the others are then never computed. One number r
// says how much of the activation is kept, so that what is saved can be told before training.
//
//   struct Net : nn::Module { sparsity::MaskedConv conv{this, "conv", 16, 32, 3}; … };      // models/sparsity/masked_conv.h
//   ftwt::Trainer trainer(ftwt::split_parameters(net), {.r = 0.8, .steps = steps});
//   for (…) trainer.step(network, images, labels);                     // network(images, call) → {logits, traces}
#pragma once
#include <functional>
#include <vector>

#include "models/nn/module.h"
#include "models/optim/schedule.h"
#include "models/optim/sgd.h"
#include "models/sparsity/masked_conv.h"

namespace plumb::methods::ftwt {

/// Σ_f mean_n BCE(σ(a_nf), g_nf) of one layer: logits and targets [N, C]. Throws ShapeError for different shapes.
Tensor mask_loss(const Tensor& logits, const Tensor& target);
/// The mean of the layers' losses, over the traces that have logits and a target. Throws ValueError if none has.
Tensor mask_loss(const std::vector<sparsity::MaskTrace>& traces);
/// As mask_loss with targets of ones: trained on for a while at first, predictors start from the whole network.
Tensor open_loss(const std::vector<sparsity::MaskTrace>& traces);

struct Output {
  Tensor logits;
  std::vector<sparsity::MaskTrace> traces;  ///< of all convolutions in order; empty ones where a layer is not masked
};
/// A network with masked convolutions.
using Network = std::function<Output(const Tensor& images, const sparsity::MaskedConv::Call& call)>;

/// The masks of a batch's traces, for DynamicFlops: undefined where a layer is not masked.
std::vector<Tensor> masks_of(const std::vector<sparsity::MaskTrace>& traces);
std::vector<Tensor> targets_of(const std::vector<sparsity::MaskTrace>& traces);

/// What will be saved, told before training: the dense network on `images`, its target masks for r, and the formula of DynamicFlops.
double estimate_reduction(const Network& network, const Tensor& images, double r, const sparsity::DynamicFlops& flops);

/// A module's parameters: those of predictors (a child called "predictor"), and all others.
struct SplitParameters {
  std::vector<Tensor> backbone, predictors;
};
SplitParameters split_parameters(const nn::Module& network);

struct TrainerOptions {
  double r = 0.9;
  int64_t steps = 1000;
  double cooldown = 0.5;                                  ///< share of the steps after which predictors stay as they are
  double mask_weight = 1;                                 ///< w
  int64_t keep_at_least = 1;                              ///< channels of a target
  double lr = 0.01, momentum = 0.9, weight_decay = 5e-4;  ///< of the backbone, whose rate falls tenfold at 81/200, 122/200 and 151/200
  double predictor_lr = 0.1;                              ///< constant, without decay
  /// Throws ValueError naming what is out of range.
  void check() const;
};

/// Trains backbone and predictors side by side, from a trained dense network: L = CE + w L_mask, each with its own optimiser. After the
/// cooldown predictors are left alone altogether, their momentum too.
class Trainer {
 public:
  Trainer(SplitParameters parameters, const TrainerOptions& options);
  struct Losses {
    double task = 0, mask = 0;
  };
  /// One step; throws ValueError after `steps`.
  Losses step(const Network& network, const Tensor& images, const Tensor& labels);
  int64_t steps_done() const { return done_; }
  bool cooled() const { return static_cast<double>(done_) >= options_.cooldown * static_cast<double>(options_.steps); }

 private:
  TrainerOptions options_;
  optim::SGD backbone_, predictors_;
  optim::Schedule schedule_;
  int64_t done_ = 0;
};

/// 1 at first, a tenth from 81/200 of the steps on, a hundredth from 122/200, a thousandth from 151/200.
optim::Schedule backbone_schedule(int64_t steps);

}  // namespace plumb::methods::ftwt
