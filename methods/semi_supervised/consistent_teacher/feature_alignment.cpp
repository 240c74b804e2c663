// Mixing levels, then reading at moved places.
#include "methods/semi_supervised/consistent_teacher/feature_alignment.h"

#include "models/nn/init.h"
#include "ops/activation.h"
#include "ops/create.h"
#include "ops/elementary.h"
#include "ops/grid_sample.h"
#include "ops/join.h"
#include "ops/pointwise.h"
#include "ops/shape.h"
#include "ops/vision.h"

namespace plumb::methods::consistent_teacher {
namespace {

Tensor resized(const Tensor& x, const Tensor& like) {
  if (x.size(2) == like.size(2) && x.size(3) == like.size(3)) return x;
  return interpolate(x, {.size = Size2(like.size(2), like.size(3)), .mode = Interpolation::linear});
}

// Each side's map read at its own places: sides are images of a batch for that. Place x lies at 2 (x + ½) / W − 1.
Tensor moved(const Tensor& b, const Tensor& offsets) {
  int64_t images = b.size(0), h = b.size(2), w = b.size(3);
  Tensor o = reshape(offsets, {images * 4, 2, h, w});
  Tensor columns = to(arange(w, b.dtype()), b.device()), rows = to(unsqueeze(arange(h, b.dtype()), 1), b.device());
  Tensor x = (select(o, 1, 1) + columns + 0.5) * (2.0 / static_cast<double>(w)) - 1,
         y = (select(o, 1, 0) + rows + 0.5) * (2.0 / static_cast<double>(h)) - 1;
  return reshape(grid_sample(reshape(b, {images * 4, 1, h, w}), stack({x, y}, -1)), b.shape());
}

void check(const std::vector<Tensor>& boxes, const std::vector<double>& strides, const std::vector<Tensor>& levels,
           const std::vector<Tensor>& planes) {
  bool fits = !boxes.empty() && strides.size() == boxes.size() && levels.size() == boxes.size() && planes.size() == boxes.size();
  for (size_t l = 0; fits && l < boxes.size(); ++l) {
    const Shape& b = boxes[l].shape();
    fits = b.rank() == 4 && b[1] == 4 && levels[l].shape() == b && planes[l].shape() == Shape{b[0], 8, b[2], b[3]};
    if (!fits)
      throw ShapeError("align_boxes: boxes " + to_string(b) + ", level offsets " + to_string(levels[l].shape()) + " and plane offsets " +
                       to_string(planes[l].shape()) + " of level " + std::to_string(l) +
                       " do not fit [B, 4, H, W], the same and [B, 8, H, W]");
  }
  if (!fits)
    throw ShapeError("align_boxes: " + std::to_string(boxes.size()) + " levels of boxes, " + std::to_string(strides.size()) + " strides, " +
                     std::to_string(levels.size()) + " and " + std::to_string(planes.size()) + " of offsets");
}

}  // namespace

LevelShares level_shares(const Tensor& delta, bool finest, bool coarsest) {
  Tensor d = clamp(delta, finest ? 0 : -1, coarsest ? 0 : 1);
  return {1 - abs(d), clamp_min(d, 0), clamp_min(-d, 0)};
}

std::vector<Tensor> align_boxes(const std::vector<Tensor>& boxes, const std::vector<double>& strides,
                                const std::vector<Tensor>& level_offsets, const std::vector<Tensor>& plane_offsets) {
  check(boxes, strides, level_offsets, plane_offsets);
  std::vector<Tensor> aligned;
  for (size_t l = 0; l < boxes.size(); ++l) {
    bool finest = l == 0, coarsest = l + 1 == boxes.size();
    LevelShares shares = level_shares(level_offsets[l], finest, coarsest);
    Tensor b = shares.current * boxes[l];
    if (!finest) b = b + shares.lower * resized(boxes[l - 1], boxes[l]) * (strides[l - 1] / strides[l]);
    if (!coarsest) b = b + shares.upper * resized(boxes[l + 1], boxes[l]) * (strides[l + 1] / strides[l]);
    aligned.push_back(moved(b, plane_offsets[l]));
  }
  return aligned;
}

Fam3d::Fam3d(int64_t features, int64_t hidden)
    : reduce(this, "reduce", features, hidden, 1),
      level_conv(this, "level_conv", 3 * hidden, 4, 3, {.padding = 1}),
      plane_conv(this, "plane_conv", 3 * hidden, 8, 3, {.padding = 1}) {
  for (nn::Conv2d* conv : {&level_conv, &plane_conv}) {
    nn::init::normal(conv->weight, 0, 0.001);
    nn::init::zeros(conv->bias);
  }
}

std::vector<Tensor> Fam3d::operator()(const std::vector<Tensor>& features, const std::vector<Tensor>& boxes,
                                      const std::vector<double>& strides) const {
  std::vector<Tensor> u, level_offsets, plane_offsets;
  for (const Tensor& f : features) u.push_back(relu(reduce(f)));
  for (size_t l = 0; l < u.size(); ++l) {
    const Tensor &below = l > 0 ? u[l - 1] : u[l], &above = l + 1 < u.size() ? u[l + 1] : u[l];
    Tensor v = cat({resized(below, u[l]), u[l], resized(above, u[l])}, 1);
    level_offsets.push_back(level_conv(v));
    plane_offsets.push_back(plane_conv(v));
  }
  return align_boxes(boxes, strides, level_offsets, plane_offsets);
}

}  // namespace plumb::methods::consistent_teacher
