// A convolution whose output channels are switched off sample by sample, and the predictor that says which.
#pragma once
#include <optional>
#include <string>

#include "models/nn/conv.h"
#include "models/nn/linear.h"
#include "models/nn/norm.h"
#include "models/sparsity/channel_mask.h"

namespace plumb::sparsity {

/// What a predictor does to the pooled input before its linear layer.
enum class PooledInput : uint8_t {
  standardised,  ///< each number to mean 0 and variance 1 over samples (batch norm without weights)
  softmax,       ///< a softmax over all of them
  raw,
};

struct MaskPredictorOptions {
  PooledInput pooled = PooledInput::standardised;
  int64_t embedding = 0;  ///< E: pooled to g × g parts with g = round(√(E / in)); 0: to one number a channel
};

/// a = W h + b of the pooled input h: x [N, in, H, W] → logits [N, out], one for each of the coming layer's channels.
class MaskPredictor : public nn::Module {
 public:
  /// Throws ValueError for an embedding below 0 or sizes that are not positive.
  MaskPredictor(int64_t in, int64_t out, const MaskPredictorOptions& options = {});
  /// Throws ShapeError for another number of channels.
  Tensor operator()(const Tensor& x) const;
  /// The means of g × g parts of each channel, however many there are: [N, C, H, W] → [N, C · g²].
  Tensor pool(const Tensor& x) const;
  /// The logits for pool() of all channels, [N, in · g²].
  Tensor from_pooled(const Tensor& h) const;
  int64_t parts() const { return parts_ * parts_; }  ///< g²

  nn::Linear linear;

 private:
  int64_t in_, parts_;
  PooledInput kind_;
  std::optional<nn::BatchNorm> standardise_;
};

/// Where a layer's mask comes from.
enum class Masking : uint8_t {
  none,       ///< no mask
  predicted,  ///< 1[sigmoid(a) > ½], without a gradient: FTWT
  target,     ///< the target itself, from the layer's own output: the bound of all predictors
  shuffled,   ///< as many channels as the target has, at random
  fixed,      ///< the same for all samples: static pruning
  saliency,   ///< the k largest of ReLU(a), which also multiply the output: feature boosting and suppression (Gao et al., ICLR 2019)
  gate,       ///< 1[a > 0] forward, the gradient of sigmoid(a) backward
};

struct MaskedConvOptions {
  Size2 stride = 1;
  Size2 padding = 1;
  bool relu = true;    ///< after batch norm; without it (before a residual sum) the mask is of the norm's output
  bool masked = true;  ///< has a predictor; else the layer is never masked
  bool joint = false;  ///< the predictor's loss reaches the layer's input too; else it is detached ("decoupled")
  MaskPredictorOptions predictor;
};

/// What a masked layer did with a batch.
struct MaskTrace {
  Tensor logits;    ///< of the predictor [N, C]; undefined where none was asked
  Tensor target;    ///< activation_mass_mask of the output before masking [N, C]; undefined unless asked for
  Tensor mask;      ///< as it was applied; undefined where there was none
  Tensor saliency;  ///< ReLU(a), or sigmoid(a) of gates, for penalties
};

/// out = ReLU(norm(conv(x))), then masked.
class MaskedConv : public nn::Module {
 public:
  MaskedConv(nn::Module* parent, std::string name, int64_t in, int64_t out, int64_t kernel, const MaskedConvOptions& options = {});

  struct Call {
    Masking masking = Masking::predicted;
    double r = 0.9;                  ///< of the target
    int64_t keep_at_least = 1;       ///< of the target
    double density = 1;              ///< share of channels that saliency keeps
    bool targets = false;            ///< computes the target even where the masking does not need it
    Generator* generator = nullptr;  ///< of shuffled masks; null: the default one
  };
  /// x [N, in, H, W] → [N, out, H', W']; `trace`, if given, is filled. A layer that is not masked gives its output as it is.
  Tensor operator()(const Tensor& x, const Call& call, MaskTrace* trace = nullptr) const;

  bool masked() const { return predictor.has_value(); }
  /// The mask of Masking::fixed, [C] of 0 and 1. Throws ShapeError.
  void set_fixed(const Tensor& mask);
  /// What it costs for images of this size.
  ConvCost cost(int64_t height, int64_t width) const;
  /// Height and width of the output.
  std::pair<int64_t, int64_t> output_size(int64_t height, int64_t width) const;
  const MaskedConvOptions& options() const { return options_; }

  nn::Conv2d conv;
  nn::BatchNorm norm;
  std::optional<MaskPredictor> predictor;
  nn::Buffer fixed;  ///< [1, C]

 private:
  Tensor masked_output(const Tensor& x, const Tensor& out, const Call& call, MaskTrace& trace) const;

  MaskedConvOptions options_;
};

}  // namespace plumb::sparsity
