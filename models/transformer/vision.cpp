// The vision transformer: its configuration and its forward pass.
#include "models/transformer/vision.h"

#include "engine/autograd/checkpoint.h"
#include "engine/io/json_fields.h"
#include "models/nn/init.h"
#include "models/nn/prefix.h"
#include "models/require.h"
#include "models/transformer/initial_weights.h"
#include "ops/join.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb::transformer {

static constexpr auto fields = [](auto& c, auto&& f) {
  f("image_height", c.image_height), f("image_width", c.image_width), f("channels", c.channels), f("patch", c.patch),
      f("classes", c.classes), f("layers", c.layers), f("heads", c.heads);
  f("width", c.width), f("inner", c.inner), f("dropout", c.dropout), f("attention_dropout", c.attention_dropout), f("norm_eps", c.norm_eps);
  f("activation", c.activation), f("pooling", c.pooling);
};

std::string VisionConfig::to_json() const { return fields_to_json(*this, fields); }
VisionConfig VisionConfig::from_json(const std::string& text) { return fields_from_json<VisionConfig>("vision", text, fields); }

void VisionConfig::check() const {
  require_positive("vision", {{"image_height", image_height},
                              {"image_width", image_width},
                              {"channels", channels},
                              {"--patch", patch},
                              {"classes", classes},
                              {"--layers", layers},
                              {"--heads", heads},
                              {"--width", width},
                              {"--inner", inner}});
  require_multiple("vision", "image_height", image_height, "--patch", patch);
  require_multiple("vision", "image_width", image_width, "--patch", patch);
  require_multiple("vision", "--width", width, "--heads", heads);
  require_rate("vision", "--dropout", dropout);
  require_rate("vision", "attention_dropout", attention_dropout);
  require(norm_eps > 0, "vision: norm_eps must be positive, it is " + decimal(norm_eps));
  require(pooling == "first" || pooling == "mean", "vision: --pooling \"" + pooling + "\" is unknown; choose first or mean");
  nn::activation_named(activation);
}

VisionTransformer::VisionTransformer(const VisionConfig& c)
    : config_((c.check(), c)),
      patches_(this, "patches", c.channels, c.width, c.patch),
      class_token_(this, "class_token", zeros({1, 1, c.width})),
      positions_(this, "positions", zeros({1, 1 + c.image_height / c.patch * (c.image_width / c.patch), c.width})),
      dropout_(this, "dropout", c.dropout),
      blocks_(this, "blocks"),
      norm_(this, "norm", c.width, {.eps = c.norm_eps}),
      classifier_(this, "classifier", c.width, c.classes) {
  for (int64_t i = 0; i < c.layers; ++i)
    blocks_.emplace_back(PreNormOptions{.width = c.width,
                                        .heads = c.heads,
                                        .inner = c.inner,
                                        .activation = nn::activation_named(c.activation),
                                        .dropout = c.dropout,
                                        .attention_dropout = c.attention_dropout,
                                        .norm_eps = c.norm_eps});
  draw_weights(*this, initial_deviation(c.width), c.layers, {"attention.out.weight", "mlp.down.weight"});
  nn::init::zeros(classifier_.weight);
}

// PreNormBlock with a prefix.
static Tensor prefixed(const PreNormBlock& block, const Tensor& x, const nn::AttentionPrefix& prefix) {
  if (!prefix.defined()) return block(x);
  Tensor y = x + block.dropout(nn::prefix_attention(block.attention, block.norm1(x), prefix));
  return y + block.mlp(block.norm2(y));
}

Tensor VisionTransformer::hidden(const Tensor& images) const { return hidden(images, {}); }

Tensor VisionTransformer::hidden(const Tensor& images, const nn::Prefixes& prefixes) const {
  if (prefixes.size() > blocks_.size())
    throw ValueError("vision: prefixes for " + std::to_string(prefixes.size()) + " blocks, there are " + std::to_string(blocks_.size()));
  const VisionConfig& c = config_;
  if (images.rank() != 4 || images.size(1) != c.channels || images.size(2) != c.image_height || images.size(3) != c.image_width)
    throw ShapeError("vision: takes images [B, " + std::to_string(c.channels) + ", " + std::to_string(c.image_height) + ", " +
                     std::to_string(c.image_width) + "], got " + to_string(images.shape()));
  Tensor x = cat({expand(class_token_, {images.size(0), 1, c.width}), patches_(images)}, 1) + positions_;
  x = dropout_(x);
  for (size_t i = 0; i < blocks_.size(); ++i) {
    const PreNormBlock& block = blocks_[i];
    nn::AttentionPrefix prefix = i < prefixes.size() ? prefixes[i] : nn::AttentionPrefix{};
    x = recompute && training() ? checkpoint([&block, x, prefix] { return prefixed(block, x, prefix); }) : prefixed(block, x, prefix);
  }
  return norm_(x);
}

Tensor VisionTransformer::operator()(const Tensor& images) const {
  Tensor x = hidden(images);
  return classifier_(config_.pooling == "first" ? select(x, 1, 0) : mean(slice(x, 1, 1), {1}));
}

}  // namespace plumb::transformer
