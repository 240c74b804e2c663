// T-JEPA: self-supervised learning for tables without augmentations (Thimonier et al., ICLR 2025). From the latent of some features of a
// row the latents of others are predicted, as an averaged copy of the encoder makes them.
#pragma once
#include "methods/representation/t_jepa/encoder.h"
#include "models/optim/adam.h"
#include "models/optim/ema.h"

namespace plumb::methods::t_jepa {

/// mean over all elements of (predicted − sg(target))²; no gradient reaches the target. Throws ShapeError for shapes that differ.
Tensor jepa_loss(const Tensor& predicted, const Tensor& target);

/// m_i = start + i (1 − start) / total, the share that the averaged weights keep after step i = 0, 1, …. Throws ValueError unless start
/// lies in [0, 1] and total ≥ 1.
double ema_momentum(int64_t i, double start, int64_t total);
/// The learning rate of optimiser step s = 1, 2, …: straight from `first` to `peak` at s = warmup, then by cosine to `last` at s = total.
/// Throws ValueError unless 0 ≤ warmup < total and s ≥ 1.
double warmup_cosine_rate(int64_t step, int64_t warmup, int64_t total, double first, double peak, double last);

struct TrainerOptions {
  MaskOptions masks = {};
  int64_t steps = 1000, warmup = 75;  ///< optimiser steps in all, and of the rise
  double lr = 1e-3;
  double weight_decay = 0;            ///< not of biases and other rows and vectors that stand for one
  double ema_start = 0.996;           ///< m_0; m rises to 1
  double clamp = 1;                   ///< every element of the encoder's gradients lies in [−clamp, clamp]
};

/// Pre-training: context encoder, predictor and the averaged target encoder, which starts as a copy and is in evaluation mode.
class TJepaTrainer {
 public:
  TJepaTrainer(const EncoderOptions& encoder, const PredictorOptions& predictor, TrainerOptions options);
  /// One batch of rows: masks from `generator`, H = target(x) outside the graph, z = encoder(context), AdamW on jepa_loss, and
  /// ξ ← m ξ + (1 − m) θ. Returns the loss. Further steps than `steps` keep the last rates.
  double step(const Tensor& numbers, const Tensor& categories, Generator& generator);
  /// The loss alone, part of the graph.
  Tensor loss(const Tensor& numbers, const Tensor& categories, const FeatureMasks& masks) const;

  TabularEncoder& encoder() { return encoder_; }
  LatentPredictor& predictor() { return predictor_; }
  /// What is used afterwards.
  TabularEncoder& target() { return target_.model; }
  int64_t steps() const { return steps_; }

 private:
  std::vector<optim::Group<optim::AdamWOptions>> groups() const;

  TrainerOptions options_;
  TabularEncoder encoder_;
  LatentPredictor predictor_;
  FeatureMaskSampler masks_;
  optim::Ema<TabularEncoder> target_;
  optim::AdamW adamw_;
  int64_t steps_ = 0;
};

/// The token matrices of all rows, [N, R + D, h], by the encoder in evaluation mode and outside the graph.
Tensor extract_features(TabularEncoder& encoder, const Tensor& numbers, const Tensor& categories = {}, int64_t batch = 512);

/// How tokens can enter a downstream network besides flattened: one linear map for each token, [B, T, h] → [B, T · out].
class LinearPerFeature : public nn::Module {
 public:
  /// Starts as nn::Linear. Throws ValueError for sizes below 1.
  LinearPerFeature(int64_t tokens, int64_t width, int64_t out = 1);
  /// Throws ShapeError for other tokens.
  Tensor operator()(const Tensor& x) const;

  nn::Parameter weight, bias;  ///< [T, h, out], [T, out]
};

}  // namespace plumb::methods::t_jepa
