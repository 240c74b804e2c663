// The parts of the diffusion U-Net, forward.
#include "models/unet/blocks.h"

#include "models/nn/init.h"
#include "models/nn/modulation.h"
#include "ops/activation.h"
#include "ops/attention.h"
#include "ops/pointwise.h"
#include "ops/pool.h"
#include "ops/shape.h"
#include "ops/vision.h"

namespace plumb::unet {
namespace {

template <typename Layer>
void start_as_zero(Layer& layer, const UnetConfig& config) {
  if (!config.zero_init) return;
  nn::init::zeros(layer.weight);
  nn::init::zeros(layer.bias);
}

Tensor halved(const Tensor& x) {
  if (x.size(2) % 2 != 0 || x.size(3) % 2 != 0)
    throw ShapeError("unet: a map of " + std::to_string(x.size(2)) + "×" + std::to_string(x.size(3)) +
                     " cannot be halved: image sizes must be multiples of 2 to the number of levels less 1");
  return x;
}
Tensor doubled(const Tensor& x) { return interpolate(x, {.scale = 2}); }

}  // namespace

Downsample::Downsample(nn::Module* parent, std::string name, int64_t channels, bool convolution) : Module(parent, std::move(name)) {
  if (convolution) op.emplace(this, "op", channels, channels, 3, nn::Conv2dOptions{.stride = 2, .padding = 1});
}
Tensor Downsample::operator()(const Tensor& x) const { return op ? (*op)(halved(x)) : avg_pool2d(halved(x), 2); }

Upsample::Upsample(nn::Module* parent, std::string name, int64_t channels, bool convolution) : Module(parent, std::move(name)) {
  if (convolution) conv.emplace(this, "conv", channels, channels, 3, nn::Conv2dOptions{.padding = 1});
}
Tensor Upsample::operator()(const Tensor& x) const { return conv ? (*conv)(doubled(x)) : doubled(x); }

NormConv::NormConv(nn::Module* parent, std::string name, const UnetConfig& c, int64_t in, int64_t out, const char* place)
    : Module(parent, std::move(name)), norm(this, "0", c.groups, in), conv(this, place, in, out, 3, {.padding = 1}), groups_(c.groups) {}

ResBlock::ResBlock(nn::Module* parent, std::string name, const UnetConfig& c, int64_t in, int64_t out, Direction direction)
    : Module(parent, std::move(name)),
      in_layers(this, "in_layers", c, in, out, "2"),
      out_layers(this, "out_layers", c, out, out, "3"),
      dropout(this, "dropout", c.dropout),
      emb_layers(this, "emb_layers", c.embedding_width(), c.scale_shift ? 2 * out : out),
      scale_shift_(c.scale_shift),
      direction_(direction) {
  if (in != out) skip_connection.emplace(this, "skip_connection", in, out, 1);
  start_as_zero(out_layers.conv, c);
}

Tensor ResBlock::operator()(const Tensor& input, const Tensor& activated_embedding) const {
  Tensor x = input, h = in_layers.activated(x);
  if (direction_ == Direction::down) x = avg_pool2d(halved(x), 2), h = avg_pool2d(h, 2);
  if (direction_ == Direction::up) x = doubled(x), h = doubled(h);
  h = in_layers.conv(h);
  Tensor e = emb_layers.linear(activated_embedding);
  if (scale_shift_) {
    int64_t channels = h.size(1);
    h = silu(nn::film(out_layers.norm(h), narrow(e, 1, 0, channels), narrow(e, 1, channels, channels)));
  } else {
    h = out_layers.activated(h + unsqueeze(unsqueeze(e, 2), 3));
  }
  return (skip_connection ? (*skip_connection)(x) : x) + out_layers.conv(dropout(h));
}

AttentionBlock::AttentionBlock(nn::Module* parent, std::string name, const UnetConfig& c, int64_t channels)
    : Module(parent, std::move(name)),
      norm(this, "norm", c.groups, channels),
      qkv(this, "qkv", channels, 3 * channels, 1),
      proj_out(this, "proj_out", channels, channels, 1),
      heads_(c.heads_of(channels)) {
  start_as_zero(proj_out, c);
}

Tensor AttentionBlock::operator()(const Tensor& x) const {
  Tensor split = unflatten(qkv(flatten(norm(x), 2)), 1, {heads_, 3, -1});  // [B, heads, 3, D, places]
  auto part = [&](int64_t i) { return mT(select(split, 2, i)); };
  Tensor y = mT(scaled_dot_product_attention(part(0), part(1), part(2)));
  return x + reshape(proj_out(flatten(y, 1, 2)), x.shape());
}

SpatialTransformer::SpatialTransformer(nn::Module* parent, std::string name, const UnetConfig& c, int64_t channels)
    : Module(parent, std::move(name)),
      norm(this, "norm", c.groups, channels, {.eps = 1e-6}),
      proj_in(this, "proj_in", channels, channels, 1),
      transformer_blocks(this, "transformer_blocks"),
      proj_out(this, "proj_out", channels, channels, 1) {
  for (int64_t i = 0; i < c.transformer_depth; ++i) transformer_blocks.emplace_back(channels, c.heads_of(channels), c.context);
  start_as_zero(proj_out, c);
}

Tensor SpatialTransformer::operator()(const Tensor& x, const Tensor& context) const {
  Tensor tokens = mT(flatten(proj_in(norm(x)), 2));  // [B, places, C]
  for (const TransformerBlock& block : transformer_blocks) tokens = block(tokens, context);
  return x + proj_out(reshape(mT(tokens), x.shape()));
}

}  // namespace plumb::unet
