// The dual encoder (CLIP; Radford et al., ICML 2021): two encoders whose outputs for what belongs together point the same way.
#pragma once
#include <string>
#include <utility>

#include "models/nn/linear.h"

namespace plumb::contrastive {

struct DualEncoderConfig {
  int64_t image_width = 128;  ///< of what the image encoder gives
  int64_t text_width = 128;   ///< of what the text encoder gives
  int64_t width = 64;         ///< of the space that both are projected into
  double temperature = 0.07;  ///< at the start; logits are cosines divided by it

  std::string to_json() const;
  static DualEncoderConfig from_json(const std::string& json);
  /// Throws ConfigError naming what is out of range.
  void check() const;
};

/// The part that does not depend on the encoders: two projections without bias and the learned temperature, as e^logit_scale.
/// Names are those of the reference library: visual_projection.weight, text_projection.weight, logit_scale.
class SharedSpace : public nn::Module {
 public:
  static constexpr double kLargestScale = 100;

  /// Projections start as N(0, 1 / their inputs), logit_scale as log(1 / temperature). Throws ConfigError as DualEncoderConfig::check.
  explicit SharedSpace(const DualEncoderConfig& config);
  /// What an encoder gave, [B, image_width] or [B, text_width] → unit vectors [B, width]. Throws ShapeError for another width.
  Tensor project_image(const Tensor& encoded) const;
  Tensor project_text(const Tensor& encoded) const;
  /// scale() · ⟨image_i, text_j⟩: unit vectors [n, width] and [m, width] → [n, m].
  Tensor logits(const Tensor& images, const Tensor& texts) const;
  /// e^logit_scale, at most 100; rank 0.
  Tensor scale() const;
  /// Takes logit_scale back to log 100 where an optimiser took it beyond: to be called after each step, since nothing pulls it back from
  /// where the limit has no slope.
  void limit_scale();
  const DualEncoderConfig& config() const { return config_; }

 private:
  DualEncoderConfig config_;

 public:
  nn::Linear visual_projection, text_projection;
  nn::Parameter logit_scale;
};

/// ½ (cross-entropy of the rows + cross-entropy of the columns) of logits [n, n], pair i being image i and text i. Throws ShapeError unless
/// it is a square matrix.
Tensor symmetric_cross_entropy(const Tensor& logits);

/// The share of rows of scores [n, m] whose own column `truth[i]` (i64 [n]; undefined: i) is among the k largest; of equal scores the
/// columns before it count as larger. Throws ShapeError for sizes that do not fit, ValueError for k < 1.
double recall_at(const Tensor& scores, int64_t k, const Tensor& truth = {});

/// A SharedSpace with its encoders, which are modules (or anything else that can be called and copied):
///   image(x) → [B, image_width];   text(tokens, …) → [B, text_width]
template <typename ImageEncoder, typename TextEncoder>
class DualEncoder : public SharedSpace {
 public:
  DualEncoder(ImageEncoder image, TextEncoder text, const DualEncoderConfig& config)
      : SharedSpace(config), vision_model(std::move(image)), text_model(std::move(text)) {
    register_module("vision_model", vision_model);
    register_module("text_model", text_model);
  }
  /// Unit vectors [B, width].
  Tensor image_features(const Tensor& images) const { return project_image(vision_model(images)); }
  template <typename... Args>
  Tensor text_features(const Args&... args) const {
    return project_text(text_model(args...));
  }
  /// symmetric_cross_entropy of the batch: image i belongs to text i.
  template <typename... Args>
  Tensor loss(const Tensor& images, const Args&... args) const {
    return symmetric_cross_entropy(logits(image_features(images), text_features(args...)));
  }

  ImageEncoder vision_model;
  TextEncoder text_model;
};

}  // namespace plumb::contrastive
