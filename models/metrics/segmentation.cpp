// Overlap and surface distances of masks.
#include "models/metrics/segmentation.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "engine/core/error.h"
#include "ops/sort.h"

namespace plumb::metrics {
namespace {

struct Pixel {
  int64_t row, column;
};

std::vector<Pixel> surface(const Tensor& mask) {
  auto inside = to_vector<int64_t>(mask);
  int64_t height = mask.size(0), width = mask.size(1);
  auto at = [&](int64_t r, int64_t c) {
    return r >= 0 && r < height && c >= 0 && c < width && inside[static_cast<size_t>(r * width + c)] != 0;
  };
  std::vector<Pixel> out;
  for (int64_t r = 0; r < height; ++r)
    for (int64_t c = 0; c < width; ++c)
      if (at(r, c) && !(at(r - 1, c) && at(r + 1, c) && at(r, c - 1) && at(r, c + 1))) out.push_back({r, c});
  return out;
}

void nearest(const std::vector<Pixel>& from, const std::vector<Pixel>& to, std::vector<double>& distances) {
  for (Pixel a : from) {
    int64_t least = INT64_MAX;
    for (Pixel b : to) least = std::min(least, (a.row - b.row) * (a.row - b.row) + (a.column - b.column) * (a.column - b.column));
    distances.push_back(std::sqrt(static_cast<double>(least)));
  }
}

}  // namespace

double dice_score(const Tensor& prediction, const Tensor& target) {
  if (prediction.shape() != target.shape())
    throw ShapeError("dice_score: masks " + to_string(prediction.shape()) + " and " + to_string(target.shape()));
  auto p = to_vector<int64_t>(prediction), t = to_vector<int64_t>(target);
  double both = 0, all = 0;
  for (size_t i = 0; i < p.size(); ++i) {
    both += p[i] != 0 && t[i] != 0;
    all += (p[i] != 0) + (t[i] != 0);
  }
  return all > 0 ? 2 * both / all : 1;
}

double hd95(const Tensor& prediction, const Tensor& target) {
  if (prediction.rank() != 2 || prediction.shape() != target.shape())
    throw ShapeError("hd95: takes two masks [H, W], got " + to_string(prediction.shape()) + " and " + to_string(target.shape()));
  auto p = surface(prediction), t = surface(target);
  if (p.empty() && t.empty()) return 0;
  if (p.empty() || t.empty()) return std::hypot(static_cast<double>(target.size(0)), static_cast<double>(target.size(1)));
  std::vector<double> distances;
  nearest(p, t, distances);
  nearest(t, p, distances);
  return quantile(from_vector(distances), 0.95).item();
}

}  // namespace plumb::metrics
