// A perceptron of frames with attention over time between its layers: the video network of miniatures.
#pragma once
#include <optional>

#include "models/diffusion/time_mlp.h"
#include "models/nn/embedding.h"
#include "models/unet/motion.h"

namespace plumb::diffusion {

struct VideoMlpConfig {
  int64_t motion_width = 48;  ///< of the tokens that attend to each other, a frame each
  int64_t heads = 1;
  int64_t max_frames = 16;
  bool positions = true;     ///< frames know their place
  int64_t classes = 0;       ///< of motion, told to the temporal layers; 0: none. One more class, label −1, stands for none
  bool first_frame = false;  ///< takes a first frame as condition
  /// Throws ValueError naming what is out of range.
  void check() const;
};

/// h + proj_out(block(proj_in(norm(h)) + e)) over the frames of a video, e the embedding of its class: h [B·F, width], the frames of a
/// video one after the other. proj_out starts as 0, so that a new layer changes nothing.
struct TemporalLayer : nn::Module {
  nn::LayerNorm norm;
  nn::Linear proj_in;
  unet::TemporalBlock block;
  nn::Linear proj_out;
  TemporalLayer(int64_t width, const VideoMlpConfig& config);
  Tensor operator()(const Tensor& h, int64_t frames, const Tensor& class_embedding = {}) const;
};

/// What the network is told beside the video and its noise level.
struct VideoInputs {
  Tensor labels = {};       ///< i64 [B], −1 for none; undefined: none for all
  Tensor first_frame = {};  ///< [B, C, H, W]; undefined: none
};

/// TimeMlp on every frame, a TemporalLayer after each of its hidden layers. At the start it is the image network frame by frame, bit for
/// bit. A first frame is added to every hidden layer of every frame through layers of their own, the last of which start as 0.
class VideoMlp : public nn::Module {
 public:
  /// A copy of `image`, trained or not, with new temporal layers.
  VideoMlp(const TimeMlp& image, const VideoMlpConfig& config);

  /// x [B, C, F, H, W] with C·H·W the image network's features, noise [B] (c_noise, one a video) → x's shape. Throws ShapeError for another
  /// shape or more frames than max_frames, ValueError for inputs that the network does not know, IndexError for a label that is no class.
  Tensor operator()(const Tensor& x, const Tensor& noise, const VideoInputs& inputs = {}) const;

  /// What is trained on videos while the image network is frozen: temporal layers and the embedding of classes.
  std::vector<Tensor> motion_parameters() const;
  /// The parameters that a first frame enters through.
  std::vector<Tensor> first_frame_parameters() const;
  const VideoMlpConfig& config() const { return config_; }

 private:
  struct FirstFrame : nn::Module {
    nn::Linear encode;
    nn::ModuleList<nn::Linear> out;
    FirstFrame(nn::Module* parent, std::string name, const TimeMlpConfig& image);
  };
  VideoMlpConfig config_;

 public:
  TimeMlp image;
  nn::ModuleList<TemporalLayer> motion;

 private:
  std::optional<nn::Embedding> label_emb_;
  std::optional<FirstFrame> first_frame_;
};

}  // namespace plumb::diffusion
