// The generator of the style-based GAN.
#include <algorithm>

#include "engine/autograd/grad_mode.h"
#include "models/gan/image_side.h"
#include "models/gan/style.h"
#include "ops/elementary.h"
#include "ops/join.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb::gan {
namespace {

constexpr double kMeanRate = 0.005;  // of w_avg

int64_t width_at(const StyleConfig& c, int64_t halvings) { return std::min(c.width << halvings, c.widest); }

}  // namespace

StyleMapping::StyleMapping(nn::Module* parent, std::string name, const StyleConfig& c) : Module(parent, std::move(name)) {
  for (int64_t i = 0; i < c.mapping_layers; ++i)
    register_module("fc" + std::to_string(i),
                    layers_[static_cast<size_t>(i)].emplace(i == 0 ? c.latent : c.style, c.style,
                                                            EqualizedLinearOptions{.activate = true, .rate = c.mapping_rate}));
  register_buffer("w_avg", w_avg, zeros({c.style}));
}

Tensor StyleMapping::operator()(const Tensor& z) const {
  Tensor w = z * rsqrt(mean(square(z), {1}, true) + 1e-8);
  for (const auto& layer : layers_)
    if (layer) w = (*layer)(w);
  if (training()) {
    NoGrad off;
    Tensor average = w_avg;
    copy_data(lerp(average, mean(w, {0}), kMeanRate), average);
  }
  return w;
}

SynthesisBlock::SynthesisBlock(int64_t in, int64_t out, int64_t side, const StyleConfig& c)
    : conv1(this, "conv1", out, out, c.style, side, false), torgb(this, "torgb", out, c.channels, c.style) {
  if (in > 0) conv0.emplace(this, "conv0", in, out, c.style, side, true);
  else register_parameter("const", constant, randn({out, side, side}));
}

template <typename Styles>
void SynthesisBlock::operator()(Tensor& x, Tensor& image, Styles&& w, Generator* random) const {
  int64_t layer = 0;
  if (conv0) {
    x = (*conv0)(x, w(layer++), random);
    image = upsampled(image);
  } else {
    x = expand(unsqueeze(constant, 0), {w(0).size(0), -1, -1, -1});
  }
  x = conv1(x, w(layer++), random);
  Tensor added = torgb(x, w(layer));
  image = image.defined() ? image + added : added;
}

StyleGenerator::Synthesis::Synthesis(nn::Module* parent, std::string name, const StyleConfig& c) : Module(parent, std::move(name)) {
  ImageSide side = ImageSide::of(c.side, "style");
  for (int64_t i = 0; i <= side.doublings; ++i) {
    int64_t size = side.start << i;
    auto& block =
        blocks[static_cast<size_t>(i)].emplace(i == 0 ? 0 : width_at(c, side.doublings - i + 1), width_at(c, side.doublings - i), size, c);
    register_module("b" + std::to_string(size), block);
    layers += block.style_layers();
  }
  ++layers;  // the last output's own
}

StyleGenerator::StyleGenerator(const StyleConfig& c) : mapping(this, "mapping", c), synthesis(this, "synthesis", c) {}

// An output takes the style of the next block's first layer.
Tensor StyleGenerator::synthesize(const Tensor& w, Generator* random) const {
  if (w.rank() != 3 || w.size(1) != layers())
    throw ShapeError("style: takes " + std::to_string(layers()) + " styles for each image, got " + to_string(w.shape()));
  Tensor x, image;
  int64_t first = 0;
  for (const auto& block : synthesis.blocks) {
    if (!block) break;
    (*block)(x, image, [&](int64_t layer) { return select(w, 1, first + layer); }, random);
    first += block->style_layers();
  }
  return image;
}

Tensor StyleGan::styles(const Tensor& z, Generator& random) const {
  if (z.rank() != 2 || z.size(1) != config_.latent)
    throw ShapeError("style: takes random numbers [B, " + std::to_string(config_.latent) + "], got " + to_string(z.shape()));
  int64_t layers = generator_.layers();
  Tensor w = expand(unsqueeze(generator_.mapping(z), 1), {-1, layers, -1});
  if (!training()) return truncation == 1 ? w : lerp(generator_.mapping.w_avg, w, truncation);
  if (random.next_double() >= config_.mixing) return w;
  int64_t from = 1 + static_cast<int64_t>(random.next_below(static_cast<uint64_t>(layers - 1)));
  Tensor other = generator_.mapping(randn_like(z, &random));
  return cat({narrow(w, 1, 0, from), expand(unsqueeze(other, 1), {-1, layers - from, -1})}, 1);
}

}  // namespace plumb::gan
