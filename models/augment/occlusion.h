// Parts of images covered: by nothing, by other images, at random places or at the joints of bodies (Zhou et al. 2024, MultiAugs; cutout of
// DeVries & Taylor 2017, cutmix of Yun et al. 2019). As in augment.h: f32 images [B, C, H, W] on the CPU, draws from the generator, image
// by image. What is predicted for an image stays the same. Joints are [B, J, 2], x and y in pixels, the pixel in row r and column c being
// at (c, r); they may lie outside the image. All throw ValueError for a negative count or half sizes out of order, ShapeError for joints
// that do not fit.
#pragma once
#include <vector>

#include "engine/core/generator.h"
#include "engine/core/tensor.h"

namespace plumb::augment {

/// Boxes [x − a, x + a) × [y − b, y + b), clipped to the image, with integers a and b uniform in [min_half, max_half].
struct OcclusionOptions {
  int64_t count = 5;
  int64_t min_half = 10, max_half = 19;
  double jitter = 10;  ///< deviation of a box's centre from its joint, in pixels
  void check(const char* name) const;
};

/// CO: boxes about uniform places set to 0.
Tensor cut_boxes(const Tensor& images, const OcclusionOptions& options, Generator& generator);
/// CM: boxes about uniform places taken from the image `partners` names, i64 [B]; without it a random permutation of the batch.
Tensor mix_boxes(const Tensor& images, const OcclusionOptions& options, Generator& generator);
Tensor mix_boxes(const Tensor& images, const std::vector<int64_t>& partners, const OcclusionOptions& options, Generator& generator);
/// MU: λ x + (1 − λ) x', λ = 1 − share · Beta(alpha, alpha), one number a batch, x' a random permutation of it.
Tensor blend_images(const Tensor& images, Generator& generator, double share = 0.25, double alpha = 0.2);
/// JC: boxes about random joints (drawn with replacement) of the image set to 0.
Tensor cut_joints(const Tensor& images, const Tensor& joints, const OcclusionOptions& options, Generator& generator);
/// JO: boxes about random joints of one other image (itself, in a batch of one), as it was, pasted about random joints of this one; where
/// the border cuts the two boxes differently, what would be pasted on is set to 0.
Tensor paste_joints(const Tensor& images, const Tensor& joints, const OcclusionOptions& options, Generator& generator);
/// YOCO (Han et al. 2022): a and b, two versions of the same images, joined along a cut through the middle, up and down or across by
/// chance.
Tensor join_halves(const Tensor& a, const Tensor& b, Generator& generator);

}  // namespace plumb::augment
