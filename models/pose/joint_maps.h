// Heat maps with Gaussian windows about whole places, as the reference code of SimpleBaseline and its heirs makes and reads them. Joints
// are in pixel indices here: the pixel in row r and column c is at (c, r), and the map's place (i, j) stands for (stride · j, stride · i).
// (pose::heat_maps counts from the image's edge and keeps fractions.)
#pragma once
#include <vector>

#include "engine/core/tensor.h"
#include "models/pose/heat_maps.h"

namespace plumb::pose {

/// g(x, y) = e^(−((x − μx)² + (y − μy)²) / 2σ²) within |x − μx|, |y − μy| ≤ 3σ, else 0; μ = ⌊joint / stride + ½⌋. joints [B, J, 3]: x, y
/// and whether it is there (> 0). Where it is not, or the window misses the map, the map is empty and its weight 0. Throws as heat_maps.
HeatMaps joint_maps(const Tensor& joints, int64_t height, int64_t width, double stride, double sigma);

/// (1/J) Σ_j ½ mean over images and places of (weight_bj (A_bj − B_bj))², for maps [B, J, H, W] and weights [B, J] (undefined: 1).
/// Throws ShapeError for sizes that differ, ValueError for no images.
Tensor joint_map_mse(const Tensor& prediction, const Tensor& target, const Tensor& weight = {});

enum class JointReading {
  plain,  ///< the first largest place
  shift,  ///< and a quarter of a place towards the larger neighbour, along x and along y; not within a place of the border
  dark,   ///< and a Newton step on the logarithm of the blurred map (Zhang et al., CVPR 2020), away from the border
};
/// Joints [B, J, 2] in pixels, and the largest values. No derivative.
Keypoints read_joints(const Tensor& maps, double stride, JointReading reading = JointReading::shift);

/// OKS terms' mean over the joints that are there: e^(−d² / (2 · area · k²)) (Lin et al., COCO); k one number a joint, area one an image.
/// places [B, J, 2], truth [B, J, 3] → one number an image, NaN where no joint is there. Throws ShapeError for sizes that do not fit,
/// ValueError for an area or k that is not positive.
std::vector<double> object_keypoint_similarity(const Tensor& places, const Tensor& truth, const std::vector<double>& area,
                                               const std::vector<double>& k);
/// The mean over thresholds 0.50, 0.55, …, 0.95 of the average precision (101 recalls) of one answer an image, best score first, right
/// where its similarity reaches the threshold. Images without joints (NaN) do not count.
double oks_average_precision(const std::vector<double>& similarity, const std::vector<double>& scores);

}  // namespace plumb::pose
