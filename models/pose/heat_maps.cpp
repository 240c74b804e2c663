// Heat maps of keypoints, and back.
#include "models/pose/heat_maps.h"

#include <cmath>

#include "engine/autograd/grad_mode.h"
#include "ops/create.h"
#include "ops/elementary.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb::pose {
namespace {

void check_keypoints(const char* op, const Tensor& keypoints) {
  if (keypoints.rank() != 3 || keypoints.size(2) != 3)
    throw ShapeError(std::string(op) + ": keypoints are to be [B, K, 3], got " + to_string(keypoints.shape()));
}

}  // namespace

HeatMaps heat_maps(const Tensor& keypoints, int64_t height, int64_t width, double stride, double sigma) {
  NoGrad off;
  check_keypoints("heat_maps", keypoints);
  if (height < 1 || width < 1 || !(stride > 0) || !(sigma > 0))
    throw ValueError("heat_maps: maps of " + std::to_string(height) + "×" + std::to_string(width) + ", stride " + decimal(stride) +
                     " and sigma " + decimal(sigma) + " must be positive");
  Tensor k = to(keypoints, f32);
  auto middle = [&](int64_t e) { return unsqueeze(unsqueeze(select(k, 2, e), 2), 3) * (1 / stride) - 0.5; };
  Tensor dx = arange(width, f32) - middle(0), dy = unsqueeze(arange(height, f32), 1) - middle(1);
  Tensor x = select(k, 2, 0), y = select(k, 2, 1);
  Tensor inside = logical_and(logical_and(x >= 0, x <= stride * static_cast<double>(width)),
                              logical_and(y >= 0, y <= stride * static_cast<double>(height)));
  return {exp((square(dx) + square(dy)) * (-0.5 / (sigma * sigma))), to(logical_and(inside, select(k, 2, 2) > 0), f32)};
}

Tensor heat_map_loss(const Tensor& prediction, const HeatMaps& target) {
  if (prediction.shape() != target.maps.shape() || prediction.rank() != 4)
    throw ShapeError("heat_map_loss: prediction " + to_string(prediction.shape()) + " and target " + to_string(target.maps.shape()) +
                     " differ, or are not [B, K, H, W]");
  Tensor weight = to(target.weight, prediction.dtype()), error = mean(square(prediction - to(target.maps, prediction.dtype())), {2, 3});
  return sum(error * weight) / clamp_min(sum(weight), 1);
}

Keypoints decode_heat_maps(const Tensor& maps, double stride) {
  NoGrad off;
  if (maps.rank() != 4 || maps.size(2) < 1 || maps.size(3) < 1)
    throw ShapeError("decode_heat_maps: takes maps [B, K, H, W], got " + to_string(maps.shape()));
  auto height = static_cast<size_t>(maps.size(2)), width = static_cast<size_t>(maps.size(3));
  std::vector<float> all = to_vector<float>(maps), places, scores;
  auto quarter = [](float before, float after) { return after > before ? 0.25 : after < before ? -0.25 : 0.0; };
  for (size_t from = 0; from < all.size(); from += height * width) {
    const float* map = &all[from];
    size_t best = 0;
    for (size_t i = 1; i < height * width; ++i)
      if (map[i] > map[best]) best = i;
    size_t row = best / width, column = best % width;
    double x = static_cast<double>(column), y = static_cast<double>(row);
    if (column > 0 && column + 1 < width) x += quarter(map[best - 1], map[best + 1]);
    if (row > 0 && row + 1 < height) y += quarter(map[best - width], map[best + width]);
    places.push_back(static_cast<float>((x + 0.5) * stride)), places.push_back(static_cast<float>((y + 0.5) * stride));
    scores.push_back(map[best]);
  }
  return {from_vector(places, {maps.size(0), maps.size(1), 2}), from_vector(scores, {maps.size(0), maps.size(1)})};
}

CorrectKeypoints correct_keypoints(const Tensor& places, const Tensor& truth, const Tensor& reference, double threshold) {
  check_keypoints("correct_keypoints", truth);
  if (places.shape() != Shape{truth.size(0), truth.size(1), 2} || reference.shape() != Shape{truth.size(0)})
    throw ShapeError("correct_keypoints: places " + to_string(places.shape()) + ", truth " + to_string(truth.shape()) + " and reference " +
                     to_string(reference.shape()) + " do not fit [B, K, 2], [B, K, 3] and [B]");
  std::vector<double> p = to_vector(places), t = to_vector(truth), size = to_vector(reference);
  auto kinds = static_cast<size_t>(truth.size(1));
  std::vector<double> right(kinds), there(kinds);
  for (size_t i = 0; i < p.size() / 2; ++i) {
    if (!(t[3 * i + 2] > 0)) continue;
    ++there[i % kinds];
    right[i % kinds] += std::hypot(p[2 * i] - t[3 * i], p[2 * i + 1] - t[3 * i + 1]) <= threshold * size[i / kinds];
  }
  double all_right = 0, all_there = 0;
  for (size_t k = 0; k < kinds; ++k) {
    all_right += right[k], all_there += there[k];
    right[k] /= there[k];  // 0 / 0 is NaN
  }
  return {all_right / all_there, right};
}

}  // namespace plumb::pose
