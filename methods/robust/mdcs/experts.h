// A network of several experts on a shared trunk, and the small convolutional one that long-tailed experiments train.
#pragma once
#include <utility>
#include <vector>

#include "methods/common/pooled_cnn.h"
#include "models/nn/containers.h"
#include "models/nn/conv.h"
#include "models/nn/cosine_linear.h"
#include "models/nn/linear.h"
#include "models/nn/norm.h"

namespace plumb::methods::mdcs {

/// (1/E) Σ_e v_e. Throws ValueError for no experts.
Tensor mean_logits(const std::vector<Tensor>& logits);

/// Experts that read what one trunk makes of the input. Trunk and Expert are modules from a tensor to a tensor.
template <typename Trunk, typename Expert>
struct MultiExpertNet : nn::Module {
  Trunk trunk;
  nn::ModuleList<Expert> experts;

  MultiExpertNet(Trunk made_trunk, std::vector<Expert> made_experts) : trunk(std::move(made_trunk)) {
    register_module("trunk", trunk);
    register_module("experts", experts);
    for (Expert& expert : made_experts) experts.push_back(std::move(expert));
  }
  /// The logits of each expert, [B, C] each: what losses ask for.
  std::vector<Tensor> logits(const Tensor& x) const {
    Tensor shared = trunk(x);
    std::vector<Tensor> all;
    for (const Expert& expert : experts) all.push_back(expert(shared));
    return all;
  }
  /// Their mean: the prediction.
  Tensor operator()(const Tensor& x) const { return mean_logits(logits(x)); }
};

/// Twice conv 3×3 – batch norm – leaky ReLU (0.1), the second with stride 2: PooledCnn's beginning.
struct ConvTrunk : nn::Module {
  nn::Conv2d conv1;
  nn::BatchNorm bn1;
  nn::Conv2d conv2;
  nn::BatchNorm bn2;
  explicit ConvTrunk(const PooledCnnConfig& config);
  Tensor operator()(const Tensor& images) const;
};

/// The rest of it, with a cosine classifier as its head: conv 3×3, stride 2 – batch norm – leaky ReLU – mean of parts – linear – leaky ReLU
/// – scale · cosine.
struct ConvExpert : nn::Module {
  nn::Conv2d conv3;
  nn::BatchNorm bn3;
  nn::Linear fc;
  nn::CosineLinear head;
  ConvExpert(const PooledCnnConfig& config, double scale);
  Tensor operator()(const Tensor& shared) const;

 private:
  Size2 pooled_;
};

using ExpertCnn = MultiExpertNet<ConvTrunk, ConvExpert>;

/// With one expert it is the single network that methods without experts train. Throws ConfigError as PooledCnnConfig::check, ValueError
/// for experts < 1 or a scale that is not positive.
ExpertCnn expert_cnn(const PooledCnnConfig& config, int64_t experts, double scale = 16);

}  // namespace plumb::methods::mdcs
