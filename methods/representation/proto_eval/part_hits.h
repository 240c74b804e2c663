// Are explanations by prototypes to be relied on? Whether a prototype points at the same part in all images of its class, and whether it
// still does when the image hardly changes (Huang et al., ICCV 2023).
#pragma once
#include <cstdint>

#include "engine/core/generator.h"
#include "engine/core/tensor.h"

namespace plumb::methods::proto_eval {

/// Where the parts of images are.
struct Parts {
  Tensor location;  ///< [n, Q, 2], row and column in pixels
  Tensor visible;   ///< bool [n, Q]
};

/// The peaks of maps [n, K, h, w] on images of size × size, i64 [n, K, 2], row and column: the maps enlarged by cubic curves, of equal
/// pixels the first. Throws ShapeError for other maps.
Tensor map_peaks(const Tensor& maps, int64_t size);
/// hit[i, k, q], bool [n, K, Q]: the visible part q of image i lies within `half` pixels, along rows and columns, of the peak of map k.
/// Throws ShapeError where sizes differ, ValueError for a negative half.
Tensor prototype_part_hits(const Tensor& maps, const Parts& parts, double half, int64_t size);

/// The hits of each image's own K prototypes.
struct PartHits {
  Tensor hit;      ///< bool [n, K, Q]
  Tensor visible;  ///< bool [n, Q]
  Tensor labels;   ///< i64 [n] in [0, classes)
  int64_t classes = 0;
  /// Throws ShapeError where sizes differ, IndexError for a label outside, ValueError for a class without images or a hit of a part that is
  /// not visible.
  void check() const;
};

/// f_q = Σ_i hit_iq / max(Σ_i visible_iq, 1) over the images of each prototype's class: f64 [classes · K, Q]. These throw as
/// PartHits::check.
Tensor part_rates(const PartHits& hits);
/// 100 × the share of prototypes with some f_q ≥ threshold.
double consistency_score(const PartHits& hits, double threshold = 0.8);
/// 100 × the mean over prototypes of max_q f_q, which moves before the threshold is reached.
double best_part_rate(const PartHits& hits);
/// 100 × the mean over prototypes of the share of their class's images on which all their hits are the same in both. Throws ShapeError or
/// ValueError where these are not the same images.
double stability_score(const PartHits& clean, const PartHits& noisy);

/// images + min(max(ε, −clip), clip), ε ~ N(0, deviation²): the change that should not matter, on standardised pixels. Throws ValueError
/// for negative numbers.
Tensor imperceptible_noise(const Tensor& images, Generator& generator, double deviation = 0.2, double clip = 0.25);

}  // namespace plumb::methods::proto_eval
