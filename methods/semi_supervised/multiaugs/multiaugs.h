// MultiAugs (Zhou et al. 2024): semi-supervised pose estimation in which what a network says of an easy view teaches what it says of
// several hard ones, each covered in another way, through one network (PoseCons) or two that teach each other (PoseDual).
//   L = MSE(f(x), g; v) + Σ_a MSE(f(warp_θ(a(u, q))), warp_θ(h); 1),   h = f(u) as a constant, q the joints read from h
// Joints are in pixel indices, as in models/pose/joint_maps.h.
#pragma once
#include <functional>
#include <string>
#include <vector>

#include "models/augment/occlusion.h"
#include "models/pose/joint_maps.h"

namespace plumb::methods::multiaugs {

/// From images [B, C, H, W] to heat maps [B, J, H / stride, W / stride], any values.
using PoseFunction = std::function<Tensor(const Tensor& images)>;

// -- one random affine map for each image --------------------------------------------------------------

struct AffineOptions {
  double degrees = 30;       ///< deviation of the angle, which is normal
  double most_degrees = 60;  ///< and cut at ± this
  double rate = 0.8;         ///< of turning at all
  double scale = 0.25;       ///< the scale is N(1, scale²) cut to [1 − scale, 1 + scale]
};

/// θ [N, 2, 3], rows (a, b, 0) and (−b, a, 0) with a = s cos r, b = s sin r, in coordinates from −1 to 1: the place (x, y) of the result
/// shows the place θ (x, y, 1) of what is warped, so s > 1 shrinks. Images and heat maps of one θ fit each other.
struct AffineBatch {
  Tensor theta;
  /// Throws ShapeError for angles and scales of different number.
  static AffineBatch of(const std::vector<double>& degrees, const std::vector<double>& scales);
  static AffineBatch draw(int64_t images, const AffineOptions& options, Generator& generator);
  /// [N, C, H, W] → the same, bilinear, zeros outside; outside the graph. Throws ShapeError unless there is a θ an image.
  Tensor warp(const Tensor& x) const;
  /// Where joints [N, J, 3] of images of these sides end up, with 0 for those that leave the image. Throws ValueError for a θ without
  /// inverse.
  Tensor joints(const Tensor& joints, int64_t height, int64_t width) const;
};

// -- hard views ------------------------------------------------------------------------------------------

enum class Op : uint8_t { cutout, cutmix, mixup, joint_cutout, joint_occlude };
/// What is done to an easy view, one after the other; nothing: it is only warped.
using Plan = std::vector<Op>;
/// "JOCO" = JO then CO, "JCCM" = JC then CM, and any other row of CO, CM, MU, JC, JO, with or without '+'; "A60" and "" are the empty plan.
/// Throws ValueError for another name.
Plan plan_named(const std::string& name);

/// Boxes of each operation; those of the paper for 256 × 192.
struct OpSizes {
  augment::OcclusionOptions cutout{.count = 5}, cutmix{.count = 2}, joint_cutout{.count = 5}, joint_occlude{.count = 2};
  /// 2, 1, 2 and 1 boxes of half sizes 2 … 4 pixels, jittered by 1.5: for 32 × 32.
  static OpSizes small();
};
/// a(u, q): images [B, C, H, W], joints [B, J, 2] as predicted for the easy view. Throws as augment/occlusion.h.
Tensor hard_view(const Tensor& images, const Tensor& joints, const Plan& plan, const OpSizes& sizes, Generator& generator);

// -- the losses -------------------------------------------------------------------------------------------

struct ConsistencyOptions {
  std::vector<Plan> plans;  ///< one a hard view
  OpSizes sizes = {};
  AffineOptions affine = {};
  double stride = 4;       ///< image side / map side
  double weight = 1;       ///< of the consistency term
  bool fuse = false;       ///< ablation: the mean of the views' maps in one loss, instead of a loss a view
  double least_peak = -1;  ///< ablation: joints whose easy map peaks below this do not count; −1: all count
};

/// Labelled images [B, C, H, W] with maps and weights (pose::joint_maps).
struct Labelled {
  Tensor images;
  pose::HeatMaps target;
};
struct PoseLoss {
  Tensor total, supervised, consistency;  ///< consistency: the sum over views, unweighted; undefined without views
  double peak = 0;                        ///< mean largest value of the easy maps: near 0 when the network has collapsed
  int64_t passes = 0;                     ///< batches that went through a network
};

/// Σ_a MSE(f(warp(a(u, q))), warp(h)) with one θ an image for all views. `maps` h [B, J, H', W'] and `joints` q [B, J, 2] are constants.
/// Throws ShapeError unless the image's sides are `stride` times the maps', ValueError for no images.
Tensor consistency_loss(const PoseFunction& f, const Tensor& images, const Tensor& maps, const Tensor& joints,
                        const ConsistencyOptions& options, Generator& generator);

/// PoseCons. Throws as consistency_loss and pose::joint_map_mse.
PoseLoss pose_cons_step(const PoseFunction& f, const Labelled& labelled, const Tensor& unlabelled, const ConsistencyOptions& options,
                        Generator& generator);
/// PoseDual: L_sup the mean of both networks'; each learns from the other's maps, on views made with the other's joints, under a θ of its
/// own.
PoseLoss pose_dual_step(const PoseFunction& f1, const PoseFunction& f2, const Labelled& labelled, const Tensor& unlabelled,
                        const ConsistencyOptions& options, Generator& generator);

/// The mean of the maps of the image and of its mirror image turned back, `mirrored` naming the joint that takes each one's place there.
/// Nothing is recorded. Throws IndexError for a joint outside.
Tensor flip_averaged(const PoseFunction& f, const Tensor& images, const std::vector<int64_t>& mirrored);

}  // namespace plumb::methods::multiaugs
