// Masks as hasty annotators draw them: too small or too large; and the binary morphology behind it.
#pragma once
#include "engine/core/generator.h"
#include "engine/core/tensor.h"

namespace plumb::methods {

/// `iterations` times: a pixel stays set (is set) if all (any) of its 3×3 neighbourhood was set; neighbours outside the image do not count.
/// mask bool [H, W]. Throws ShapeError for another rank, ValueError for iterations < 0.
Tensor erode(const Tensor& mask, int64_t iterations = 1);
Tensor dilate(const Tensor& mask, int64_t iterations = 1);

enum class AnnotationError : uint8_t {
  under,  ///< too little of every object
  over,   ///< too much
};
/// Every class 1 … classes − 1 of a mask i64 [H, W] eroded, what is lost becoming background (0); or dilated, what is won taking background
/// only. With a reference area each class's region is first resized to about so many pixels (1000 in the paper), so that small
/// and large objects lose the same share, and resized back; 0: as it is. Pixels outside [0, classes) (ignored ones) are left alone.
/// Throws ShapeError for another rank, ValueError for classes < 2, iterations < 0 or a negative area.
Tensor annotation_noise(const Tensor& mask, int64_t classes, AnnotationError error, int64_t iterations, double reference_area = 1000);

struct AnnotationNoiseOptions {
  double share = 1;             ///< of the masks that are drawn badly
  int64_t least = 2, most = 4;  ///< iterations, uniform
  double reference_area = 1000;
};
/// For each of masks i64 [n, H, W] by its own draws: with probability `share` under or over, each with probability ½. Throws as above, and
/// ValueError unless 0 ≤ share ≤ 1 and 0 ≤ least ≤ most.
Tensor inject_annotation_noise(const Tensor& masks, int64_t classes, Generator& generator, const AnnotationNoiseOptions& options = {});

}  // namespace plumb::methods
