// The experiment's network.
#include "methods/efficiency/ftwt/masked_cnn.h"

#include <algorithm>
#include <cmath>

#include "engine/autograd/grad_mode.h"
#include "ops/elementary.h"
#include "ops/pointwise.h"
#include "ops/pool.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "ops/sort.h"

namespace plumb::methods::ftwt {

using sparsity::MaskedConvOptions;
using sparsity::Masking;

MaskedCnn::MaskedCnn(const MaskedCnnConfig& c)
    : conv1(this, "conv1", 1, c.width, 3, {.masked = false}),
      conv2(this, "conv2", c.width, 2 * c.width, 3, {.stride = 2, .joint = c.joint, .predictor = {.pooled = c.pooled}}),
      conv3(this, "conv3", 2 * c.width, 4 * c.width, 3, {.joint = c.joint, .predictor = {.pooled = c.pooled}}),
      head(this, "head", 4 * c.width, c.classes),
      config_(c) {}

Output MaskedCnn::operator()(const Tensor& images, const sparsity::MaskedConv::Call& call) const {
  Output out;
  out.traces.resize(3);
  Tensor x = conv1(images, call, &out.traces[0]);
  x = conv2(x, call, &out.traces[1]);
  x = conv3(x, call, &out.traces[2]);
  out.logits = head(global_avg_pool(x));
  return out;
}

sparsity::DynamicFlops MaskedCnn::flops(bool predictors) const {
  auto [h1, w1] = conv1.output_size(config_.side, config_.side);
  auto [h2, w2] = conv2.output_size(h1, w1);
  std::vector<sparsity::ConvCost> layers{conv1.cost(config_.side, config_.side), conv2.cost(h1, w1), conv3.cost(h2, w2)};
  for (sparsity::ConvCost& layer : layers) layer.predicted = layer.predicted && predictors;
  return sparsity::DynamicFlops(std::move(layers), static_cast<double>(head.weight.numel()));
}

SkippingCnn::SkippingCnn(const MaskedCnn& network)
    : network_(&network), conv1_(network.conv1), conv2_(network.conv2), conv3_(network.conv3) {}

Tensor SkippingCnn::operator()(const Tensor& image, Masking masking, double density) const {
  NoGrad off;
  sparsity::ActiveChannels x = conv1_(sparsity::ActiveChannels::of(image), Masking::none);
  x = conv3_(conv2_(x, masking, density), masking, density);
  return sparsity::pooled_linear(x, network_->head.weight, network_->head.bias);
}

namespace {

int64_t kept_of(int64_t channels, double share) {
  return std::clamp<int64_t>(std::llround(share * static_cast<double>(channels)), 1, channels);
}

}  // namespace

Tensor l1_filter_mask(const Tensor& weight, double share) {
  Tensor sizes = sum(abs(flatten(weight.detach(), 1)), {1}), mask = zeros({sizes.numel()});
  std::vector<int64_t> order = to_vector<int64_t>(argsort(sizes, 0, true));
  for (int64_t k = 0; k < kept_of(sizes.numel(), share); ++k) mask.data<float>()[order[static_cast<size_t>(k)]] = 1;
  return mask;
}

double share_for_reduction(const MaskedCnn& network, double reduction) {
  sparsity::DynamicFlops flops = network.flops(/*predictors=*/false);
  auto saved = [&](double share) {
    auto mask = [&](const sparsity::MaskedConv& layer) {
      int64_t channels = layer.conv.weight.size(0);
      Tensor m = zeros({1, channels});
      std::fill_n(m.data<float>(), kept_of(channels, share), 1.0f);
      return m;
    };
    return flops.reduction({Tensor(), mask(network.conv2), mask(network.conv3)});
  };
  double low = 0, high = 1;
  for (int i = 0; i < 30; ++i) {
    double middle = (low + high) / 2;
    (saved(middle) > reduction ? low : high) = middle;
  }
  return high;
}

}  // namespace plumb::methods::ftwt
