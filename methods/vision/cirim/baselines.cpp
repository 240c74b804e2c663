// Baselines of CIRIM.
#include "methods/vision/cirim/baselines.h"

#include <algorithm>
#include <cmath>

#include "engine/autograd/grad_mode.h"
#include "engine/core/error.h"
#include "ops/activation.h"
#include "ops/elementary.h"
#include "ops/join.h"
#include "ops/pad.h"
#include "ops/pointwise.h"
#include "ops/pool.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb::methods::cirim {
namespace {

Tensor as_channels(const Tensor& image) { return permute(image, {0, 3, 1, 2}); }
Tensor as_image(const Tensor& channels) { return permute(channels, {0, 2, 3, 1}); }

// Differences to the next row and the next column of x [B, H, W, 2], 0 at the last ones: [2, B, H, W, 2]. And the adjoint, minus
// divergence.
Tensor gradient_of(const Tensor& x) {
  Tensor down = narrow(x, 1, 1, x.size(1) - 1) - narrow(x, 1, 0, x.size(1) - 1),
         right = narrow(x, 2, 1, x.size(2) - 1) - narrow(x, 2, 0, x.size(2) - 1);
  return stack({pad(down, {0, 0, 0, 0, 0, 1}), pad(right, {0, 0, 0, 1})});
}
Tensor adjoint_gradient(const Tensor& p) {
  Tensor down = narrow(select(p, 0, 0), 1, 0, p.size(2) - 1), right = narrow(select(p, 0, 1), 2, 0, p.size(3) - 1);
  return pad(down, {0, 0, 0, 0, 1, 0}) - pad(down, {0, 0, 0, 0, 0, 1}) + pad(right, {0, 0, 1, 0}) - pad(right, {0, 0, 0, 1});
}

// One step of the sequence t of accelerated gradient methods.
double next_t(double t) { return (1 + std::sqrt(1 + 4 * t * t)) / 2; }

}  // namespace

// The dual problem: max over |p| ≤ 1 of −½ ‖x − λ Dᵀp‖², whose gradient D(x − λ Dᵀp) has the Lipschitz constant 8 λ.
Tensor tv_denoise(const Tensor& x, double lambda, int iterations) {
  if (!(lambda >= 0)) throw ValueError("tv_denoise: lambda must not be negative, it is " + decimal(lambda));
  if (lambda == 0) return x;
  NoGrad guard;
  Tensor p = zeros_like(gradient_of(x)), q = p;
  double t = 1;
  for (int k = 0; k < iterations; ++k) {
    Tensor moved = q + gradient_of(x - lambda * adjoint_gradient(q)) / (8 * lambda);
    Tensor projected = moved / clamp_min(sqrt(sum(square(moved), {0, -1}, true)), 1);
    double next = next_t(t);
    q = projected + (projected - p) * ((t - 1) / next);
    p = projected;
    t = next;
  }
  return x - lambda * adjoint_gradient(p);
}

Tensor tv_reconstruct(const Tensor& y, const MriOperator& mri, double lambda, int iterations) {
  NoGrad guard;
  Tensor x = mri.adjoint(y), z = x;
  double t = 1;
  for (int k = 0; k < iterations; ++k) {
    Tensor moved = tv_denoise(z - mri.likelihood_gradient(z, y), lambda);
    double next = next_t(t);
    z = moved + (moved - x) * ((t - 1) / next);
    x = moved;
    t = next;
  }
  return x;
}

NormUnet::Block::Block(int64_t in, int64_t out)
    : conv1(this, "conv1", in, out, 3, {.padding = 1, .bias = false}),
      conv2(this, "conv2", out, out, 3, {.padding = 1, .bias = false}),
      norm1(this, "norm1", out),
      norm2(this, "norm2", out) {}

Tensor NormUnet::Block::operator()(const Tensor& x) const { return leaky_relu(norm2(conv2(leaky_relu(norm1(conv1(x)), 0.2))), 0.2); }

