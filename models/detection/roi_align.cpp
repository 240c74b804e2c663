// RoIAlign as bags of weighted rows: a bin is a fixed weighted sum of places of its level, so one embedding_bag over the places of all
// levels does it, forward and backward.
#include "models/detection/roi_align.h"

#include <algorithm>
#include <cmath>

#include "engine/autograd/grad_mode.h"
#include "ops/embedding.h"
#include "ops/join.h"
#include "ops/shape.h"

namespace plumb::detection {
namespace {

struct Level {
  int64_t first_row, height, width;  // of image 0 in the table of places
  double stride;
};

/// The weighted places of every sample, four each.
struct Bags {
  std::vector<int64_t> rows;
  std::vector<double> weights;

  void add(int64_t row, double weight) {
    rows.push_back(row);
    weights.push_back(weight);
  }

  // As if the border went on for one place.
  void sample(const Level& level, int64_t image, double y, double x, double share) {
    int64_t first = level.first_row + image * level.height * level.width;
    auto height = static_cast<double>(level.height), width = static_cast<double>(level.width);
    if (!(y >= -1 && y <= height && x >= -1 && x <= width)) {
      for (int i = 0; i < 4; ++i) add(first, 0);
      return;
    }
    y = std::clamp(y, 0.0, height - 1), x = std::clamp(x, 0.0, width - 1);
    auto top = static_cast<int64_t>(y), left = static_cast<int64_t>(x);
    int64_t bottom = std::min(top + 1, level.height - 1), right = std::min(left + 1, level.width - 1);
    double v = y - static_cast<double>(top), u = x - static_cast<double>(left);
    add(first + top * level.width + left, (1 - v) * (1 - u) * share);
    add(first + top * level.width + right, (1 - v) * u * share);
    add(first + bottom * level.width + left, v * (1 - u) * share);
    add(first + bottom * level.width + right, v * u * share);
  }

  void box(const Level& level, int64_t image, const double* corners, const RoiAlignOptions& o) {
    double left = corners[0] / level.stride - 0.5, top = corners[1] / level.stride - 0.5;
    double width = (corners[2] - corners[0]) / level.stride, height = (corners[3] - corners[1]) / level.stride;
    auto places = static_cast<double>(o.size * o.sampling), samples = static_cast<double>(o.sampling * o.sampling);
    for (int64_t bin = 0; bin < o.size * o.size; ++bin)
      for (int64_t s = 0; s < o.sampling * o.sampling; ++s) {
        auto row = static_cast<double>(bin / o.size * o.sampling + s / o.sampling),
             column = static_cast<double>(bin % o.size * o.sampling + s % o.sampling);
        sample(level, image, top + (row + 0.5) * height / places, left + (column + 0.5) * width / places, 1 / samples);
      }
  }
};

void check(const std::vector<Tensor>& levels, const std::vector<double>& strides, const Tensor& boxes, const RoiAlignOptions& o) {
  if (levels.empty() || levels.size() != strides.size())
    throw ShapeError("roi_align: " + std::to_string(levels.size()) + " levels and " + std::to_string(strides.size()) +
                     " strides; as many of each, at least one");
  if (boxes.rank() != 3 || boxes.size(2) != 4) throw ShapeError("roi_align: boxes are to be [B, P, 4], got " + to_string(boxes.shape()));
  for (const Tensor& level : levels)
    if (level.rank() != 4 || level.size(0) != boxes.size(0) || level.size(1) != levels[0].size(1) || level.size(2) < 1 || level.size(3) < 1)
      throw ShapeError("roi_align: a level is " + to_string(level.shape()) + ", which does not fit boxes " + to_string(boxes.shape()) +
                       " and the first level " + to_string(levels[0].shape()));
  for (double stride : strides)
    if (!(stride > 0)) throw ValueError("roi_align: strides must be positive, one is " + std::to_string(stride));
  if (o.size < 1 || o.sampling < 1 || !(o.cells > 0))
    throw ValueError("roi_align: size " + std::to_string(o.size) + ", sampling " + std::to_string(o.sampling) + " and cells " +
                     std::to_string(o.cells) + " must be positive");
}

size_t level_of(const double* corners, double finest, size_t levels) {
  double side = std::sqrt(std::abs((corners[2] - corners[0]) * (corners[3] - corners[1])));
  if (!(side > 0)) return 0;
  return static_cast<size_t>(std::clamp(std::floor(std::log2(side / finest)), 0.0, static_cast<double>(levels - 1)));
}

}  // namespace

Tensor roi_align(const std::vector<Tensor>& levels, const std::vector<double>& strides, const Tensor& boxes, const RoiAlignOptions& o) {
  check(levels, strides, boxes, o);
  std::vector<double> corners = to_vector(boxes.detach());
  for (double v : corners)
    if (!std::isfinite(v)) throw ValueError("roi_align: a box has the coordinate " + decimal(v));
  int64_t channels = levels[0].size(1), per_image = boxes.size(1), rows = 0;
  std::vector<Level> places;
  std::vector<Tensor> table;
  for (size_t i = 0; i < levels.size(); ++i) {
    places.push_back({rows, levels[i].size(2), levels[i].size(3), strides[i]});
    table.push_back(reshape(permute(levels[i], {0, 2, 3, 1}), {-1, channels}));
    rows += table.back().size(0);
  }
  Bags bags;
  int64_t count = boxes.size(0) * per_image, bins = o.size * o.size, size = 4 * o.sampling * o.sampling;
  bags.rows.reserve(static_cast<size_t>(count * bins * size)), bags.weights.reserve(bags.rows.capacity());
  for (int64_t i = 0; i < count; ++i) {
    const double* box = &corners[static_cast<size_t>(4 * i)];
    bags.box(places[level_of(box, o.cells * strides[0], levels.size())], i / per_image, box, o);
  }
  Shape shape{count * bins, size};
  Device device = levels[0].device();
  DType type = compute_dtype(levels[0].dtype());
  Tensor weights = to(to(from_vector(bags.weights, shape), type), device);
  Tensor y =
      embedding_bag(cat(table), to(from_vector(bags.rows, shape), device), {}, {.mode = BagMode::sum, .per_sample_weights = weights});
  return reshape(y, {count, bins, channels});
}

}  // namespace plumb::detection
