// Annotation noise: morphology in plain loops over the pixels.
#include "methods/common/annotation_noise.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "engine/autograd/grad_mode.h"
#include "engine/core/error.h"
#include "ops/pointwise.h"
#include "ops/shape.h"
#include "ops/vision.h"

namespace plumb::methods {
namespace {

// One step: `want` is what a pixel becomes if any of its neighbourhood is it.
std::vector<uint8_t> spread(const std::vector<uint8_t>& m, int64_t rows, int64_t columns, uint8_t want) {
  std::vector<uint8_t> out = m;
  auto at = [&](int64_t r, int64_t c) { return m[static_cast<size_t>(r * columns + c)]; };
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t c = 0; c < columns; ++c)
      for (int64_t i = std::max<int64_t>(0, r - 1); i <= std::min(rows - 1, r + 1); ++i)
        for (int64_t j = std::max<int64_t>(0, c - 1); j <= std::min(columns - 1, c + 1); ++j)
          if (at(i, j) == want) out[static_cast<size_t>(r * columns + c)] = want;
  return out;
}

Tensor morphed(const char* op, const Tensor& mask, int64_t iterations, bool larger) {
  if (mask.rank() != 2) throw ShapeError(fmt::format("{}: the mask must be [H, W], it is {}", op, to_string(mask.shape())));
  if (iterations < 0) throw ValueError(fmt::format("{}: {} iterations", op, iterations));
  auto m = to_vector<uint8_t>(mask != 0);
  for (int64_t k = 0; k < iterations; ++k) m = spread(m, mask.size(0), mask.size(1), larger ? 1 : 0);
  return from_vector(m, mask.shape()) != 0;
}

Tensor resized(const Tensor& mask, int64_t rows, int64_t columns) {
  Tensor image = unsqueeze(unsqueeze(to(mask, f32), 0), 0);
  return squeeze(squeeze(interpolate(image, {.size = Size2(rows, columns), .mode = Interpolation::linear}), 0), 0) >= 0.5;
}

// The region of one class after its noise.
Tensor noisy_region(const Tensor& region, int64_t area, bool larger, int64_t iterations, double reference_area) {
  auto change = [&](const Tensor& m) { return larger ? dilate(m, iterations) : erode(m, iterations); };
  if (reference_area == 0) return change(region);
  double scale = std::sqrt(reference_area / static_cast<double>(area));
  auto side = [scale](int64_t n) { return std::max<int64_t>(1, std::llround(scale * static_cast<double>(n))); };
  return resized(change(resized(region, side(region.size(0)), side(region.size(1)))), region.size(0), region.size(1));
}

}  // namespace

Tensor erode(const Tensor& mask, int64_t iterations) { return morphed("erode", mask, iterations, false); }
Tensor dilate(const Tensor& mask, int64_t iterations) { return morphed("dilate", mask, iterations, true); }

Tensor annotation_noise(const Tensor& mask, int64_t classes, AnnotationError error, int64_t iterations, double reference_area) {
  if (mask.rank() != 2) throw ShapeError("annotation_noise: the mask must be [H, W], it is " + to_string(mask.shape()));
  if (classes < 2) throw ValueError(fmt::format("annotation_noise: {} classes; at least 2 are needed", classes));
  if (iterations < 0) throw ValueError(fmt::format("annotation_noise: {} iterations", iterations));
  if (!(reference_area >= 0)) throw ValueError(fmt::format("annotation_noise: the reference area is {}", reference_area));
  NoGrad no_grad;
  bool larger = error == AnnotationError::over;
  auto labels = to_vector<int64_t>(mask);
  for (int64_t c = 1; c < classes; ++c) {
    int64_t area = std::count(labels.begin(), labels.end(), c);
    if (area == 0) continue;
    Tensor region = from_vector(labels, mask.shape()) == c;
    auto after = to_vector<uint8_t>(noisy_region(region, area, larger, iterations, reference_area));
    for (size_t i = 0; i < labels.size(); ++i) {
      if (!larger && labels[i] == c && !after[i]) labels[i] = 0;
      if (larger && labels[i] == 0 && after[i]) labels[i] = c;
    }
  }
  return from_vector(labels, mask.shape());
}

Tensor inject_annotation_noise(const Tensor& masks, int64_t classes, Generator& generator, const AnnotationNoiseOptions& o) {
  if (masks.rank() != 3) throw ShapeError("annotation_noise: masks must be [n, H, W], they are " + to_string(masks.shape()));
  if (!(o.share >= 0 && o.share <= 1)) throw ValueError(fmt::format("annotation_noise: the share must lie in [0, 1], it is {}", o.share));
  if (o.least < 0 || o.most < o.least) throw ValueError(fmt::format("annotation_noise: from {} to {} iterations", o.least, o.most));
  Tensor out = clone(masks);
  for (int64_t i = 0; i < masks.size(0); ++i) {
    bool bad = generator.next_double() < o.share, larger = generator.next_below(2) == 1;
    int64_t iterations = o.least + static_cast<int64_t>(generator.next_below(static_cast<uint64_t>(o.most - o.least + 1)));
    if (!bad) continue;
    Tensor place = select(out, 0, i);
    copy_(place, annotation_noise(select(masks, 0, i), classes, larger ? AnnotationError::over : AnnotationError::under, iterations,
                                  o.reference_area));
  }
  return out;
}

}  // namespace plumb::methods
