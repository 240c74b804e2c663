// The loss of a set of predictions: matched to the objects at the least cost, then classes, places and overlaps.
#pragma once
#include <string>

#include "models/detection/matching.h"
#include "models/detection/objects.h"

namespace plumb::detection {

struct CriterionOptions {
  bool one_to_one = true;  ///< linear_assignment (DETR; Carion et al. 2020); else dynamic_k_assignment (as DiffusionDet)
  double class_weight = 2, l1_weight = 5, giou_weight = 2;  ///< in the loss and in the cost
  double alpha = 0.25, gamma = 2;                           ///< of the focal loss
  int64_t top = 5;                                          ///< of dynamic_k_assignment
};

struct DetectionLoss {
  Tensor total;              ///< Σ over stages of the weighted terms
  Tensor classes, l1, giou;  ///< Σ over stages, unweighted
};

/// For each stage: L = w_c Σ focal(logits) + w_1 Σ |b − b'|₁ + w_g Σ (1 − GIoU(b, b')), the first over all predictions and classes, the
/// others over matched pairs with corners as shares of the image's sides, each divided by the number of pairs in the batch (at least 1).
/// Pairs are those of the least cost w_c C + w_1 |b − b'|₁ − w_g GIoU, C the focal loss of saying the object's class less that of denying
/// it,
///   C = α (1 − p)^γ (−log p) − (1 − α) p^γ (−log(1 − p)),
/// image by image and stage by stage; for dynamic k, + 100 where a prediction's centre is outside the object and + 10,000 where it is
/// outside all. Without objects only the classes count. Throws ShapeError for sizes that do not fit, IndexError for a class that is not
/// predicted, ValueError for more objects than predictions.
DetectionLoss detection_loss(const std::vector<Prediction>& stages, const Objects& truth, int64_t height, int64_t width,
                             const CriterionOptions& options = {});

/// The pairs (prediction, object) of each image, by the same rule.
std::vector<Pairs> match_objects(const Prediction& prediction, const Objects& truth, int64_t height, int64_t width,
                                 const CriterionOptions& options = {});

}  // namespace plumb::detection
