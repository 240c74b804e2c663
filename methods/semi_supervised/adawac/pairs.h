// Batches of image pairs with their masks for AdaWAC, and the scenes of its experiment.
#pragma once
#include <vector>

#include "engine/core/generator.h"
#include "methods/semi_supervised/adawac/adawac.h"

namespace plumb::methods::adawac {

struct SegmentationSet {
  Tensor images;  ///< f32 [n, C, H, H]
  Tensor masks;   ///< i64 [n, H, H]
};

/// Endless batches of two independent views of each image, each with its own mask, in a new random order every epoch; the last, smaller
/// part of an epoch is left out. They depend on the seed and the number of calls alone.
class PairBatcher {
 public:
  /// Throws ValueError for a batch below 1 or above the number of images, ShapeError for masks of another size than the images.
  PairBatcher(SegmentationSet set, int64_t batch, uint64_t seed);
  PairBatch next();
  int64_t batches() const { return set_.images.size(0) / batch_; }  ///< an epoch

 private:
  SegmentationSet set_;
  int64_t batch_;
  Generator order_generator_, views_;
  std::vector<int64_t> order_;
  size_t at_ = 0;
};

/// What the experiment's images show.
struct SceneOptions {
  int64_t size = 32;
  double dense = 0.4;       ///< share of images with 2 to 4 large digits; half of the others have one small one, the other half none
  double foreground = 0.3;  ///< a digit's pixel from this grey level on belongs to it
  double noise = 0.5;       ///< of the textured background, its largest grey level
  double cut = 0;           ///< share of digits that are missing in the mask: a stress test
};
enum class SceneKind : uint8_t { dense, sparse, empty };
struct Scenes {
  SegmentationSet set;
  std::vector<SceneKind> kinds;
  std::vector<double> density;  ///< share of foreground pixels
};
/// n scenes: digits (engine/data/digits) from `from` (images [m, 1, 8, 8], labels i64 [m]) on a smooth random texture with pixel noise,
/// enlarged twice in dense ones; class 1 for digits below 5, 2 for the others. Later digits hide earlier ones.
Scenes digit_scenes(int64_t n, const Tensor& digits, const Tensor& labels, const SceneOptions& options, Generator& generator);

}  // namespace plumb::methods::adawac
