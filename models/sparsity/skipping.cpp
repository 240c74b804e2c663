// Convolutions over the channels that are there.
#include "models/sparsity/skipping.h"

#include <algorithm>
#include <numeric>

#include "engine/autograd/grad_mode.h"
#include "ops/activation.h"
#include "ops/elementary.h"
#include "ops/index.h"
#include "ops/matmul.h"
#include "ops/pointwise.h"
#include "ops/pool.h"
#include "ops/shape.h"

namespace plumb::sparsity {
namespace {

std::vector<int64_t> all_of(int64_t n) {
  std::vector<int64_t> channels(static_cast<size_t>(n));
  std::iota(channels.begin(), channels.end(), int64_t{0});
  return channels;
}

std::vector<int64_t> places_of_ones(const Tensor& mask) {
  std::vector<float> values = to_vector<float>(mask);
  std::vector<int64_t> places;
  for (size_t i = 0; i < values.size(); ++i)
    if (values[i] > 0) places.push_back(static_cast<int64_t>(i));
  return places;
}

Tensor chosen(const Tensor& x, int dim, const std::vector<int64_t>& places) {
  return static_cast<int64_t>(places.size()) == x.size(dim) ? x : index_select(x, dim, from_vector(places));
}

Tensor along_channels(const Tensor& x) { return reshape(x, {1, x.numel(), 1, 1}); }

}  // namespace

ActiveChannels ActiveChannels::of(const Tensor& x) {
  if (x.rank() != 4 || x.size(0) != 1) throw ShapeError("skipping: takes one sample [1, C, H, W], got " + to_string(x.shape()));
  return {x, all_of(x.size(1)), x.size(1)};
}

Tensor ActiveChannels::dense() const {
  Tensor full = zeros({1, all, x.size(2), x.size(3)}, x.dtype());
  return channels.empty() ? full : index_copy(full, 1, from_vector(channels), x);
}

SkippingConv::SkippingConv(const MaskedConv& layer) : layer_(&layer) {
  NoGrad off;
  Tensor scale = layer.norm.weight * rsqrt(layer.norm.running_var + nn::BatchNormOptions{}.eps);
  weight_ = contiguous(layer.conv.weight * reshape(scale, {scale.numel(), 1, 1, 1}));
  bias_ = layer.norm.bias - layer.norm.running_mean * scale;
}

Tensor SkippingConv::logits(const ActiveChannels& x) const {
  const MaskPredictor& predictor = *layer_->predictor;
  int64_t parts = predictor.parts();
  Tensor full = zeros({1, x.all, parts}, x.x.dtype());
  if (!x.channels.empty()) full = index_copy(full, 1, from_vector(x.channels), reshape(predictor.pool(x.x), {1, -1, parts}));
  return predictor.from_pooled(reshape(full, {1, -1}));
}

ActiveChannels SkippingConv::operator()(const ActiveChannels& x, Masking masking, double density) const {
  if (x.all != weight_.size(1))
    throw ShapeError("skipping: " + std::to_string(x.all) + " channels for a layer of " + std::to_string(weight_.size(1)));
  NoGrad off;
  std::vector<int64_t> active = all_of(weight_.size(0));
  Tensor factor;
  if (layer_->masked() && masking != Masking::none) {
    Tensor mask;
    if (masking == Masking::fixed) {
      mask = layer_->fixed;
    } else if (masking == Masking::predicted || masking == Masking::gate) {
      mask = to(logits(x) > 0, f32);
    } else if (masking == Masking::saliency) {
      factor = relu(logits(x));
      mask = topk_mask(factor, 1 - density);
    } else {
      throw ValueError("skipping: this mask is known only after the layer was computed");
    }
    active = places_of_ones(mask);
  }
  auto [height, width] = layer_->output_size(x.x.size(2), x.x.size(3));
  if (active.empty()) return {zeros({1, 0, height, width}), active, weight_.size(0)};
  Tensor bias = chosen(bias_, 0, active), out;
  if (x.channels.empty()) {
    out = contiguous(expand(along_channels(bias), {1, bias.numel(), height, width}));
  } else {
    out = conv2d(x.x, chosen(chosen(weight_, 0, active), 1, x.channels), bias,
                 {.stride = layer_->options().stride, .padding = layer_->options().padding});
  }
  if (layer_->options().relu) out = relu(out);
  if (factor.defined()) out = out * along_channels(chosen(factor, 1, active));
  return {out, active, weight_.size(0)};
}

Tensor pooled_linear(const ActiveChannels& x, const Tensor& weight, const Tensor& bias) {
  if (x.channels.empty()) return reshape(bias, {1, -1});
  return linear(global_avg_pool(x.x), chosen(weight, 1, x.channels), bias);
}

}  // namespace plumb::sparsity
