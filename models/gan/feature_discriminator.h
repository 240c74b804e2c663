// A discriminator that sees features of a frozen network instead of images: a small head for each layer it is shown (Sauer et al. 2022; as
// in DCM, Lv et al. 2025).
#pragma once
#include <vector>

#include "models/nn/containers.h"
#include "models/nn/conv.h"
#include "models/nn/norm.h"

namespace plumb::gan {

/// conv – norm – leaky ReLU (0.01) – x + the same – conv to one logit, all 1×1, over tokens: h [B, T, width] → [B, T].
struct FeatureHead : nn::Module {
  nn::Conv1d in;
  nn::GroupNorm in_norm;
  nn::Conv1d residual;
  nn::GroupNorm residual_norm;
  nn::Conv1d logit;
  FeatureHead(int64_t width, int64_t inner, int64_t groups);
  Tensor operator()(const Tensor& h) const;
};

/// One head a layer.
class FeatureDiscriminator : public nn::Module {
 public:
  /// Throws ValueError unless there is a layer and `groups` divide the inner width.
  FeatureDiscriminator(int64_t layers, int64_t width, int64_t inner = 64, int64_t groups = 32);
  /// hidden: one [B, T, width] a layer → logits [B, T] each. Throws ValueError for another number of layers.
  std::vector<Tensor> operator()(const std::vector<Tensor>& hidden) const;

 private:
  nn::ModuleList<FeatureHead> heads_;
};

/// mean over heads of E max(0, 1 − D(real)) + E max(0, 1 + D(generated)): what the discriminator minimises.
Tensor hinge_discriminator_loss(const std::vector<Tensor>& real, const std::vector<Tensor>& generated);
/// mean over heads of E max(0, 1 − D(generated)): bounded below, unlike −E D, so that what is real enough is left alone.
Tensor hinge_generator_loss(const std::vector<Tensor>& generated);

}  // namespace plumb::gan
