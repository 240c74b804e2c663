// The segmentation U-Net, forward, and its measure.
#include "models/unet/segmentation.h"

#include <cmath>

#include "engine/autograd/grad_mode.h"
#include "engine/io/json_fields.h"
#include "ops/activation.h"
#include "ops/index.h"
#include "ops/join.h"
#include "ops/pad.h"
#include "ops/pool.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "ops/sort.h"
#include "ops/vision.h"

namespace plumb::unet {
namespace {

void require(bool holds, const std::string& problem) {
  if (!holds) throw ConfigError("segmentation: " + problem);
}

}  // namespace

static constexpr auto fields = [](auto& c, auto&& f) {
  f("in_channels", c.in_channels), f("classes", c.classes), f("width", c.width), f("depth", c.depth), f("bilinear", c.bilinear);
};

std::string SegmentationConfig::to_json() const { return fields_to_json(*this, fields); }
SegmentationConfig SegmentationConfig::from_json(const std::string& text) {
  return fields_from_json<SegmentationConfig>("segmentation", text, fields);
}

void SegmentationConfig::check() const {
  for (auto [name, value] : {std::pair{"in_channels", in_channels}, {"classes", classes}, {"--width", width}})
    require(value >= 1, std::string(name) + " must be at least 1, it is " + std::to_string(value));
  require(depth >= 1 && depth <= 6, "--depth must lie in [1, 6], it is " + std::to_string(depth));
  require(!bilinear || width % 2 == 0, "--width must be even for a bilinear decoder, it is " + std::to_string(width));
}

DoubleConv::Layers::Layers(nn::Module* parent, std::string name, int64_t in, int64_t out, int64_t middle)
    : Module(parent, std::move(name)),
      conv1(this, "0", in, middle, 3, {.padding = 1, .bias = false}),
      norm1(this, "1", middle),
      conv2(this, "3", middle, out, 3, {.padding = 1, .bias = false}),
      norm2(this, "4", out) {}

DoubleConv::DoubleConv(nn::Module* parent, std::string name, int64_t in, int64_t out, int64_t middle)
    : Module(parent, std::move(name)), layers_(this, "double_conv", in, out, middle > 0 ? middle : out) {}
Tensor DoubleConv::operator()(const Tensor& x) const { return relu(layers_.norm2(layers_.conv2(relu(layers_.norm1(layers_.conv1(x)))))); }

Tensor SegmentationUnet::Down::operator()(const Tensor& x) const { return maxpool_conv.conv(max_pool2d(x, 2)); }

// The transposed convolution halves the channels; bilinear enlarging keeps them, so that the double convolution does it.
SegmentationUnet::Up::Up(nn::Module* parent, std::string name, int64_t in, int64_t out, bool bilinear)
    : Module(parent, std::move(name)), conv(this, "conv", in, out, bilinear ? in / 2 : 0) {
  if (!bilinear) up.emplace(this, "up", in, in / 2, 2, nn::ConvTranspose2dOptions{.stride = 2});
}

Tensor SegmentationUnet::Up::operator()(const Tensor& x, const Tensor& skip) const {
  Tensor y = up ? (*up)(x) : interpolate(x, {.scale = 2, .mode = Interpolation::linear, .align_corners = true});
  int64_t rows = skip.size(2) - y.size(2), columns = skip.size(3) - y.size(3);
  if (rows != 0 || columns != 0) y = pad(y, {columns / 2, columns - columns / 2, rows / 2, rows - rows / 2});
  return conv(cat({skip, y}, 1));
}

SegmentationUnet::SegmentationUnet(const SegmentationConfig& c)
    : config_((c.check(), c)), inc_(this, "inc", c.in_channels, c.width), outc_(this, "outc", c.width, c.classes) {
  int64_t channels = c.width, kept = c.bilinear ? 2 : 1;
  for (int64_t i = 0; i < c.depth; ++i, channels *= 2)
    down_[static_cast<size_t>(i)].emplace(this, "down" + std::to_string(i + 1), channels, 2 * channels / (i == c.depth - 1 ? kept : 1));
  for (int64_t i = 0; i < c.depth; ++i, channels /= 2)
    up_[static_cast<size_t>(i)].emplace(this, "up" + std::to_string(i + 1), channels, channels / 2 / (i == c.depth - 1 ? 1 : kept),
                                        c.bilinear);
}

SegmentationMaps SegmentationUnet::maps(const Tensor& image) const {
  int64_t least = int64_t{1} << config_.depth;
  if (image.rank() != 4 || image.size(1) != config_.in_channels || image.size(2) < least || image.size(3) < least)
    throw ShapeError("segmentation: takes images [B, " + std::to_string(config_.in_channels) + ", H, W] of at least " +
                     std::to_string(least) + "×" + std::to_string(least) + ", got " + to_string(image.shape()));
  std::vector<Tensor> skips;
  Tensor x = inc_(image);
  for (int64_t i = 0; i < config_.depth; ++i) {
    skips.push_back(x);
    x = (*down_[static_cast<size_t>(i)])(x);
  }
  Tensor deepest = x;
  for (int64_t i = 0; i < config_.depth; ++i) {
    x = (*up_[static_cast<size_t>(i)])(x, skips.back());
    skips.pop_back();
  }
  return {outc_.conv(x), deepest};
}

// A table of pairs: row = truth, column = prediction.
Tensor intersection_over_union(const Tensor& prediction, const Tensor& target, int64_t classes) {
  NoGrad off;
  if (prediction.shape() != target.shape())
    throw ShapeError("intersection_over_union: prediction " + to_string(prediction.shape()) + " and target " + to_string(target.shape()) +
                     " differ");
  for (const Tensor* t : {&prediction, &target})
    for (int64_t v : to_vector<int64_t>(*t))
      if (v < 0 || v >= classes)
        throw IndexError("intersection_over_union: class " + std::to_string(v) + " is outside [0, " + std::to_string(classes) + ")");
  std::vector<double> both(static_cast<size_t>(classes)), either(static_cast<size_t>(classes));
  std::vector<int64_t> p = to_vector<int64_t>(prediction), t = to_vector<int64_t>(target);
  for (size_t i = 0; i < p.size(); ++i) {
    auto a = static_cast<size_t>(p[i]), b = static_cast<size_t>(t[i]);
    if (a == b) ++both[a], ++either[a];
    else ++either[a], ++either[b];
  }
  for (size_t c = 0; c < both.size(); ++c) both[c] /= either[c];  // 0 / 0 is NaN
  return from_vector(both);
}

}  // namespace plumb::unet
