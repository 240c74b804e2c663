// Images to reconstruct: phantoms of ellipses in the family of Shepp and Logan, and smooth phase.
#pragma once
#include <vector>

#include "engine/core/generator.h"
#include "engine/core/tensor.h"

namespace plumb::methods::cirim {

/// Adds `intensity` inside the ellipse with half axes a, b, centre (x, y) in [−1, 1]² and turned by `degrees`.
struct Ellipse {
  double intensity, a, b, x, y, degrees;
};
/// The phantom of Shepp & Logan (1974) with the contrast of Toft (1996).
std::vector<Ellipse> shepp_logan();
/// Its ellipses moved, stretched, turned and lit at random, and two to six small ones beside them.
std::vector<Ellipse> random_phantom(Generator& generator);
/// The sum of the ellipses as an image [size, size], f32, row 0 at y = 1; each pixel the mean of 3 × 3 points. Values below 0 count as 0.
Tensor draw_ellipses(const std::vector<Ellipse>& ellipses, int64_t size);
/// Magnitudes [B, H, W], each divided by its maximum, times e^(iφ), φ a smooth random phase: [B, H, W, 2].
Tensor with_smooth_phase(const Tensor& magnitude, Generator& generator);

}  // namespace plumb::methods::cirim
