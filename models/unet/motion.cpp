// Motion modules and the video U-Net, forward.
#include "models/unet/motion.h"

#include <algorithm>
#include <cmath>

#include "engine/io/json_fields.h"
#include "models/nn/init.h"
#include "models/nn/video.h"
#include "ops/join.h"
#include "ops/pointwise.h"
#include "ops/shape.h"

namespace plumb::unet {
namespace {

void require(bool holds, const std::string& problem) {
  if (!holds) throw ConfigError("motion: " + problem);
}

// [B, ..] → [B·F, ..], every entry F times.
Tensor per_frame(const Tensor& x, int64_t frames) { return x.defined() ? repeat_interleave(x, frames, 0) : x; }
}  // namespace

static constexpr auto fields = [](auto& c, auto&& f) {
  f("heads", c.heads), f("groups", c.groups), f("max_frames", c.max_frames), f("blocks", c.blocks),
      f("attention_layers", c.attention_layers), f("levels", c.levels), f("middle", c.middle), f("positions", c.positions);
};

std::string MotionConfig::to_json() const { return fields_to_json(*this, fields); }
MotionConfig MotionConfig::from_json(const std::string& text) { return fields_from_json<MotionConfig>("motion", text, fields); }

void MotionConfig::check() const {
  for (auto [name, value] : {std::pair{"heads", heads},
                             {"groups", groups},
                             {"max_frames", max_frames},
                             {"blocks", blocks},
                             {"attention_layers", attention_layers}})
    require(value >= 1, std::string(name) + " must be at least 1, it is " + std::to_string(value));
}

Tensor frame_positions(int64_t frames, int64_t width) {
  std::vector<double> p(static_cast<size_t>(frames * width));
  for (int64_t f = 0; f < frames; ++f)
    for (int64_t i = 0; i < width; ++i) {
      double angle = static_cast<double>(f) * std::pow(10000.0, -static_cast<double>(i / 2 * 2) / static_cast<double>(width));
      p[static_cast<size_t>(f * width + i)] = i % 2 == 0 ? std::sin(angle) : std::cos(angle);
    }
  return from_vector(p, {frames, width});
}

TemporalAttention::TemporalAttention(int64_t width, const MotionConfig& c)
    : CrossAttention(nullptr, "", width, c.heads), positions(c.positions) {}

Tensor TemporalAttention::operator()(const Tensor& x) const {
  if (!positions) return CrossAttention::operator()(x);
  return CrossAttention::operator()(x + plumb::to(plumb::to(frame_positions(x.size(1), x.size(2)), x.dtype()), x.device()));
}

TemporalBlock::TemporalBlock(int64_t width, const MotionConfig& c)
    : attention_blocks(this, "attention_blocks"), norms(this, "norms"), ff(this, "ff", width), ff_norm(this, "ff_norm", width) {
  for (int64_t i = 0; i < c.attention_layers; ++i) {
    attention_blocks.emplace_back(width, c);
    norms.emplace_back(Shape{width});
  }
}

Tensor TemporalBlock::operator()(const Tensor& input) const {
  Tensor x = input;
  for (size_t i = 0; i < attention_blocks.size(); ++i) x = x + attention_blocks[i](norms[i](x));
  return x + ff(ff_norm(x));
}

MotionModule::MotionModule(int64_t channels, const MotionConfig& c)
    : norm(this, "norm", c.groups, channels, {.eps = 1e-6}), proj_in(this, "proj_in", channels, channels),
      transformer_blocks(this, "transformer_blocks"), proj_out(this, "proj_out", channels, channels) {
  for (int64_t i = 0; i < c.blocks; ++i) transformer_blocks.emplace_back(channels, c);
  nn::init::zeros(proj_out.weight);
  nn::init::zeros(proj_out.bias);
}

Tensor MotionModule::operator()(const Tensor& x, int64_t frames) const {
  if (x.rank() != 4 || frames < 1 || x.size(0) % frames != 0)
    throw ShapeError("motion: " + to_string(x.shape()) + " does not hold whole videos of " + std::to_string(frames) + " frames");
  int64_t videos = x.size(0) / frames, channels = x.size(1), height = x.size(2), width = x.size(3);
  Tensor h = reshape(norm(x), {videos, frames, channels, height * width});
  h = proj_in(reshape(permute(h, {0, 3, 1, 2}), {videos * height * width, frames, channels}));
  for (const TemporalBlock& block : transformer_blocks) h = block(h);
  h = reshape(proj_out(h), {videos, height * width, frames, channels});
  return x + reshape(permute(h, {0, 2, 3, 1}), x.shape());
}

VideoUnet::VideoUnet(const Unet& net, const MotionConfig& c) : config_((c.check(), c)), image(net), motion(this, "motion_modules") {
  register_module("image", image);
  for (const UnetStage* stage : net.stages()) {
    bool is_middle = stage == net.middle();
    bool wanted = stage->block && (is_middle ? c.middle : c.levels.empty() || std::ranges::find(c.levels, stage->level) != c.levels.end());
    module_at_.push_back(wanted ? static_cast<int64_t>(motion.size()) : -1);
    if (!wanted) continue;
    require(stage->channels % c.heads == 0, "heads " + std::to_string(c.heads) + " do not divide the " + std::to_string(stage->channels) +
                                                " channels of level " + std::to_string(stage->level));
    require(stage->channels % c.groups == 0, "groups " + std::to_string(c.groups) + " do not divide the " +
                                                 std::to_string(stage->channels) + " channels of level " + std::to_string(stage->level));
    motion.emplace_back(stage->channels, c);
  }
}

Tensor VideoUnet::operator()(const Tensor& x, const Tensor& t, const UnetInputs& in) const {
  if (x.rank() != 5) throw ShapeError("video_unet: takes videos [B, C, F, H, W], got " + to_string(x.shape()));
  int64_t frames = x.size(2);
  if (frames > config_.max_frames)
    throw ShapeError("video_unet: " + std::to_string(frames) + " frames are more than max_frames " + std::to_string(config_.max_frames));
  UnetInputs each{per_frame(in.labels, frames), per_frame(in.context, frames),
                  in.self_condition.defined() ? nn::as_frames(in.self_condition) : Tensor(), per_frame(in.embedding, frames)};
  Tensor y = image.forward(nn::as_frames(x), per_frame(t, frames), each, [&](size_t place, const Tensor& h) {
    int64_t i = module_at_[place];
    return i < 0 ? h : motion[static_cast<size_t>(i)](h, frames);
  });
  return nn::as_videos(y, frames);
}

}  // namespace plumb::unet
