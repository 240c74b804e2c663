// Boxes in differentiable operations.
#include "models/detection/boxes.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "engine/autograd/grad_mode.h"
#include "ops/elementary.h"
#include "ops/join.h"
#include "ops/pointwise.h"
#include "ops/shape.h"

namespace plumb::detection {
namespace {

struct Four {
  Tensor a, b, c, d;
};

Four parts(const char* op, const Tensor& boxes) {
  if (boxes.rank() < 1 || boxes.size(-1) != 4)
    throw ShapeError(std::string(op) + ": boxes are to be [.., 4], got " + to_string(boxes.shape()));
  return {select(boxes, -1, 0), select(boxes, -1, 1), select(boxes, -1, 2), select(boxes, -1, 3)};
}

Tensor area(const Four& p) { return (p.c - p.a) * (p.d - p.b); }

// a / b, 0 where b is 0; no NaN in the derivative either.
Tensor ratio(const Tensor& a, const Tensor& b) {
  Tensor none = b == 0;
  return where(none, 0.0, a / where(none, 1.0, b));
}

struct Overlap {
  Tensor intersection, united;
};

Overlap overlap(const Four& p, const Four& q) {
  Tensor width = clamp_min(minimum(p.c, q.c) - maximum(p.a, q.a), 0), height = clamp_min(minimum(p.d, q.d) - maximum(p.b, q.b), 0);
  Tensor intersection = width * height;
  return {intersection, area(p) + area(q) - intersection};
}

}  // namespace

Tensor to_corners(const Tensor& centres) {
  Four p = parts("to_corners", centres);
  return stack({p.a - p.c * 0.5, p.b - p.d * 0.5, p.a + p.c * 0.5, p.b + p.d * 0.5}, -1);
}

Tensor image_sides(const Tensor& like, int64_t height, int64_t width) {
  auto w = static_cast<double>(width), h = static_cast<double>(height);
  return to(to(from_vector(std::vector<double>{w, h, w, h}), like.dtype()), like.device());
}

Tensor to_centres(const Tensor& corners) {
  Four p = parts("to_centres", corners);
  return stack({(p.a + p.c) * 0.5, (p.b + p.d) * 0.5, p.c - p.a, p.d - p.b}, -1);
}

Tensor box_area(const Tensor& corners) { return area(parts("box_area", corners)); }

Tensor box_iou(const Tensor& a, const Tensor& b) {
  Overlap o = overlap(parts("box_iou", a), parts("box_iou", b));
  return ratio(o.intersection, o.united);
}

Tensor generalized_box_iou(const Tensor& a, const Tensor& b) {
  Four p = parts("generalized_box_iou", a), q = parts("generalized_box_iou", b);
  Overlap o = overlap(p, q);
  Tensor hull = (maximum(p.c, q.c) - minimum(p.a, q.a)) * (maximum(p.d, q.d) - minimum(p.b, q.b));
  return ratio(o.intersection, o.united) - ratio(hull - o.united, hull);
}

Tensor pairwise_box_iou(const Tensor& a, const Tensor& b) {
  parts("pairwise_box_iou", a);
  return box_iou(unsqueeze(a, -2), unsqueeze(b, -3));
}
Tensor pairwise_generalized_box_iou(const Tensor& a, const Tensor& b) {
  parts("pairwise_generalized_box_iou", a);
  return generalized_box_iou(unsqueeze(a, -2), unsqueeze(b, -3));
}

Tensor clip_boxes(const Tensor& corners, double height, double width) {
  Four p = parts("clip_boxes", corners);
  return stack({clamp(p.a, 0, width), clamp(p.b, 0, height), clamp(p.c, 0, width), clamp(p.d, 0, height)}, -1);
}

Tensor apply_deltas(const Tensor& corners, const Tensor& deltas) {
  Four p = parts("apply_deltas", to_centres(corners)), d = parts("apply_deltas", deltas);
  const double most = std::log(1e5 / 16);
  Tensor cx = p.a + p.c * d.a * 0.5, cy = p.b + p.d * d.b * 0.5;
  Tensor half_width = p.c * exp(clamp_max(d.c, most)) * 0.5, half_height = p.d * exp(clamp_max(d.d, most)) * 0.5;
  return stack({cx - half_width, cy - half_height, cx + half_width, cy + half_height}, -1);
}

static double overlap_of(const double* a, const double* b) {
  double width = std::min(a[2], b[2]) - std::max(a[0], b[0]), height = std::min(a[3], b[3]) - std::max(a[1], b[1]);
  if (width <= 0 || height <= 0) return 0;
  return width * height / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - width * height);
}

Tensor non_maximum_suppression(const Tensor& corners, const Tensor& scores, double threshold, const Tensor& classes) {
  NoGrad off;
  if (corners.rank() != 2 || corners.size(1) != 4 || scores.shape() != Shape{corners.size(0)} ||
      (classes.defined() && classes.shape() != scores.shape()))
    throw ShapeError("non_maximum_suppression: boxes " + to_string(corners.shape()) + ", scores " + to_string(scores.shape()) +
                     (classes.defined() ? " and classes " + to_string(classes.shape()) : std::string()) + " do not fit [n, 4] and [n]");
  if (!(threshold >= 0 && threshold <= 1))
    throw ValueError("non_maximum_suppression: threshold " + decimal(threshold) + " is outside [0, 1]");
  std::vector<double> box = to_vector(corners), score = to_vector(scores);
  std::vector<int64_t> kind = classes.defined() ? to_vector<int64_t>(classes) : std::vector<int64_t>(score.size()), order(score.size()),
                       kept;
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](int64_t i, int64_t j) { return score[static_cast<size_t>(i)] > score[static_cast<size_t>(j)]; });
  for (int64_t i : order) {
    bool doubled = std::any_of(kept.begin(), kept.end(), [&](int64_t j) {
      return kind[static_cast<size_t>(i)] == kind[static_cast<size_t>(j)] &&
             overlap_of(&box[static_cast<size_t>(4 * i)], &box[static_cast<size_t>(4 * j)]) > threshold;
    });
    if (!doubled) kept.push_back(i);
  }
  return from_vector(kept);
}

}  // namespace plumb::detection
