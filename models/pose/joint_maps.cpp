// Windowed heat maps: making, comparing, reading, judging.
#include "models/pose/joint_maps.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>

#include "engine/autograd/grad_mode.h"
#include "ops/elementary.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb::pose {

HeatMaps joint_maps(const Tensor& joints, int64_t height, int64_t width, double stride, double sigma) {
  if (joints.rank() != 3 || joints.size(2) != 3)
    throw ShapeError("joint_maps: joints are to be [B, J, 3], got " + to_string(joints.shape()));
  if (height < 1 || width < 1 || !(stride > 0) || !(sigma > 0))
    throw ValueError("joint_maps: maps of " + std::to_string(height) + "×" + std::to_string(width) + ", stride " + std::to_string(stride) +
                     " and sigma " + std::to_string(sigma) + " must be positive");
  std::vector<double> at = to_vector(joints);
  std::vector<float> maps(static_cast<size_t>(joints.size(0) * joints.size(1) * height * width)), weight;
  auto plane = static_cast<size_t>(height * width);
  for (size_t k = 0; k < at.size() / 3; ++k) {
    double mx = std::floor(at[3 * k] / stride + 0.5), my = std::floor(at[3 * k + 1] / stride + 0.5), reach = 3 * sigma;
    bool there = at[3 * k + 2] > 0 && mx + reach >= 0 && my + reach >= 0 && mx - reach <= static_cast<double>(width - 1) &&
                 my - reach <= static_cast<double>(height - 1);
    weight.push_back(there ? 1.0f : 0.0f);
    for (int64_t y = 0; y < height && there; ++y)
      for (int64_t x = 0; x < width; ++x) {
        double dx = static_cast<double>(x) - mx, dy = static_cast<double>(y) - my;
        if (std::abs(dx) <= reach && std::abs(dy) <= reach)
          maps[k * plane + static_cast<size_t>(y * width + x)] = static_cast<float>(std::exp(-(dx * dx + dy * dy) / (2 * sigma * sigma)));
      }
  }
  return {from_vector(maps, {joints.size(0), joints.size(1), height, width}), from_vector(weight, {joints.size(0), joints.size(1)})};
}

Tensor joint_map_mse(const Tensor& prediction, const Tensor& target, const Tensor& weight) {
  const Shape& s = prediction.shape();
  if (s.rank() != 4 || target.shape() != s || (weight.defined() && weight.shape() != Shape{s[0], s[1]}))
    throw ShapeError("joint_map_mse: prediction " + to_string(s) + ", target " + to_string(target.shape()) +
                     (weight.defined() ? " and weight " + to_string(weight.shape()) : std::string()) +
                     " do not fit [B, J, H, W], the same and [B, J]");
  if (prediction.numel() == 0) throw ValueError("joint_map_mse: there are no maps, the prediction is " + to_string(s));
  Tensor error = prediction - to(target, prediction.dtype());
  if (weight.defined()) error = error * unsqueeze(unsqueeze(to(weight, prediction.dtype()), 2), 3);
  return mean(square(error)) * 0.5;  // every joint has as many places, so the mean of means is the mean
}

namespace {

struct Map {
  const float* v;
  int64_t height, width;
  double operator()(int64_t y, int64_t x) const { return v[y * width + x]; }
};

struct Peak {
  int64_t x, y;
};

double sign(double d) { return d > 0 ? 1 : d < 0 ? -1 : 0; }

// The map under a Gaussian of 11 places (deviation 2), zeros outside, at (x, y).
double blurred(const Map& m, int64_t x, int64_t y) {
  static const std::array<double, 11> taps = [] {
    std::array<double, 11> t{};
    double total = 0;
    for (int i = 0; i < 11; ++i) total += t[static_cast<size_t>(i)] = std::exp(-(i - 5) * (i - 5) / 8.0);
    for (double& v : t) v /= total;
    return t;
  }();
  double sum = 0;
  for (int64_t i = std::max<int64_t>(0, y - 5); i <= std::min(m.height - 1, y + 5); ++i)
    for (int64_t j = std::max<int64_t>(0, x - 5); j <= std::min(m.width - 1, x + 5); ++j)
      sum += taps[static_cast<size_t>(i - y + 5)] * taps[static_cast<size_t>(j - x + 5)] * m(i, j);
  return sum;
}

// −H⁻¹ ∇ of log blurred, by central differences two places wide; nothing where H cannot be inverted.
std::array<double, 2> newton_step(const Map& m, Peak p) {
  auto l = [&](int64_t dx, int64_t dy) { return std::log(std::max(blurred(m, p.x + dx, p.y + dy), 1e-10)); };
  double dx = 0.5 * (l(1, 0) - l(-1, 0)), dy = 0.5 * (l(0, 1) - l(0, -1));
  double xx = 0.25 * (l(2, 0) - 2 * l(0, 0) + l(-2, 0)), yy = 0.25 * (l(0, 2) - 2 * l(0, 0) + l(0, -2));
  double xy = 0.25 * (l(1, 1) - l(-1, 1) - l(1, -1) + l(-1, -1)), determinant = xx * yy - xy * xy;
  if (determinant == 0) return {0, 0};
  return {-(yy * dx - xy * dy) / determinant, -(xx * dy - xy * dx) / determinant};
}

}  // namespace

