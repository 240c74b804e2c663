// Which cells of a dense detector answer for which objects: by matching cost (Consistent-Teacher's ASA), and the static rules it is
// compared with. Everything is constants, computed on the host in f64.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "engine/core/tensor.h"

namespace plumb::methods::consistent_teacher {

/// The object of each cell and how well its predicted box fits.
struct Assignment {
  static constexpr int64_t kBackground = -1;
  static constexpr int64_t kIgnored = -2;  ///< neither object nor background
  std::vector<int64_t> object;             ///< [N]: place of the object, kBackground or kIgnored
  std::vector<double> weight;              ///< [N]: τ of a cell with an object, else 0
  double weights() const;                  ///< Σ τ
};

/// What an assignment is made from. N cells, G objects.
struct CellsAndObjects {
  Tensor probabilities;            ///< [N, C]
  Tensor boxes;                    ///< [N, 4] predicted corners in pixels
  Tensor anchors;                  ///< [N, 4]
  Tensor centres;                  ///< [N, 2] of the cells, x and y
  std::vector<double> strides;     ///< [N]
  std::vector<int64_t> per_level;  ///< cells of each level, finest first: Σ = N
  Tensor objects;                  ///< [G, 4]
  std::vector<int64_t> labels;     ///< [G]
  /// Throws ShapeError for sizes that do not fit, IndexError for a label outside [0, C), ValueError for an object without width or height.
  void check(const char* op) const;
};

struct SoftAssignOptions {
  int64_t topk = 13;
  double iou_weight = 2;  ///< λ_iou
  double alpha = 0.25, gamma = 2;
};

/// The parts of the cost of giving cell i to object j.
struct CellCost {
  double focal, overlap, centre;  ///< Σ_c BCE · (¼ t + ¾ (1 − t)) · pt²;  −log(IoU + 1e-7);  10^(d/s) / 1000
  double total(double iou_weight) const { return focal + iou_weight * overlap + centre; }
};
CellCost cell_cost(const CellsAndObjects& c, int64_t cell, int64_t object, const SoftAssignOptions& options = {});

/// ASA: candidates are the cells whose centre lies strictly inside an object. Object j takes its k_j = max(1, ⌊Σ of its topk largest IoUs⌋)
/// cheapest candidates; one that several take goes to the object of least cost for it among all objects. τ_i = IoU_i / (max IoU of this
/// object + 1e-7) · max IoU. Equal costs: the first. Throws as check, ValueError for topk < 1.
Assignment dynamic_soft_assign(const CellsAndObjects& c, const SoftAssignOptions& options = {});

/// RetinaNet's rule: a cell belongs to the object its anchor overlaps most if the IoU is at least `positive`, is background below
/// `negative`, ignored between; each object also has the anchors it overlaps most. τ = 1.
Assignment max_iou_assign(const CellsAndObjects& c, double positive = 0.5, double negative = 0.4);

/// ATSS (Zhang et al., CVPR 2020): of each object's `topk` nearest anchors a level, those that overlap it by at least mean + standard
/// deviation of all of them and have their centre inside it; an anchor of several objects goes to the one it overlaps most. τ = 1.
Assignment atss_assign(const CellsAndObjects& c, int64_t topk = 9);

}  // namespace plumb::methods::consistent_teacher
