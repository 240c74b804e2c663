// ResNet, forward.
#include "models/resnet/resnet.h"

#include "engine/autograd/checkpoint.h"
#include "engine/autograd/grad_mode.h"
#include "models/nn/init.h"
#include "ops/activation.h"
#include "ops/elementary.h"
#include "ops/pad.h"
#include "ops/pointwise.h"
#include "ops/pool.h"
#include "ops/shape.h"

namespace plumb::resnet {
namespace {

int64_t outside(const ResNetConfig& c, int64_t width) { return c.bottleneck ? 4 * width : width; }

// A norm has a bias already.
nn::Conv2dOptions conv_options(const ResNetConfig& c, int64_t kernel, int64_t stride) {
  return {.stride = stride, .padding = kernel / 2, .bias = c.norm == "none"};
}

nn::Sequential projection(const ResNetConfig& c, int64_t in, int64_t out, int64_t stride) {
  nn::Sequential s{nn::Conv2d(in, out, 1, conv_options(c, 1, stride))};
  if (c.norm == "batch") s.push_back(nn::BatchNorm(out));
  if (c.norm == "group") s.push_back(nn::GroupNorm(c.groups, out));
  if (c.norm == "instance") s.push_back(nn::InstanceNorm(out, {.affine = true}));
  return s;
}

}  // namespace

Block::Block(const ResNetConfig& c, int64_t in, int64_t width, int64_t stride)
    : conv1(this, "conv1", in, width, c.bottleneck ? 1 : 3, conv_options(c, c.bottleneck ? 1 : 3, c.bottleneck ? 1 : stride)),
      bn1(this, "bn1", c.norm, width, c.groups),
      conv2(this, "conv2", width, width, 3, conv_options(c, 3, c.bottleneck ? stride : 1)),
      bn2(this, "bn2", c.norm, width, c.groups),
      stride(stride) {
  int64_t out = outside(c, width);
  if (c.bottleneck) {
    conv3.emplace(this, "conv3", width, out, 1, conv_options(c, 1, 1));
    bn3.choose(this, "bn3", c.norm, out, c.groups);
  }
  if (stride == 1 && in == out) return;
  if (c.padded_shortcuts) added_channels = out - in;
  else register_module("downsample", downsample.emplace(projection(c, in, out, stride)));
}

Tensor Block::shortcut(const Tensor& x) const {
  if (downsample) return (*downsample)(x);
  if (added_channels == 0) return x;
  Tensor fewer = slice(slice(x, 2, 0, INT64_MAX, stride), 3, 0, INT64_MAX, stride);
  return pad(fewer, {0, 0, 0, 0, added_channels / 2, added_channels - added_channels / 2});
}

Tensor Block::operator()(const Tensor& x) const {
  Tensor y = bn2(conv2(relu(bn1(conv1(x)))));
  if (conv3) y = bn3((*conv3)(relu(y)));
  return relu(y + shortcut(x));
}

ResNet::ResNet(const ResNetConfig& c)
    : config_((c.check(), c)),
      conv1_(this, "conv1", c.channels, c.width, c.small_images ? 3 : 7, conv_options(c, c.small_images ? 3 : 7, c.small_images ? 1 : 2)),
      bn1_(this, "bn1", c.norm, c.width, c.groups) {
  int64_t in = c.width;
  if (c.classes > 0) fc_.emplace(outside(c, c.width << (c.blocks.size() - 1)), c.classes);
  for (size_t s = 0; s < c.blocks.size(); ++s) {
    register_module("layer" + std::to_string(s + 1), stages_[s]);
    int64_t width = c.width << s;
    for (int64_t i = 0; i < c.blocks[s]; ++i) {
      stages_[s].emplace_back(c, in, width, s > 0 && i == 0 ? 2 : 1);
      in = outside(c, width);
    }
  }
  if (fc_) register_module("fc", *fc_);
  NoGrad off;
  for (auto& [name, p] : named_parameters()) {
    if (p.rank() == 4) nn::init::kaiming_normal(p, 1.4142135623730951, nn::init::Fan::out);
    else if (name.ends_with(".bias") && name != "fc.bias") nn::init::zeros(p);
  }
  if (!c.zero_residual) return;
  for (auto& stage : stages_)
    for (Block& block : stage)
      if (Tensor last = (c.bottleneck ? block.bn3 : block.bn2).weight(); last.defined()) nn::init::zeros(last);
}

std::vector<Tensor> ResNet::stages(const Tensor& images) const {
  if (images.rank() != 4 || images.size(1) != config_.channels)
    throw ShapeError("resnet: takes images [B, " + std::to_string(config_.channels) + ", H, W], got " + to_string(images.shape()));
  Tensor x = relu(bn1_(conv1_(images)));
  if (!config_.small_images) x = max_pool2d(x, 3, {.stride = 2, .padding = 1});
  std::vector<Tensor> given;
  for (const auto& stage : stages_) {
    if (stage.empty()) break;
    for (const Block& block : stage) x = recompute && training() ? checkpoint([&block, x] { return block(x); }) : block(x);
    given.push_back(x);
  }
  return given;
}

Tensor ResNet::features(const Tensor& images) const { return global_avg_pool(stages(images).back()); }

Tensor ResNet::operator()(const Tensor& images) const {
  if (!fc_) throw ValueError("resnet: this one has no classes, it is a backbone");
  return head(features(images));
}

Tensor ResNet::head(const Tensor& features) const {
  if (!fc_) throw ValueError("resnet: this one has no classes, it is a backbone");
  return (*fc_)(features);
}

}  // namespace plumb::resnet
