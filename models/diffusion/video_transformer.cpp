// The video transformer, forward.
#include "models/diffusion/video_transformer.h"

#include <cmath>
#include <string>

#include "models/diffusion/precondition.h"
#include "models/nn/init.h"
#include "models/nn/time_embedding.h"
#include "ops/activation.h"
#include "ops/norm.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/shape.h"

namespace plumb::diffusion {

void VideoTransformerConfig::check() const {
  for (auto [name, value] : {std::pair{"channels", channels},
                             {"frames", frames},
                             {"side", side},
                             {"patch", patch},
                             {"width", width},
                             {"heads", heads},
                             {"blocks", blocks},
                             {"inner", inner},
                             {"classes", classes}})
    if (value < 1) throw ValueError(std::string("video_transformer: ") + name + " must be at least 1, it is " + std::to_string(value));
  if (side % patch != 0)
    throw ValueError("video_transformer: patches of " + std::to_string(patch) + " do not divide a side of " + std::to_string(side));
  if (width % heads != 0 || width % 2 != 0)
    throw ValueError("video_transformer: the width " + std::to_string(width) + " must be even and a multiple of the heads " +
                     std::to_string(heads));
  if (!(data_std > 0)) throw ValueError("video_transformer: data_std must be positive, it is " + decimal(data_std));
}

namespace {

const VideoTransformerConfig& checked(const VideoTransformerConfig& c) {
  c.check();
  return c;
}

}  // namespace

VideoEmbedder::VideoEmbedder(nn::Module* parent, std::string name, const VideoTransformerConfig& c)
    : Module(parent, std::move(name)),
      in(this, "in", c.width, c.width),
      out(this, "out", c.width, c.width),
      modulation(this, "modulation", c.width, 6 * c.width),
      label(this, "label", c.classes + 1, c.width) {}

VideoEmbedder::Result VideoEmbedder::operator()(const Tensor& sigma, const Tensor& labels) const {
  Tensor e = out(silu(in(plumb::to(nn::timestep_embedding(sigma * 1000.0, in.weight.size(1)), in.weight.dtype()))));
  e = silu(e + label(where(labels == -1, label.weight.size(0) - 1, labels)));
  return {e, unflatten(modulation(e), 1, {6, e.size(1)})};
}

VideoBlock::VideoBlock(const VideoTransformerConfig& c)
    : table(this, "table", randn({6, c.width}) / std::sqrt(static_cast<double>(c.width))),
      attention(this, "attention", c.width, c.heads),
      ff(this, "ff", c.width, c.inner) {}

Tensor VideoBlock::operator()(const Tensor& x, const Tensor& modulation) const {
  Tensor m = modulation + table;
  auto vector = [&](int64_t i) { return narrow(m, 1, i, 1); };  // [B, 1, width]
  auto normed = [](const Tensor& h, const Tensor& shift, const Tensor& scale) { return layer_norm(h, {h.size(-1)}) * (1 + scale) + shift; };
  Tensor h = x + vector(2) * attention(normed(x, vector(0), vector(1)));
  return h + vector(5) * ff(normed(h, vector(3), vector(4)));
}

VideoHead::VideoHead(nn::Module* parent, std::string name, const VideoTransformerConfig& c)
    : Module(parent, std::move(name)), norm(this, "norm", c.width, c.width), out(this, "out", c.width, c.token_features()) {
  nn::init::zeros(out.weight);
  nn::init::zeros(out.bias);
}

VideoTransformer::VideoTransformer(const VideoTransformerConfig& c)
    : config_(checked(c)),
      patch_in_(this, "patch_in", c.token_features(), c.width),
      positions_(this, "positions", randn({c.tokens(), c.width}) * 0.1),
      blocks_(this, "blocks"),
      embedder(this, "embedder", c),
      head(this, "head", c) {
  for (int64_t i = 0; i < c.blocks; ++i) blocks_.emplace_back(c);
}

// [B, C, F, H, W] → [B, F h w, C p p]
Tensor VideoTransformer::tokens_of(const Tensor& x) const {
  const VideoTransformerConfig& c = config_;
  Shape wanted{x.rank() > 0 ? x.size(0) : 0, c.channels, c.frames, c.side, c.side};
  if (x.shape() != wanted) throw ShapeError("video_transformer: takes videos " + to_string(wanted) + ", got " + to_string(x.shape()));
  int64_t n = c.side / c.patch;
  Tensor cut = reshape(x, {x.size(0), c.channels, c.frames, n, c.patch, n, c.patch});
  return reshape(permute(cut, {0, 2, 3, 5, 1, 4, 6}), {x.size(0), c.tokens(), c.token_features()});
}

Tensor VideoTransformer::video_of(const Tensor& tokens) const {
  const VideoTransformerConfig& c = config_;
  int64_t n = c.side / c.patch;
  Tensor cut = reshape(tokens, {tokens.size(0), c.frames, n, n, c.channels, c.patch, c.patch});
  return reshape(permute(cut, {0, 4, 1, 2, 5, 3, 6}), {tokens.size(0), c.channels, c.frames, c.side, c.side});
}

Tensor VideoTransformer::labels_or_none(const Tensor& labels, const Tensor& x) const {
  return labels.defined() ? labels : full({x.size(0)}, -1, i64, x.device());
}

Tensor VideoTransformer::forward(const Tensor& x, const Tensor& sigma, const Tensor& labels, const VideoEmbedder& e,
                                 const VideoHead& h) const {
  auto [embedding, modulation] = e(sigma, labels_or_none(labels, x));
  Tensor tokens = patch_in_(tokens_of(x)) + positions_;
  for (const VideoBlock& block : blocks_) tokens = block(tokens, modulation);
  Tensor s = per_example(sigma, x), rest = 1 - s;
  double variance = config_.data_std * config_.data_std;
  Tensor share = (s - rest * variance) / (rest * rest * variance + s * s);
  return share * x + video_of(h(tokens, embedding));
}

VideoTransformer::Features VideoTransformer::features(const Tensor& x, const Tensor& sigma, const Tensor& labels) const {
  auto [embedding, modulation] = embedder(sigma, labels_or_none(labels, x));
  Tensor tokens = patch_in_(tokens_of(x)) + positions_;
  Features f;
  for (size_t i = 0; i < blocks_.size(); ++i) {
    tokens = blocks_[i](tokens, modulation);
    if (i % 2 != 0) continue;
    f.hidden.push_back(tokens);
    f.exits.push_back(head(tokens, embedding));
  }
  return f;
}

}  // namespace plumb::diffusion
