// Images: resizing, filtering, windows as columns, and channels that become places.
#pragma once
#include <optional>
#include <vector>

#include "engine/core/tensor.h"
#include "ops/size2.h"

namespace plumb {

/// How values between input places are found: the nearest place's, on straight lines (bilinear for images), on cubic curves (a = −0.75), or
/// as the mean of the places an output place covers.
enum class Interpolation : uint8_t { nearest, linear, bicubic, area };

struct InterpolateOptions {
  std::optional<Size2> size = {};   ///< of the result; for sequences the width counts
  double scale = 0, scale_width = 0;  ///< or factors: both dimensions by `scale`, or the width by scale_width; size ⌊L · scale⌋
  Interpolation mode = Interpolation::nearest;
  bool align_corners = false;       ///< corner places fall on each other (linear and bicubic)
};

/// x [N, C, H, W], or a sequence [N, C, L], resized over the dimensions after the second. Output place i lies at (i + ½) L / L' − ½ of the
/// input, or at i (L − 1) / (L' − 1) with align_corners; with a scale given, L / L' is 1 / scale. nearest reads ⌊i L / L'⌋. Places outside
/// the input are its border's. Throws ValueError unless exactly one of size and scale is given, ShapeError for an empty input or result.
Tensor interpolate(const Tensor& x, const InterpolateOptions& options);

struct UpfirdnOptions {
  int64_t up = 1;                   ///< up − 1 zeros are put behind every place
  int64_t down = 1;                 ///< every down-th place of the result is kept
  int64_t before = 0, after = 0;    ///< zeros around that (negative numbers cut off)
  double gain = 1;                  ///< factor along each dimension
};
/// Up-sampled, padded, filtered and down-sampled along height and width, with one filter for both:
///   u = x with zeros between and around,   y[i] = gain Σ_k taps[K − 1 − k] u[i · down + k],   K the number of taps.
/// x [.., C, H, W] → sizes ⌊(H · up + before + after − K) / down⌋ + 1. Throws ValueError without taps or for factors below 1, ShapeError if
/// nothing is left.
Tensor upfirdn2d(const Tensor& x, const std::vector<double>& taps, const UpfirdnOptions& options = {});

struct UnfoldOptions {
  Size2 stride = 1;
  Size2 padding = 0;
  Size2 dilation = 1;
};

/// The windows of `kernel` size that a convolution multiplies, as columns: [N, C, H, W] → [N, C · kh · kw, windows], zeros outside
/// (N may be missing, here and in fold).
Tensor unfold(const Tensor& x, Size2 kernel, const UnfoldOptions& options = {});
/// The adjoint: windows added up where they overlap, [N, C · kh · kw, windows] → [N, C, size]. Throws ShapeError if the numbers do not fit.
Tensor fold(const Tensor& columns, Size2 size, Size2 kernel, const UnfoldOptions& options = {});

/// [.., C r², H, W] → [.., C, H r, W r]: channel c r² + p r + q goes to row p and column q of each r × r block.
Tensor pixel_shuffle(const Tensor& x, int64_t factor);
/// The inverse: [.., C, H r, W r] → [.., C r², H, W].
Tensor pixel_unshuffle(const Tensor& x, int64_t factor);
/// [N, g · C, ..]: channel i · C + j of the input becomes channel j · g + i.
Tensor channel_shuffle(const Tensor& x, int64_t groups);

}  // namespace plumb
