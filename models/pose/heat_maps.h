// Keypoints as heat maps (Tompson et al. 2014; Xiao, Wu & Wei, ECCV 2018), and how often they are found. Keypoints are in pixels, the image
// being [0, W] × [0, H]: the middle of the pixel in row r and column c is (c + ½, r + ½).
#pragma once
#include <vector>

#include "engine/core/tensor.h"

namespace plumb::pose {

struct HeatMaps {
  Tensor maps;    ///< [B, K, height, width]
  Tensor weight;  ///< [B, K]: 1 where the keypoint is there and within the image, else 0
};

/// e^(−d² / 2σ²), d the distance of a place's middle from the keypoint in places of the map, `stride` pixels wide. keypoints [B, K, 3]: x,
/// y and whether it is there (> 0). f32. Throws ShapeError for other keypoints, ValueError unless sizes, stride and σ are positive.
HeatMaps heat_maps(const Tensor& keypoints, int64_t height, int64_t width, double stride, double sigma);

/// Σ weight · (prediction − map)² / (places · Σ weight): the mean squared error over the maps of keypoints that are there; 0 if none is.
/// Throws ShapeError for sizes that differ.
Tensor heat_map_loss(const Tensor& prediction, const HeatMaps& target);

struct Keypoints {
  Tensor places;  ///< [B, K, 2]: x, y in pixels
  Tensor scores;  ///< [B, K]: the map's largest value
};
/// The place of the largest value (the first), moved by a quarter of a place towards the larger neighbour in each direction. No derivative.
Keypoints decode_heat_maps(const Tensor& maps, double stride);

struct CorrectKeypoints {
  double share = 0;               ///< of all keypoints that are there; NaN if none is
  std::vector<double> keypoints;  ///< of each kind, NaN where none is there
};
/// The percentage of correct keypoints, as a share: those whose distance from the truth [B, K, 3] is at most `threshold` · reference [B]
/// (the size of the object; Yang & Ramanan 2013). Throws ShapeError for sizes that do not fit.
CorrectKeypoints correct_keypoints(const Tensor& places, const Tensor& truth, const Tensor& reference, double threshold);

}  // namespace plumb::pose
