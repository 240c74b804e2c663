// Layers of style-based GANs, forward.
#include "models/gan/style_layers.h"

#include <algorithm>
#include <cmath>

#include "ops/activation.h"
#include "ops/conv.h"
#include "ops/elementary.h"
#include "ops/join.h"
#include "ops/matmul.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "ops/vision.h"

namespace plumb::gan {
namespace {

const std::vector<double> kLowPass{0.125, 0.375, 0.375, 0.125};

double fan_in_scale(const Tensor& weight) { return 1 / std::sqrt(static_cast<double>(weight.numel() / weight.size(0))); }

// One number a channel, for every place.
Tensor over_places(const Tensor& channels) { return unsqueeze(unsqueeze(channels, -1), -1); }

}  // namespace

Tensor scaled_leaky_relu(const Tensor& x) { return leaky_relu(x, 0.2) * std::sqrt(2.0); }

EqualizedLinear::EqualizedLinear(int64_t in, int64_t out, EqualizedLinearOptions options) : options_(options) {
  register_parameter("weight", weight, randn({out, in}) / options.rate);
  register_parameter("bias", bias, full({out}, options.bias_start / options.rate));
}

Tensor EqualizedLinear::operator()(const Tensor& x) const {
  Tensor y = linear(x, weight * (options_.rate * fan_in_scale(weight)),
                    options_.rate == 1 ? static_cast<const Tensor&>(bias) : bias * options_.rate);
  return options_.activate ? scaled_leaky_relu(y) : y;
}

EqualizedConv::EqualizedConv(int64_t in, int64_t out, int64_t kernel, EqualizedConvOptions options) : options_(options) {
  register_parameter("weight", weight, randn({out, in, kernel, kernel}));
  if (options.bias) register_parameter("bias", bias, zeros({out}));
}

// Filter and stride together place each result in the middle of the two places it stands for.
Tensor EqualizedConv::operator()(const Tensor& input) const {
  int64_t kernel = weight.size(2);
  Tensor x = input, scaled = weight * fan_in_scale(weight);
  if (options_.down && kernel == 1) x = upfirdn2d(x, kLowPass, {.down = 2, .before = 1, .after = 1});
  else if (options_.down) x = upfirdn2d(x, kLowPass, {.before = kernel / 2 + 1, .after = kernel / 2 + 1});
  bool stride = options_.down && kernel > 1;
  Tensor y = conv2d(x, scaled, bias, {.stride = stride ? 2 : 1, .padding = options_.down ? 0 : kernel / 2});
  if (options_.activate) y = scaled_leaky_relu(y);
  return options_.gain == 1 ? y : y * options_.gain;
}

Tensor upsampled(const Tensor& x) { return upfirdn2d(x, kLowPass, {.up = 2, .before = 2, .after = 1, .gain = 2}); }

// w''s denominator is Σ_i s_i² Σ_kl w_oikl²: a product of squares.
Tensor modulated_conv2d(const Tensor& x, const Tensor& weight, const Tensor& style, const ModulationOptions& o) {
  if (x.rank() != 4 || weight.rank() != 4 || weight.size(1) != x.size(1) || style.shape() != Shape{x.size(0), x.size(1)})
    throw ShapeError("modulated_conv2d: images " + to_string(x.shape()) + ", weight " + to_string(weight.shape()) + " and style " +
                     to_string(style.shape()) + " do not fit");
  Tensor scaled = x * over_places(style), y;
  if (o.up)
    y = upfirdn2d(conv_transpose2d(scaled, transpose(weight, 0, 1), {}, {.stride = 2}), kLowPass, {.before = 1, .after = 1, .gain = 2});
  else y = conv2d(scaled, weight, {}, {.padding = weight.size(2) / 2});
  if (!o.demodulate) return y;
  Tensor squares = matmul(square(style), transpose(sum(square(weight), {2, 3}), 0, 1));
  return y * over_places(rsqrt(squares + 1e-8));
}

Tensor with_minibatch_deviation(const Tensor& x, int64_t group) {
  if (x.rank() != 4 || x.numel() == 0)
    throw ShapeError("with_minibatch_deviation: takes images [B, C, H, W] that are not empty, got " + to_string(x.shape()));
  if (group < 1) throw ValueError("with_minibatch_deviation: a group has at least 1 example, not " + std::to_string(group));
  int64_t batch = x.size(0), members = std::min(group, batch);
  while (batch % members != 0) --members;
  Tensor groups = reshape(x, {members, batch / members, x.numel() / batch});
  Tensor deviation = mean(sqrt(var(groups, {0}, 0) + 1e-8), {1});  // [groups]
  Tensor channel = expand(reshape(repeat(deviation, {members}), {batch, 1, 1, 1}), {batch, 1, x.size(2), x.size(3)});
  return cat({x, channel}, 1);
}

StyleLayer::StyleLayer(int64_t in, int64_t out, int64_t style, int64_t side, bool up)
    : affine(this, "affine", style, in, {.bias_start = 1}), up_(up) {
  register_parameter("weight", weight, randn({out, in, 3, 3}));
  register_parameter("noise_strength", noise_strength, zeros({}));
  register_parameter("bias", bias, zeros({out}));
  register_buffer("noise_const", noise_const, randn({side, side}));
}

Tensor StyleLayer::operator()(const Tensor& x, const Tensor& w, Generator* random) const {
  Tensor y = modulated_conv2d(x, weight, affine(w), {.up = up_});
  Tensor noise = random ? randn({y.size(0), 1, y.size(2), y.size(3)}, {.dtype = y.dtype(), .device = y.device(), .generator = random})
                        : static_cast<const Tensor&>(noise_const);
  return scaled_leaky_relu(y + noise * noise_strength + over_places(bias));
}

ToRgb::ToRgb(int64_t in, int64_t channels, int64_t style) : affine(this, "affine", style, in, {.bias_start = 1}) {
  register_parameter("weight", weight, randn({channels, in, 1, 1}));
  register_parameter("bias", bias, zeros({channels}));
}

Tensor ToRgb::operator()(const Tensor& x, const Tensor& w) const {
  return modulated_conv2d(x, weight, affine(w) * fan_in_scale(weight), {.demodulate = false}) + over_places(bias);
}

}  // namespace plumb::gan
