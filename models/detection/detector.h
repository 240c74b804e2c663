// A set-prediction detector: backbone, feature pyramid and box decoder, started from noise or from learned boxes.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "engine/core/generator.h"
#include "models/detection/box_decoder.h"
#include "models/detection/criterion.h"
#include "models/detection/pyramid.h"
#include "models/resnet/resnet.h"

namespace plumb::detection {

struct DetectorConfig {
  int64_t channels = 3;  ///< of the images
  int64_t classes = 4;
  bool small_images = true;                 ///< the ResNet begins at full size, with strides 1, 2, 4, …; else at a quarter: 4, 8, 16, …
  int64_t backbone_width = 8;               ///< of its first stage, doubling with each; a multiple of 4
  std::vector<int64_t> blocks{1, 1, 1, 1};  ///< of its stages
  int64_t first_level = 2;                  ///< the first stage that the pyramid is built on
  int64_t width = 48;                       ///< of the pyramid and the decoder
  int64_t proposals = 16;                   ///< boxes
  int64_t stages = 3;                       ///< of the decoder
  int64_t heads = 4, inner = 96, dynamic = 8;
  int64_t roi_size = 4, roi_sampling = 1;
  double roi_cells = 4;  ///< side of the boxes that a level reads, in its places
  /// learned: queries and their boxes are learned (DETR, Sparse R-CNN), the sooner trained; noise: boxes are denoised (DiffusionDet), in as
  /// many steps as one likes
  std::string start = "learned";
  std::string matching = "dynamic_k";  ///< or one_to_one: fewer doubles, but slower to learn
  double signal_scale = 2;             ///< of boxes against noise
  int64_t noise_steps = 1000;          ///< of the cosine schedule

  std::string to_json() const;
  static DetectorConfig from_json(const std::string& json);
  /// Throws ConfigError naming what is out of range.
  void check() const;
};

struct DetectOptions {
  int64_t steps = 1;     ///< of denoising; learned boxes take one
  double keep = 0.5;     ///< between steps, boxes with no class above this score are drawn anew
  double overlap = 0.5;  ///< of boxes of one class, above which the weaker goes
  double least = 0.0;    ///< score of what is reported
  int64_t most = 100;    ///< boxes an image
  uint64_t seed = 0;     ///< of the noise, which is the same for every image, so an answer does not depend on the batch
};

class Detector : public nn::Module {
 public:
  /// The ResNet normalises by groups of channels, so that training and evaluation compute the same. Learned boxes start as a grid over the
  /// image. Throws ConfigError as DetectorConfig::check.
  explicit Detector(const DetectorConfig& config);

  /// images [B, channels, H, W] → one prediction a stage from boxes [B, P, 4] (corners in pixels) at time [B]; for learned boxes both are
  /// left out. Throws ShapeError for other images.
  std::vector<Prediction> operator()(const Tensor& images, const Tensor& boxes = {}, const Tensor& time = {}) const;
  /// The loss of a batch. From noise: true boxes, filled up with random ones, are noised to a random time of each image,
  ///   x_t = √ᾱ_t s(2b − 1) + √(1 − ᾱ_t) ε   for centres b as shares of the image, kept within ±s,
  /// and are to be found again. Draws from the default generator.
  DetectionLoss loss(const Tensor& images, const Objects& truth) const;
  /// What is found in each image, from noise by DDIM steps over evenly spaced times (all steps' answers together), doubles removed. Nothing
  /// is recorded. Throws ValueError for less than one step.
  std::vector<Found> detect(const Tensor& images, const DetectOptions& options = {}) const;
  const DetectorConfig& config() const { return config_; }

  /// operator() in two steps, for those who decode several sets of boxes of the same images.
  struct Pyramid {
    std::vector<Tensor> levels;
    int64_t height, width;  ///< of the images
  };
  Pyramid pyramid(const Tensor& images) const;
  std::vector<Prediction> decoded(const Pyramid& p, const Tensor& boxes, const Tensor& time) const;

  /// In training, each block of the backbone keeps its input only and runs again for its gradient.
  void recompute(bool on) { backbone_.recompute = on; }

 private:
  Tensor corners_of(const Tensor& noisy, int64_t height, int64_t width) const;
  Tensor noised(const Objects& truth, const Tensor& share_kept, int64_t height, int64_t width) const;

  DetectorConfig config_;
  std::vector<double> strides_, alpha_bars_;
  resnet::ResNet backbone_;
  FeaturePyramid fpn_;
  BoxDecoder head_;
  nn::Parameter proposal_boxes_, proposal_features_;  ///< [P, 4] centres as shares of the image, [P, width]; learned start only
};

}  // namespace plumb::detection
