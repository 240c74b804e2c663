// Inference that leaves out the channels that a mask leaves out: the masks are known before a layer is computed.
#pragma once
#include <vector>

#include "models/sparsity/masked_conv.h"

namespace plumb::sparsity {

/// The channels of one sample that are not zero.
struct ActiveChannels {
  Tensor x;                       ///< [1, active, H, W]
  std::vector<int64_t> channels;  ///< which they are, ascending
  int64_t all = 0;                ///< of how many

  /// All channels of x [1, C, H, W].
  static ActiveChannels of(const Tensor& x);
  /// [1, all, H, W] with zeros.
  Tensor dense() const;
};

/// A trained MaskedConv for single samples, with its batch norm folded into the weight: only active filters are computed, and only from
/// active inputs. Same output as the layer in evaluation mode, up to rounding.
class SkippingConv {
 public:
  /// A copy of the layer's weights as they are. The layer's predictor is used in evaluation mode, so the network must be in it.
  explicit SkippingConv(const MaskedConv& layer);
  /// Masking::none, predicted, gate (as predicted), fixed or saliency; `density` as in MaskedConv::Call. Throws ValueError for a masking
  /// that needs the output first, ShapeError for more than one sample.
  ActiveChannels operator()(const ActiveChannels& x, Masking masking, double density = 1) const;

 private:
  Tensor logits(const ActiveChannels& x) const;

  const MaskedConv* layer_;
  Tensor weight_, bias_;
};

/// A linear layer after the mean over the image: x → [1, out].
Tensor pooled_linear(const ActiveChannels& x, const Tensor& weight, const Tensor& bias);

}  // namespace plumb::sparsity
