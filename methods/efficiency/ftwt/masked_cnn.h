// The network of FTWT's experiment, dense, masked, and skipping.
#pragma once
#include "methods/efficiency/ftwt/ftwt.h"
#include "models/sparsity/skipping.h"

namespace plumb::methods::ftwt {

struct MaskedCnnConfig {
  int64_t width = 16, side = 8, classes = 10;
  bool joint = false;
  sparsity::PooledInput pooled = sparsity::PooledInput::standardised;
};

/// Three convolutions 3×3 of w, 2 w (stride 2) and 4 w channels with batch norm and ReLU, the mean over the image, linear. The first is
/// never masked: its one input channel tells nothing of the sample.
struct MaskedCnn : nn::Module {
  sparsity::MaskedConv conv1, conv2, conv3;
  nn::Linear head;

  explicit MaskedCnn(const MaskedCnnConfig& config = {});
  Output operator()(const Tensor& images, const sparsity::MaskedConv::Call& call) const;
  /// `predictors`: with what they cost, for the maskings that ask them.
  sparsity::DynamicFlops flops(bool predictors = true) const;
  const MaskedCnnConfig& config() const { return config_; }

 private:
  MaskedCnnConfig config_;
};

/// The same for single images, leaving out what is masked. The network must live, in evaluation mode.
class SkippingCnn {
 public:
  explicit SkippingCnn(const MaskedCnn& network);
  /// image [1, 1, side, side] → [1, classes].
  Tensor operator()(const Tensor& image, sparsity::Masking masking, double density = 1) const;

 private:
  const MaskedCnn* network_;
  sparsity::SkippingConv conv1_, conv2_, conv3_;
};

/// For each masked layer, the filters of conv.weight whose Σ |w| is largest: `share` of them, rounded, one at least. [C] of 0 and 1.
Tensor l1_filter_mask(const Tensor& weight, double share);
/// The share of channels of each masked layer (the same for all) with which the network saves `reduction`, by bisection.
double share_for_reduction(const MaskedCnn& network, double reduction);

}  // namespace plumb::methods::ftwt
