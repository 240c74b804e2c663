// The one-stage detector of Consistent-Teacher in small: convolutions, a feature pyramid, towers for classes and boxes with one square
// anchor a cell, and FAM-3D; its loss under any assignment of cells to objects.
#pragma once
#include <functional>

#include "methods/semi_supervised/consistent_teacher/assignment.h"
#include "methods/semi_supervised/consistent_teacher/feature_alignment.h"
#include "models/detection/objects.h"
#include "models/detection/pyramid.h"
#include "models/nn/containers.h"
#include "models/nn/norm.h"

namespace plumb::methods::consistent_teacher {

struct DetectorConfig {
  int64_t channels = 1, classes = 3;
  std::vector<int64_t> stages{16, 32, 32, 32};  ///< channels; each stage halves the image
  int64_t first_level = 2;                      ///< the first stage that the pyramid is built on: of stride 2^(first_level + 1)
  int64_t width = 32;                           ///< of the pyramid and the towers
  int64_t towers = 2;                           ///< convolutions in each tower
  int64_t groups = 8;                           ///< of group norm
  double anchor = 2;                            ///< side of an anchor in strides
  bool alignment = true;                        ///< FAM-3D
  /// Throws ConfigError naming what is out of range ("empty class count" among them).
  void check() const;
};

/// What the detector says of a batch; N cells of all levels, finest level first, row by row.
struct DenseOutput {
  Tensor logits;                ///< [B, N, C]
  Tensor probabilities;         ///< [B, N, C], sigmoid of them
  Tensor boxes;                 ///< [B, N, 4] corners in pixels, after FAM-3D
  Tensor anchors;               ///< [N, 4]
  Tensor centres;               ///< [N, 2]
  std::vector<double> strides;  ///< [N]
  std::vector<int64_t> per_level;
};

class DenseDetector : public nn::Module {
 public:
  /// Convolutions of towers start as N(0, 0.01²), classes as unlikely (0.01). Throws as DetectorConfig::check.
  explicit DenseDetector(const DetectorConfig& config);
  /// images [B, channels, H, W], H and W multiples of the last stage's stride. Throws ShapeError for others.
  DenseOutput operator()(const Tensor& images) const;
  const DetectorConfig& config() const { return config_; }

 private:
  struct Tower : nn::Module {
    nn::ModuleList<nn::Conv2d> convs{this, "convs"};
    nn::ModuleList<nn::GroupNorm> norms{this, "norms"};
    Tower(const DetectorConfig& config);
    std::vector<Tensor> operator()(Tensor x) const;  // what each layer gives
  };
  std::vector<Tensor> pyramid(const Tensor& images) const;

  DetectorConfig config_;
  nn::ModuleList<nn::Conv2d> convs_;
  nn::ModuleList<nn::GroupNorm> norms_;
  detection::FeaturePyramid fpn_;
  Tower class_tower_, box_tower_;
  nn::Conv2d class_head_, box_head_;
  Fam3d alignment_;
  std::vector<double> strides_;
};

/// Σ over elements of the focal loss of probabilities p against targets 0 or 1, BCE(p, t) (α t + (1 − α)(1 − t)) pt², pt = (1 − p) t + p (1
/// − t); logarithms are of at least 1e-12. mask (the same shape or broadcast; undefined: all) leaves elements out. Throws ShapeError for
/// sizes that differ.
Tensor focal_loss_of_probabilities(const Tensor& probabilities, const Tensor& target, const Tensor& mask = {}, double alpha = 0.25,
                                   double gamma = 2);

/// Who answers for what, image by image.
using Assigner = std::function<Assignment(const CellsAndObjects&)>;

struct DenseLoss {
  Tensor total, classes, boxes;  ///< boxes: 2 Σ τ (1 − GIoU) / Z
  double normaliser = 1;         ///< Z = max(1, Σ τ) over the batch
  int64_t positives = 0;
};
/// Focal loss of the classes and GIoU loss of the boxes of cells with an object, both divided by Z. Without objects the classes alone
/// count, with Z = 1. Throws as detection::check_objects for objects that do not fit the image.
DenseLoss dense_loss(const DenseOutput& output, const detection::Objects& truth, const Assigner& assign, double height, double width);

struct InferenceOptions {
  double least = 0.05;  ///< score
  int64_t per_level = 1000;
  double overlap = 0.6;  ///< of boxes of one class, above which the weaker goes
  int64_t most = 100;    ///< boxes an image
};
/// What is found in each image, best first. Nothing is recorded.
std::vector<detection::Found> found_boxes(const DenseOutput& output, double height, double width, const InferenceOptions& options = {});

}  // namespace plumb::methods::consistent_teacher
