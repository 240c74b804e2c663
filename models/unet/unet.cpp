// The diffusion U-Net: how it is put together, and forward.
#include "models/unet/unet.h"

#include "models/nn/init.h"
#include "ops/activation.h"
#include "ops/join.h"
#include "ops/pointwise.h"
#include "ops/shape.h"

namespace plumb::unet {

Tensor UnetStage::operator()(const Tensor& input_map, const Tensor& e, const Tensor& context) const {
  Tensor x = input_map;
  if (input) x = (*input)(x);
  if (block) x = (*block)(x, e);
  if (attention) x = (*attention)(x);
  if (transformer) x = (*transformer)(x, context);
  if (last_block) x = (*last_block)(x, e);
  if (down) x = (*down)(x);
  if (up) x = (*up)(x);
  return x;
}

Unet::Unet(const UnetConfig& c)
    : config_((c.check(), c)),
      time_embed_(this, "time_embed", c.width, c.embedding_width()),
      input_blocks_(this, "input_blocks"),
      middle_block_(this, "middle_block"),
      output_blocks_(this, "output_blocks"),
      out_(this, "out", c, c.channels(0), c.out_channels, "2") {
  if (c.time == TimeKind::fourier) time_frequencies_.emplace(this, "time_frequencies", c.width);
  if (c.classes > 0) label_emb_.emplace(this, "label_emb", c.classes + (c.null_class ? 1 : 0), c.embedding_width());
  add_encoder();
  add_middle();
  add_decoder();
  if (!c.zero_init) return;
  nn::init::zeros(out_.conv.weight);
  nn::init::zeros(out_.conv.bias);
}

namespace {

void add_attention(UnetStage& stage, const UnetConfig& c) {
  if (c.context > 0) stage.transformer.emplace(&stage, stage.next(), c, stage.channels);
  else stage.attention.emplace(&stage, stage.next(), c, stage.channels);
}

}  // namespace

// A residual block from `in` channels to those of the level, and the attention that belongs to it.
UnetStage& Unet::add_block(nn::ModuleList<UnetStage>& list, int64_t in, int64_t level) {
  UnetStage& stage = list.emplace_back();
  stage.level = level;
  stage.channels = config_.channels(level);
  stage.block.emplace(&stage, stage.next(), config_, in, stage.channels);
  if (config_.attends(level)) add_attention(stage, config_);
  return stage;
}

void Unet::add_encoder() {
  const UnetConfig& c = config_;
  bool every_layer = c.skips == Skips::every_layer;
  int64_t channels = c.channels(0);
  auto keep = [&](UnetStage& stage) {
    stage.keeps_skip = true;
    skip_channels_.push_back(stage.channels);
  };
  UnetStage& first = input_blocks_.emplace_back();
  first.channels = channels;
  first.input.emplace(&first, first.next(), c.in_channels * (c.self_condition ? 2 : 1), channels, 3, nn::Conv2dOptions{.padding = 1});
  if (every_layer) keep(first);
  for (int64_t level = 0; level < c.levels(); ++level) {
    for (int64_t i = 0; i < c.blocks; ++i) {
      UnetStage& stage = add_block(input_blocks_, channels, level);
      channels = stage.channels;
      if (every_layer || i == c.blocks - 1) keep(stage);
    }
    if (level == c.levels() - 1) break;
    UnetStage& stage = input_blocks_.emplace_back();
    stage.level = level + 1;
    stage.channels = channels;
    if (c.resample == Resample::block) stage.last_block.emplace(&stage, stage.next(), c, channels, channels, Direction::down);
    else stage.down.emplace(&stage, stage.next(), channels, c.resample == Resample::convolution);
    if (every_layer) keep(stage);
  }
}

void Unet::add_middle() {
  const UnetConfig& c = config_;
  middle_block_.level = c.levels() - 1;
  int64_t channels = middle_block_.channels = c.channels(c.levels() - 1);
  middle_block_.block.emplace(&middle_block_, middle_block_.next(), c, channels, channels);
  if (c.middle_attention) add_attention(middle_block_, c);
  middle_block_.last_block.emplace(&middle_block_, middle_block_.next(), c, channels, channels);
}

void Unet::add_decoder() {
  const UnetConfig& c = config_;
  bool every_layer = c.skips == Skips::every_layer;
  int64_t channels = c.channels(c.levels() - 1);
  for (int64_t level = c.levels() - 1; level >= 0; --level) {
    int64_t blocks = c.blocks + (every_layer ? 1 : 0);
    for (int64_t i = 0; i < blocks; ++i) {
      bool takes_skip = every_layer || i == 0;
      UnetStage& stage = add_block(output_blocks_, channels + (takes_skip ? skip_channels_.back() : 0), level);
      stage.takes_skip = takes_skip;
      if (takes_skip) skip_channels_.pop_back();
      channels = stage.channels;
      if (level == 0 || i < blocks - 1) continue;
      if (c.resample == Resample::block) stage.last_block.emplace(&stage, stage.next(), c, channels, channels, Direction::up);
      else stage.up.emplace(&stage, stage.next(), channels, c.resample == Resample::convolution);
    }
  }
}

std::vector<const UnetStage*> Unet::stages() const {
  std::vector<const UnetStage*> all;
  for (const UnetStage& s : input_blocks_) all.push_back(&s);
  all.push_back(&middle_block_);
  for (const UnetStage& s : output_blocks_) all.push_back(&s);
  return all;
}

void Unet::check_inputs(const Tensor& x, const Tensor& t, const UnetInputs& in) const {
  const UnetConfig& c = config_;
  if (x.rank() != 4 || x.size(1) != c.in_channels)
    throw ShapeError("unet: takes images [B, " + std::to_string(c.in_channels) + ", H, W], got " + to_string(x.shape()));
  int64_t factor = int64_t{1} << (c.levels() - 1);
  if (x.size(2) % factor != 0 || x.size(3) % factor != 0)
    throw ShapeError("unet: images of " + std::to_string(x.size(2)) + "×" + std::to_string(x.size(3)) + " do not fit " +
                     std::to_string(c.levels()) + " levels: the sizes must be multiples of " + std::to_string(factor));
  auto must_be = [&](const char* what, const Tensor& given, const Shape& shape) {
    if (given.defined() && given.shape() != shape)
      throw ShapeError(std::string("unet: ") + what + " must be " + to_string(shape) + ", it is " + to_string(given.shape()));
  };
  must_be("t", t, {x.size(0)});
  must_be("labels", in.labels, {x.size(0)});
  must_be("self_condition", in.self_condition, x.shape());
  must_be("embedding", in.embedding, {x.size(0), c.embedding_width()});
  if (in.labels.defined() && c.classes == 0) throw ValueError("unet: labels are given, but the configuration has no classes");
  if (!in.labels.defined() && c.classes > 0 && !c.null_class)
    throw ValueError("unet: labels are missing, and the configuration has no null class");
  if (in.context.defined() != (c.context > 0))
    throw ValueError(c.context > 0 ? "unet: the context for cross-attention is missing"
                                   : "unet: a context is given, but the configuration has no cross-attention");
  if (in.self_condition.defined() && !c.self_condition) throw ValueError("unet: self_condition is given, but the configuration has none");
}

Tensor Unet::embed(const Tensor& t, const UnetInputs& in) const {
  const UnetConfig& c = config_;
  Tensor scaled = t * c.time_scale;
  Tensor e = time_frequencies_ ? (*time_frequencies_)(scaled) : nn::timestep_embedding(scaled, c.width);
  e = time_embed_.out(silu(time_embed_.in(plumb::to(e, time_embed_.in.weight.dtype()))));
  if (label_emb_) {
    Tensor labels = in.labels.defined() ? in.labels : full({t.size(0)}, -1, i64, t.device());
    if (c.null_class) labels = where(labels == -1, c.classes, labels);
    e = e + (*label_emb_)(labels);
  }
  return in.embedding.defined() ? e + in.embedding : e;
}

Tensor Unet::network_input(const Tensor& x, const UnetInputs& in) const {
  if (!config_.self_condition) return x;
  return cat({x, in.self_condition.defined() ? in.self_condition : zeros_like(x)}, 1);
}

Tensor Unet::encode(const Tensor& image, const Tensor& t, const UnetInputs& in) const {
  check_inputs(image, t, in);
  Tensor x = network_input(image, in), e = silu(embed(t, in));
  for (const UnetStage& stage : input_blocks_) x = stage(x, e, in.context);
  return x;
}

Tensor Unet::forward(const Tensor& image, const Tensor& t, const UnetInputs& in, const StageHook& after) const {
  check_inputs(image, t, in);
  Tensor x = network_input(image, in), e = silu(embed(t, in));
  std::vector<Tensor> skips;
  size_t place = 0;
  auto run = [&](const UnetStage& stage) {
    if (stage.takes_skip) {
      x = cat({x, skips.back()}, 1);
      skips.pop_back();
    }
    x = stage(x, e, in.context);
    if (after) x = after(place, x);
    ++place;
    if (stage.keeps_skip) skips.push_back(x);
  };
  for (const UnetStage& stage : input_blocks_) run(stage);
  run(middle_block_);
  for (const UnetStage& stage : output_blocks_) run(stage);
  return out_.conv(out_.activated(x));
}

}  // namespace plumb::unet
