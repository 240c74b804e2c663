// Rewards of images that need no derivative: how smooth, how compressible, how much like what was asked for.
#pragma once
#include <functional>
#include <vector>

#include "engine/core/tensor.h"

namespace plumb::methods {

/// One number an image, more is better: images [B, C, H, W] in [0, 1], context [B, ..] or undefined. Called with images on the host.
using Reward = std::function<std::vector<double>(const Tensor& images, const Tensor& context)>;

/// mean |x_(i, j+1) − x_(i, j)| + mean |x_(i+1, j) − x_(i, j)| over each image and its channels, whatever its range: a stand-in for how
/// hard it is to compress. Throws ShapeError unless images are [B, C, H, W] with H, W ≥ 2.
std::vector<double> total_variation(const Tensor& images);
/// The size in bytes of each image as PNG, 8 bits a channel; C is 1 or 3.
std::vector<double> png_bytes(const Tensor& images);
/// Runs of equal pixels of each image, row by row, at 16 levels of grey, over the number of pixels: what run-length coding would leave.
std::vector<double> run_share(const Tensor& images);

/// `scale` · measure: smoothness is scaled(total_variation, −1), incompressibility scaled(png_bytes, 1).
Reward scaled(std::vector<double> (*measure)(const Tensor&), double scale);

}  // namespace plumb::methods