Keypoints read_joints(const Tensor& maps, double stride, JointReading reading) {
  NoGrad off;
  if (maps.rank() != 4 || maps.size(2) < 1 || maps.size(3) < 1)
    throw ShapeError("read_joints: takes maps [B, J, H, W], got " + to_string(maps.shape()));
  int64_t height = maps.size(2), width = maps.size(3);
  std::vector<float> all = to_vector<float>(maps), places, scores;
  for (size_t from = 0; from < all.size(); from += static_cast<size_t>(height * width)) {
    Map m{&all[from], height, width};
    int64_t best = std::max_element(m.v, m.v + height * width) - m.v;
    Peak p{best % width, best / width};
    double x = static_cast<double>(p.x), y = static_cast<double>(p.y);
    if (reading == JointReading::shift && p.x > 1 && p.x < width - 1 && p.y > 1 && p.y < height - 1) {
      x += 0.25 * sign(m(p.y, p.x + 1) - m(p.y, p.x - 1));
      y += 0.25 * sign(m(p.y + 1, p.x) - m(p.y - 1, p.x));
    }
    if (reading == JointReading::dark && p.x > 1 && p.x < width - 2 && p.y > 1 && p.y < height - 2) {
      auto [dx, dy] = newton_step(m, p);
      x += dx, y += dy;
    }
    places.push_back(static_cast<float>(x * stride)), places.push_back(static_cast<float>(y * stride));
    scores.push_back(m.v[best]);
  }
  return {from_vector(places, {maps.size(0), maps.size(1), 2}), from_vector(scores, {maps.size(0), maps.size(1)})};
}

std::vector<double> object_keypoint_similarity(const Tensor& places, const Tensor& truth, const std::vector<double>& area,
                                               const std::vector<double>& k) {
  const Shape& s = truth.shape();
  if (s.rank() != 3 || s[2] != 3 || places.shape() != Shape{s[0], s[1], 2} || static_cast<int64_t>(area.size()) != s[0] ||
      static_cast<int64_t>(k.size()) != s[1])
    throw ShapeError("object_keypoint_similarity: places " + to_string(places.shape()) + ", truth " + to_string(s) + ", " +
                     std::to_string(area.size()) + " areas and " + std::to_string(k.size()) +
                     " constants do not fit [B, J, 2], [B, J, 3], B and J");
  for (const auto* all : {&area, &k})
    for (double v : *all)
      if (!(v > 0)) throw ValueError("object_keypoint_similarity: areas and constants must be positive, one is " + decimal(v));
  std::vector<double> p = to_vector(places), t = to_vector(truth), similarity;
  for (size_t b = 0; b < area.size(); ++b) {
    double total = 0, there = 0;
    for (size_t j = 0; j < k.size(); ++j) {
      size_t at = b * k.size() + j;
      if (!(t[3 * at + 2] > 0)) continue;
      double dx = p[2 * at] - t[3 * at], dy = p[2 * at + 1] - t[3 * at + 1];
      total += std::exp(-(dx * dx + dy * dy) / (2 * area[b] * k[j] * k[j]));
      ++there;
    }
    similarity.push_back(total / there);  // 0 / 0 is NaN
  }
  return similarity;
}

double oks_average_precision(const std::vector<double>& similarity, const std::vector<double>& scores) {
  if (similarity.size() != scores.size())
    throw ShapeError("oks_average_precision: " + std::to_string(similarity.size()) + " similarities and " + std::to_string(scores.size()) +
                     " scores");
  std::vector<size_t> order;
  for (size_t i = 0; i < scores.size(); ++i)
    if (!std::isnan(similarity[i])) order.push_back(i);
  std::ranges::stable_sort(order, [&](size_t a, size_t b) { return scores[a] > scores[b]; });
  auto objects = static_cast<double>(order.size());
  if (order.empty()) return NAN;
  double total = 0;
  for (int t = 0; t < 10; ++t) {
    double least = 0.5 + 0.05 * t, right = 0;
    std::vector<double> precision, recall;
    for (size_t n = 0; n < order.size(); ++n) {
      right += similarity[order[n]] >= least - 1e-10;
      precision.push_back(right / static_cast<double>(n + 1));
      recall.push_back(right / objects);
    }
    for (size_t n = precision.size(); n > 1; --n) precision[n - 2] = std::max(precision[n - 2], precision[n - 1]);
    for (int r = 0; r <= 100; ++r) {
      auto at = std::ranges::lower_bound(recall, r / 100.0) - recall.begin();
      if (at < static_cast<int64_t>(precision.size())) total += precision[static_cast<size_t>(at)] / 1010;
    }
  }
  return total;
}

}  // namespace plumb::pose
