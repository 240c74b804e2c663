// The discriminator of the style-based GAN, and the pair.
#include <algorithm>
#include <cmath>

#include "models/gan/image_side.h"
#include "models/gan/style.h"
#include "ops/pointwise.h"
#include "ops/shape.h"

namespace plumb::gan {

static int64_t width_at(const StyleConfig& c, int64_t halvings) { return std::min(c.width << halvings, c.widest); }

StyleDiscriminator::Block::Block(int64_t in, int64_t out, int64_t channels, bool first)
    : conv0(this, "conv0", in, in, 3),
      conv1(this, "conv1", in, out, 3, {.down = true, .gain = std::sqrt(0.5)}),
      skip(this, "skip", in, out, 1, {.bias = false, .activate = false, .down = true, .gain = std::sqrt(0.5)}) {
  if (first) fromrgb.emplace(this, "fromrgb", channels, in, 1);
}

Tensor StyleDiscriminator::Block::operator()(const Tensor& input) const {
  Tensor x = fromrgb ? (*fromrgb)(input) : input;
  return skip(x) + conv1(conv0(x));
}

StyleDiscriminator::Last::Last(int64_t width, int64_t side)
    : conv(this, "conv", width + 1, width, 3), fc(this, "fc", width * side * side, width, {.activate = true}), out(this, "out", width, 1) {}

StyleDiscriminator::StyleDiscriminator(const StyleConfig& c) : config_(c) {
  ImageSide side = ImageSide::of(c.side, "style");
  for (int64_t i = 0; i < side.doublings; ++i)
    register_module("b" + std::to_string(c.side >> i),
                    blocks_[static_cast<size_t>(i)].emplace(width_at(c, i), width_at(c, i + 1), c.channels, i == 0));
  register_module("b" + std::to_string(side.start), last_.emplace(width_at(c, side.doublings), side.start));
}

Tensor StyleDiscriminator::operator()(const Tensor& images) const {
  const StyleConfig& c = config_;
  if (images.rank() != 4 || images.shape() != Shape{images.size(0), c.channels, c.side, c.side})
    throw ShapeError("style: takes images [B, " + std::to_string(c.channels) + ", " + std::to_string(c.side) + ", " +
                     std::to_string(c.side) + "], got " + to_string(images.shape()));
  Tensor x = images;
  for (const auto& block : blocks_)
    if (block) x = (*block)(x);
  x = last_->conv(with_minibatch_deviation(x, c.deviation_group));
  return squeeze(last_->out(last_->fc(flatten(x, 1))), 1);
}

StyleGan::StyleGan(const StyleConfig& c)
    : config_((c.check(), c)), generator_(this, "generator", c), discriminator_(this, "discriminator", c) {}

}  // namespace plumb::gan
