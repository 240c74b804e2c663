// The pose net, forward, and its configuration.
#include "models/pose/pose_net.h"

#include <cmath>

#include "engine/io/json_fields.h"
#include "models/nn/init.h"
#include "models/require.h"
#include "ops/activation.h"

namespace plumb::pose {

static constexpr auto fields = [](auto& c, auto&& f) {
  f("channels", c.channels), f("keypoints", c.keypoints), f("width", c.width), f("blocks", c.blocks), f("enlargements", c.enlargements);
  f("enlarged_width", c.enlarged_width), f("norm", c.norm), f("groups", c.groups);
};

std::string PoseConfig::to_json() const { return fields_to_json(*this, fields); }
PoseConfig PoseConfig::from_json(const std::string& text) { return fields_from_json<PoseConfig>("pose", text, fields); }

void PoseConfig::check() const {
  require_positive(
      "pose", {{"channels", channels}, {"keypoints", keypoints}, {"width", width}, {"enlarged_width", enlarged_width}, {"groups", groups}});
  require(!blocks.empty() && blocks.size() <= 4,
          "pose: needs blocks for one to four stages, they are given for " + std::to_string(blocks.size()));
  for (int64_t n : blocks) require_positive("pose", {{"blocks", n}});
  require(enlargements >= 0 && enlargements <= static_cast<int64_t>(blocks.size()) + 1,
          "pose: enlargements must lie between 0 and the halvings, " + std::to_string(blocks.size() + 1) + ", it is " +
              std::to_string(enlargements));
  require(norm == "batch" || norm == "group", "pose: norm \"" + norm + "\" is unknown; choose batch or group");
  if (norm == "group") require_multiple("pose", "width", width, "groups", groups);
}

double PoseConfig::stride() const { return 4 * std::exp2(static_cast<double>(static_cast<int64_t>(blocks.size()) - 1 - enlargements)); }

static resnet::ResNetConfig backbone(const PoseConfig& c) {
  c.check();
  return {.small_images = false,
          .blocks = c.blocks,
          .width = c.width,
          .channels = c.channels,
          .classes = 0,
          .norm = c.norm,
          .groups = c.groups};
}

PoseNet::PoseNet(const PoseConfig& c)
    : ResNet(backbone(c)),
      pose_(c),
      deconv_layers_(this, "deconv_layers"),
      final_layer_(this, "final_layer", c.enlargements > 0 ? c.enlarged_width : c.width << (c.blocks.size() - 1), c.keypoints, 1) {
  nn::init::normal(final_layer_.weight, 0, 0.001);
  nn::init::zeros(final_layer_.bias);
  int64_t in = c.width << (c.blocks.size() - 1);
  for (int64_t i = 0; i < c.enlargements; ++i, in = c.enlarged_width) {
    nn::ConvTranspose2d deconv(in, c.enlarged_width, 4, {.stride = 2, .padding = 1, .bias = false});
    nn::init::normal(deconv.weight, 0, 0.001);
    deconv_layers_.push_back(std::move(deconv));
    deconv_layers_.push_back(nn::BatchNorm2d(c.enlarged_width));
    deconv_layers_.push_back(relu);
  }
}

Tensor PoseNet::operator()(const Tensor& images) const { return final_layer_(deconv_layers_(stages(images).back())); }

}  // namespace plumb::pose
