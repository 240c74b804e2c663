// Temporal layers between the layers of a perceptron.
#include "models/diffusion/video_mlp.h"

#include <string>

#include "models/nn/init.h"
#include "models/nn/video.h"
#include "ops/activation.h"
#include "ops/join.h"
#include "ops/pointwise.h"
#include "ops/shape.h"

namespace plumb::diffusion {
namespace {

unet::MotionConfig attention_config(const VideoMlpConfig& c) {
  return {.heads = c.heads, .max_frames = c.max_frames, .attention_layers = 1, .positions = c.positions};
}

const VideoMlpConfig& checked(const VideoMlpConfig& c) {
  c.check();
  return c;
}

void silence(nn::Linear& layer) {
  nn::init::zeros(layer.weight);
  nn::init::zeros(layer.bias);
}

}  // namespace

void VideoMlpConfig::check() const {
  for (auto [name, value] : {std::pair{"motion_width", motion_width}, {"heads", heads}, {"max_frames", max_frames}})
    if (value < 1) throw ValueError(std::string("video_mlp: ") + name + " must be at least 1, it is " + std::to_string(value));
  if (motion_width % heads != 0)
    throw ValueError("video_mlp: heads " + std::to_string(heads) + " do not divide the motion width " + std::to_string(motion_width));
  if (classes < 0) throw ValueError("video_mlp: classes must not be negative, they are " + std::to_string(classes));
}

TemporalLayer::TemporalLayer(int64_t width, const VideoMlpConfig& c)
    : norm(this, "norm", width),
      proj_in(this, "proj_in", width, c.motion_width),
      block(c.motion_width, attention_config(c)),
      proj_out(this, "proj_out", c.motion_width, width) {
  register_module("block", block);
  silence(proj_out);
}

Tensor TemporalLayer::operator()(const Tensor& h, int64_t frames, const Tensor& class_embedding) const {
  if (h.rank() != 2 || frames < 1 || h.size(0) % frames != 0)
    throw ShapeError("temporal_layer: " + to_string(h.shape()) + " does not hold whole videos of " + std::to_string(frames) + " frames");
  Tensor tokens = unflatten(proj_in(norm(h)), 0, {h.size(0) / frames, frames});
  if (class_embedding.defined()) tokens = tokens + unsqueeze(class_embedding, 1);
  return h + proj_out(flatten(block(tokens), 0, 1));
}

VideoMlp::FirstFrame::FirstFrame(nn::Module* parent, std::string name, const TimeMlpConfig& c)
    : Module(parent, std::move(name)), encode(this, "encode", c.features, c.hidden[0]), out(this, "out") {
  for (int64_t width : c.hidden) silence(out.emplace_back(c.hidden[0], width));
}

VideoMlp::VideoMlp(const TimeMlp& net, const VideoMlpConfig& c) : config_(checked(c)), image(net), motion(this, "motion") {
  register_module("image", image);
  for (int64_t width : net.config().hidden) motion.emplace_back(width, c);
  if (c.classes > 0) label_emb_.emplace(this, "label_emb", c.classes + 1, c.motion_width);
  if (c.first_frame) first_frame_.emplace(this, "first_frame", net.config());
}

Tensor VideoMlp::operator()(const Tensor& x, const Tensor& noise, const VideoInputs& in) const {
  if (x.rank() != 5) throw ShapeError("video_mlp: takes videos [B, C, F, H, W], got " + to_string(x.shape()));
  int64_t videos = x.size(0), frames = x.size(2);
  if (frames > config_.max_frames)
    throw ShapeError("video_mlp: " + std::to_string(frames) + " frames are more than max_frames " + std::to_string(config_.max_frames));
  if (in.labels.defined() && !label_emb_) throw ValueError("video_mlp: labels are given, but the network has no classes");
  if (in.first_frame.defined() && !first_frame_) throw ValueError("video_mlp: a first frame is given, but the network takes none");
  Tensor labels;
  if (label_emb_) {
    Tensor given = in.labels.defined() ? in.labels : full({videos}, -1, i64, x.device());
    labels = (*label_emb_)(where(given == -1, config_.classes, given));
  }
  Tensor seen;
  if (in.first_frame.defined()) seen = silu(first_frame_->encode(flatten(in.first_frame, 1)));
  Tensor y = image.forward(nn::as_frames(x), repeat_interleave(noise, frames, 0), [&](size_t place, const Tensor& h) {
    Tensor told = seen.defined() ? h + repeat_interleave(first_frame_->out[place](seen), frames, 0) : h;
    return motion[place](told, frames, labels);
  });
  return nn::as_videos(y, frames);
}

std::vector<Tensor> VideoMlp::motion_parameters() const {
  std::vector<Tensor> all = motion.parameters();
  if (label_emb_)
    for (const Tensor& p : label_emb_->parameters()) all.push_back(p);
  return all;
}

std::vector<Tensor> VideoMlp::first_frame_parameters() const { return first_frame_ ? first_frame_->parameters() : std::vector<Tensor>{}; }

}  // namespace plumb::diffusion
