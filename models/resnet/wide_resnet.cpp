// WideResNet, forward.
#include "models/resnet/wide_resnet.h"

#include "engine/autograd/checkpoint.h"
#include "engine/autograd/grad_mode.h"
#include "models/nn/init.h"
#include "ops/activation.h"
#include "ops/elementary.h"
#include "ops/pointwise.h"
#include "ops/pool.h"

namespace plumb::resnet {
namespace {

nn::Conv2dOptions conv_options(const WideResNetConfig& c, int64_t kernel, int64_t stride) {
  return {.stride = stride, .padding = kernel / 2, .bias = c.norm == "none"};
}

}  // namespace

WideBlock::WideBlock(const WideResNetConfig& c, int64_t in, int64_t out, int64_t stride)
    : bn1(this, "bn1", c.norm, in, c.groups),
      conv1(this, "conv1", in, out, 3, conv_options(c, 3, stride)),
      bn2(this, "bn2", c.norm, out, c.groups),
      dropout(this, "dropout", c.dropout),
      conv2(this, "conv2", out, out, 3, conv_options(c, 3, 1)) {
  if (in != out || stride != 1) shortcut.emplace(this, "shortcut", in, out, 1, conv_options(c, 1, stride));
}

Tensor WideBlock::operator()(const Tensor& x) const {
  Tensor active = relu(bn1(x));
  Tensor y = conv2(dropout(relu(bn2(conv1(active)))));
  return y + (shortcut ? (*shortcut)(active) : x);
}

WideResNet::WideResNet(const WideResNetConfig& c)
    : config_((c.check(), c)), conv1_(this, "conv1", c.channels, 16, 3, conv_options(c, 3, 1)), fc_(64 * c.widen, c.classes) {
  int64_t in = 16;
  for (size_t s = 0; s < stages_.size(); ++s) {
    register_module("layer" + std::to_string(s + 1), stages_[s]);
    int64_t out = (int64_t{16} << s) * c.widen;
    for (int64_t i = 0; i < (c.depth - 4) / 6; ++i) {
      stages_[s].emplace_back(c, in, out, s > 0 && i == 0 ? 2 : 1);
      in = out;
    }
  }
  bn1_.choose(this, "bn1", c.norm, in, c.groups);
  register_module("fc", fc_);
  NoGrad off;
  for (auto& [name, p] : named_parameters()) {
    if (p.rank() == 4) nn::init::kaiming_normal(p, 1.4142135623730951, nn::init::Fan::out);
    else if (name.ends_with(".bias")) nn::init::zeros(p);
  }
}

Tensor WideResNet::features(const Tensor& images) const {
  if (images.rank() != 4 || images.size(1) != config_.channels)
    throw ShapeError("wide resnet: takes images [B, " + std::to_string(config_.channels) + ", H, W], got " + to_string(images.shape()));
  Tensor x = conv1_(images);
  for (const auto& stage : stages_)
    for (const WideBlock& block : stage) x = recompute && training() ? checkpoint([&block, x] { return block(x); }) : block(x);
  return global_avg_pool(relu(bn1_(x)));
}

Tensor WideResNet::operator()(const Tensor& images) const { return fc_(features(images)); }

}  // namespace plumb::resnet
