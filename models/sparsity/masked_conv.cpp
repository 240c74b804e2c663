// Masked convolutions: predict, choose, multiply.
#include "models/sparsity/masked_conv.h"

#include <algorithm>
#include <cmath>

#include "engine/autograd/grad_mode.h"
#include "ops/activation.h"
#include "ops/elementary.h"
#include "ops/pointwise.h"
#include "ops/pool.h"
#include "ops/shape.h"
#include "ops/softmax.h"

namespace plumb::sparsity {
namespace {

int64_t parts_of(int64_t in, const MaskPredictorOptions& o) {
  if (o.embedding < 0) throw ValueError("mask predictor: the embedding must not be negative, it is " + std::to_string(o.embedding));
  if (o.embedding == 0) return 1;
  return std::max<int64_t>(1, std::llround(std::sqrt(static_cast<double>(o.embedding) / static_cast<double>(in))));
}

// 1 where the logit is positive, which is sigmoid(a) > ½.
Tensor positive(const Tensor& logits) {
  NoGrad off;
  return to(logits.detach() > 0, f32);
}

}  // namespace

MaskPredictor::MaskPredictor(int64_t in, int64_t out, const MaskPredictorOptions& o)
    : linear(this, "linear", in * parts_of(in, o) * parts_of(in, o), out), in_(in), parts_(parts_of(in, o)), kind_(o.pooled) {
  if (kind_ != PooledInput::standardised) return;
  standardise_.emplace(in * parts_ * parts_, nn::BatchNormOptions{.affine = false});
  register_module("standardise", *standardise_);
}

Tensor MaskPredictor::pool(const Tensor& x) const { return parts_ == 1 ? global_avg_pool(x) : flatten(adaptive_avg_pool2d(x, parts_), 1); }

Tensor MaskPredictor::from_pooled(const Tensor& h) const {
  if (kind_ == PooledInput::softmax) return linear(softmax(h, 1));
  return linear(standardise_ ? (*standardise_)(h) : h);
}

Tensor MaskPredictor::operator()(const Tensor& x) const {
  if (x.rank() != 4 || x.size(1) != in_)
    throw ShapeError("mask predictor: takes [N, " + std::to_string(in_) + ", H, W], got " + to_string(x.shape()));
  return from_pooled(pool(x));
}

MaskedConv::MaskedConv(nn::Module* parent, std::string name, int64_t in, int64_t out, int64_t kernel, const MaskedConvOptions& o)
    : conv(this, "conv", in, out, kernel, {.stride = o.stride, .padding = o.padding, .bias = false}), norm(this, "norm", out), options_(o) {
  if (o.masked) {
    predictor.emplace(in, out, o.predictor);
    register_module("predictor", *predictor);
  }
  register_buffer("fixed", fixed, ones({1, out}));
  join(parent, std::move(name));
}

Tensor MaskedConv::operator()(const Tensor& x, const Call& call, MaskTrace* trace) const {
  Tensor out = norm(conv(x));
  if (options_.relu) out = relu(out);
  if (!masked()) return out;
  MaskTrace own;
  MaskTrace& t = trace ? *trace : own;
  t = {};
  return masked_output(x, out, call, t);
}

Tensor MaskedConv::masked_output(const Tensor& x, const Tensor& out, const Call& call, MaskTrace& t) const {
  bool from_target = call.masking == Masking::target || call.masking == Masking::shuffled;
  if (from_target || call.targets) t.target = activation_mass_mask(out, call.r, call.keep_at_least);
  bool asks = call.masking == Masking::predicted || call.masking == Masking::saliency || call.masking == Masking::gate;
  if (asks) t.logits = (*predictor)(call.masking == Masking::predicted && !options_.joint ? x.detach() : x);
  switch (call.masking) {
    case Masking::none:
      return out;
    case Masking::predicted:
      t.mask = positive(t.logits);
      break;
    case Masking::target:
      t.mask = t.target;
      break;
    case Masking::shuffled:
      t.mask = shuffled_mask(t.target, call.generator ? *call.generator : default_generator());
      break;
    case Masking::fixed:
      t.mask = fixed;
      break;
    case Masking::saliency: {
      t.saliency = relu(t.logits);
      t.mask = topk_mask(t.saliency, 1 - call.density);
      return mask_channels(out, t.saliency * t.mask);
    }
    case Masking::gate: {
      t.saliency = sigmoid(t.logits);
      t.mask = positive(t.logits);
      return mask_channels(out, t.mask + (t.saliency - t.saliency.detach()));
    }
  }
  return mask_channels(out, t.mask);
}

void MaskedConv::set_fixed(const Tensor& mask) {
  if (mask.rank() != 1 || mask.numel() != fixed.numel())
    throw ShapeError("masked conv: a mask " + to_string(mask.shape()) + " for " + std::to_string(fixed.numel()) + " channels");
  NoGrad off;
  Tensor target = fixed;
  copy_data(reshape(mask.detach(), fixed.shape()), target);
}

std::pair<int64_t, int64_t> MaskedConv::output_size(int64_t height, int64_t width) const {
  auto size = [](int64_t n, int64_t kernel, int64_t stride, int64_t padding) { return (n + 2 * padding - kernel) / stride + 1; };
  return {size(height, conv.weight.size(2), options_.stride.height, options_.padding.height),
          size(width, conv.weight.size(3), options_.stride.width, options_.padding.width)};
}

ConvCost MaskedConv::cost(int64_t height, int64_t width) const {
  auto [h, w] = output_size(height, width);
  return {conv.weight.size(1), conv.weight.size(0), h, w, conv.weight.size(2), 1, masked()};
}

}  // namespace plumb::sparsity
