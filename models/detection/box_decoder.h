// The box decoder of Sparse R-CNN (Sun et al., CVPR 2021) and DiffusionDet (Chen et al., ICCV 2023): boxes are refined by what the picture
// holds inside them, stage after stage.
#pragma once
#include <optional>
#include <vector>

#include "models/detection/objects.h"
#include "models/detection/roi_align.h"
#include "models/nn/attention.h"
#include "models/nn/containers.h"
#include "models/nn/linear.h"
#include "models/nn/norm.h"

namespace plumb::detection {

struct BoxDecoderOptions {
  int64_t classes = 4;
  int64_t width = 64;  ///< of features and of what is known about each box
  int64_t stages = 3;
  int64_t heads = 4;     ///< of the attention among boxes; width must be a multiple
  int64_t inner = 128;   ///< of the feed-forward network
  int64_t dynamic = 16;  ///< hidden width of the layers that each box makes for itself
  int64_t class_layers = 1, box_layers = 2;
  bool timed = true;  ///< told the time of the noise
  RoiAlignOptions roi = {};
};

/// relu(norm2(relu(norm1(x W₁)) W₂)), W₁ [width, dynamic] and W₂ [dynamic, width] made from the box's own state, over the bins x of its
/// picture, then relu(norm3(out_layer(all bins))).
struct DynamicLayers : nn::Module {
  nn::Linear dynamic_layer;
  nn::LayerNorm norm1, norm2;
  nn::Linear out_layer;
  nn::LayerNorm norm3;
  DynamicLayers(Module* parent, std::string name, const BoxDecoderOptions& options);
  /// state [R, width], bins [R, size², width] → [R, width].
  Tensor operator()(const Tensor& state, const Tensor& bins) const;

 private:
  int64_t width_, dynamic_;
};

/// Names are those of DiffusionDet's RCNNHead: self_attn, inst_interact, linear1, linear2, norm1 to norm3, block_time_mlp.1, cls_module,
/// reg_module, class_logits, bboxes_delta; the attention's projections are this engine's (query, key, value, out).
class BoxStage : public nn::Module {
 public:
  explicit BoxStage(const BoxDecoderOptions& options);
  struct Step {
    Prediction prediction;
    Tensor state;  ///< [B, P, width]
  };
  /// boxes [B, P, 4], state [B, P, width] or undefined (then the mean of the bins), time [B, 4 width] or undefined.
  Step operator()(const std::vector<Tensor>& levels, const std::vector<double>& strides, const Tensor& boxes, const Tensor& state,
                  const Tensor& time) const;

 private:
  Tensor refined(const Tensor& state, const Tensor& bins) const;
  /// Linear without bias and norm, with a relu behind: steps 0, 1, (2: relu), 3, … of a Sequential.
  static void add_layers(nn::Sequential& layers, int64_t count, int64_t width);
  RoiAlignOptions roi_;
  nn::MultiheadAttention self_attn_;
  DynamicLayers inst_interact_;
  nn::Linear linear1_, linear2_;
  nn::LayerNorm norm1_, norm2_, norm3_;
  nn::Sequential block_time_mlp_, cls_module_, reg_module_;
  nn::Linear class_logits_, bboxes_delta_;
};

class BoxDecoder : public nn::Module {
 public:
  /// Matrices start Xavier-uniform and biases as 0, but what time does as nothing, and the classes' biases as −log((1 − 0.01) / 0.01): all
  /// are unlikely. Throws ValueError for sizes that are not positive or heads that do not divide the width.
  explicit BoxDecoder(const BoxDecoderOptions& options);
  BoxDecoder(Module* parent, std::string name, const BoxDecoderOptions& options) : BoxDecoder(options) { join(parent, std::move(name)); }

  /// levels of a pyramid [B, width, H, W] and their strides; boxes [B, P, 4], corners in pixels; time [B] where options.timed, else
  /// undefined; state [B, P, width]: what is known of each box beforehand, or undefined. One prediction a stage. Each stage starts from the
  /// boxes of the one before, without sending gradients there. Throws ShapeError for sizes that do not fit, ValueError for a time too many
  /// or too few.
  std::vector<Prediction> operator()(const std::vector<Tensor>& levels, const std::vector<double>& strides, const Tensor& boxes,
                                     const Tensor& time = {}, const Tensor& state = {}) const;
  const BoxDecoderOptions& options() const { return options_; }

 private:
  BoxDecoderOptions options_;
  nn::Sequential time_mlp_;
  nn::ModuleList<BoxStage> head_series_;
};

}  // namespace plumb::detection