NormUnet::NormUnet(int64_t channels, int64_t pools) : pools_(pools), out_(this, "out", std::max<int64_t>(channels, 1), 2, 1) {
  if (pools < 1 || pools > 4 || channels < 1)
    throw ValueError("norm_unet: takes 1 to 4 pools and at least one channel, not " + std::to_string(pools) + " and " +
                     std::to_string(channels));
  int64_t width = channels;
  down_.emplace_back(2, width);
  for (int64_t level = 0; level < pools; ++level, width *= 2) down_.emplace_back(width, 2 * width);
  for (int64_t level = 0; level < pools; ++level, width /= 2) {
    wider_.emplace_back(width, width / 2, 2, nn::ConvTranspose2dOptions{.stride = 2, .bias = false});
    up_.emplace_back(width, width / 2);
  }
}

Tensor NormUnet::network(const Tensor& x) const {
  std::vector<Tensor> skips;
  Tensor h = down_[0](x);
  for (size_t level = 1; level < down_.size(); ++level) {
    skips.push_back(h);
    h = down_[level](avg_pool2d(h, 2));
  }
  for (size_t level = 0; level < up_.size(); ++level) {
    h = up_[level](cat({skips.back(), wider_[level](h)}, 1));
    skips.pop_back();
  }
  return out_(h);
}

Tensor NormUnet::operator()(const Tensor& image) const {
  Tensor x = as_channels(image), mean_ = mean(x, {2, 3}, true), deviation = std_dev(x, {2, 3}, 1, true) + 1e-8;
  int64_t unit = int64_t{1} << pools_, more_rows = (unit - x.size(2) % unit) % unit, more_columns = (unit - x.size(3) % unit) % unit;
  Tensor y = network(pad((x - mean_) / deviation, {0, more_columns, 0, more_rows}));
  return as_image(narrow(narrow(y, 2, 0, x.size(2)), 3, 0, x.size(3)) * deviation + mean_);
}

VariationalNetwork::Cascade::Cascade(int64_t channels, int64_t pools, bool data_consistency) : unet(this, "unet", channels, pools) {
  if (data_consistency) register_parameter("dc_weight", dc_weight, ones({}));
}

VariationalNetwork::VariationalNetwork(int64_t cascades, int64_t channels, int64_t pools, bool data_consistency)
    : data_consistency_(data_consistency) {
  if (cascades < 1) throw ValueError("variational_network: there must be at least one cascade, there are " + std::to_string(cascades));
  for (int64_t c = 0; c < cascades; ++c) cascades_.emplace_back(channels, pools, data_consistency);
}

Tensor VariationalNetwork::operator()(const Tensor& y, const MriOperator& mri) const {
  Tensor k = y;
  for (const Cascade& c : cascades_) {
    Tensor refined = mri.spectrum(c.unet(mri.combine(k)));
    k = data_consistency_ ? soft_dc(k, y, mri.mask(), c.dc_weight) - refined : refined;
  }
  return mri.combine(k);
}

CascadeNet::Cnn::Cnn(int64_t channels) {
  constexpr int kLayers = 5;
  for (int i = 0; i < kLayers; ++i)
    layers.emplace_back(i == 0 ? 2 : channels, i + 1 == kLayers ? 2 : channels, 3, nn::Conv2dOptions{.padding = 1});
}

Tensor CascadeNet::Cnn::operator()(const Tensor& image) const {
  Tensor h = as_channels(image);
  for (size_t i = 0; i < layers.size(); ++i) h = i + 1 < layers.size() ? relu(layers[i](h)) : layers[i](h);
  return image + as_image(h);
}

CascadeNet::CascadeNet(int64_t cascades, int64_t channels) {
  if (cascades < 1) throw ValueError("cascade_net: there must be at least one cascade, there are " + std::to_string(cascades));
  for (int64_t c = 0; c < cascades; ++c) cascades_.emplace_back(channels);
}

Tensor CascadeNet::operator()(const Tensor& y, const MriOperator& mri) const {
  Tensor x = mri.adjoint(y);
  for (const Cnn& cnn : cascades_) x = mri.combine(hard_dc(mri.spectrum(cnn(x)), y, mri.mask()));
  return x;
}

}  // namespace plumb::methods::cirim
