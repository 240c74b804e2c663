// Random changes to batches of images that keep their meaning. Every function takes f32 images [B, C, H, W] on the CPU, treats each image
// on its own, and returns new ones of the same shape. What it draws comes from the generator given, image by image, so a batch depends on
// the generator's state alone. All throw ShapeError or DTypeError for another tensor.
#pragma once
#include "engine/core/generator.h"
#include "ops/pad.h"

namespace plumb::augment {

/// Each image padded by `padding` on all sides (constant: with zeros) and cut back to its size at a place uniform among the (2 padding +
/// 1)². Throws ValueError for a negative padding, ShapeError where reflect needs a larger image.
Tensor random_crop(const Tensor& images, int64_t padding, Generator& generator, PadMode mode = PadMode::constant);
/// Each image mirrored left to right with probability `rate`. Throws ValueError unless 0 ≤ rate ≤ 1.
Tensor random_flip(const Tensor& images, Generator& generator, double rate = 0.5);

struct AffineOptions {
  double degrees = 0;    ///< turned by an angle in [−degrees, degrees]
  double translate = 0;  ///< moved by up to this share of the side, along each
  double scale = 0;      ///< enlarged by a factor whose logarithm is uniform in [−log(1 + scale), log(1 + scale)]
  double shear = 0;      ///< slanted along x by an angle in [−shear, shear] degrees
};
/// Each image under a random affine map about its middle, bilinear, zeros outside. Throws ValueError for a negative option.
Tensor random_affine(const Tensor& images, const AffineOptions& options, Generator& generator);

/// A square of `side` pixels about a uniform place set to zero in each image; what lies outside is cut off (DeVries & Taylor 2017).
/// Throws ValueError for a negative side.
Tensor cutout(const Tensor& images, int64_t side, Generator& generator);

struct ColourOptions {
  double brightness = 0;  ///< times a factor in [1 − b, 1 + b]
  double contrast = 0;    ///< away from the mean grey by a factor in [1 − c, 1 + c]
  double saturation = 0;  ///< away from each pixel's grey by a factor in [1 − s, 1 + s] (three channels)
};
/// Brightness, then contrast, then saturation of each image, each clipped to [0, 1]; grey is 0.299 R + 0.587 G + 0.114 B.
/// Throws ValueError for an option outside [0, 1].
Tensor colour_jitter(const Tensor& images, const ColourOptions& options, Generator& generator);

/// Mixed images and what to predict for them.
struct Mixed {
  Tensor images;
  Tensor target;  ///< [B, classes], rows that sum to 1
};
/// λ x_i + (1 − λ) x_j with j a random partner and λ ~ Beta(alpha, alpha), one λ a batch; targets likewise (Zhang et al., ICLR 2018).
/// labels i64 [B]. Throws ValueError unless alpha > 0, IndexError for a label outside [0, classes).
Mixed mixup(const Tensor& images, const Tensor& labels, int64_t classes, double alpha, Generator& generator);
/// A box of x_j pasted into x_i, of the share 1 − λ of the image before it is cut off at the border; λ in the targets is the share that
/// remains of x_i (Yun et al., ICCV 2019). One box a batch.
Mixed cutmix(const Tensor& images, const Tensor& labels, int64_t classes, double alpha, Generator& generator);

/// Rows [top, bottom) and columns [left, right).
struct CutBox {
  int64_t top, bottom, left, right;
  int64_t area() const { return (bottom - top) * (right - left); }
};
/// cutmix's box in an image of height × width: sides √(1 − λ) of the image's, rounded down to whole pixels on either side of a uniform
/// middle, and what lies outside cut off. λ of the label is 1 − area / (height · width). Throws ValueError unless 0 ≤ λ ≤ 1.
CutBox cut_box(int64_t height, int64_t width, double lambda, Generator& generator);

/// A Beta(alpha, beta) number, drawn by ops/distributions.h. Throws ValueError unless both are positive.
double beta_number(double alpha, double beta, Generator& generator);

}  // namespace plumb::augment
