// Sampling masks and coil maps.
#include <algorithm>
#include <cmath>
#include <numbers>
#include <numeric>

#include "engine/core/error.h"
#include "methods/vision/cirim/mri.h"
#include "ops/elementary.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"

namespace plumb::methods::cirim {
namespace {

std::vector<double> gaussian(int64_t n, double fwhm) {
  double s = fwhm / 2.3548;
  std::vector<double> g(static_cast<size_t>(n), 1);
  for (int64_t i = 0; n > 1 && i < n; ++i) {
    double x = -1 + 2 * static_cast<double>(i) / static_cast<double>(n - 1);
    g[static_cast<size_t>(i)] = std::exp(-x * x / (2 * s * s));
  }
  return g;
}

// Adds `count` places drawn without replacement by their weights.
void draw(std::vector<float>& mask, const std::vector<double>& weights, int64_t count, Generator& generator) {
  for (int64_t at : to_vector<int64_t>(multinomial(from_vector(weights), count, false, &generator))) mask[static_cast<size_t>(at)] = 1;
}

// Places in random order, each kept if no kept one is nearer than its distance, base · (1 + 3 ρ), ρ the distance from the centre (1: a
// corner).
std::vector<int64_t> spaced_places(int64_t height, int64_t width, double base, Generator generator) {
  std::vector<int64_t> order(static_cast<size_t>(height * width)), kept;
  std::iota(order.begin(), order.end(), 0);
  for (size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[generator.next_below(i)]);
  std::vector<char> taken(order.size());
  for (int64_t place : order) {
    int64_t i = place / width, j = place % width;
    double rho = std::hypot(2.0 * static_cast<double>(i) / static_cast<double>(height) - 1,
                            2.0 * static_cast<double>(j) / static_cast<double>(width) - 1) /
                 std::numbers::sqrt2;
    double distance = base * (1 + 3 * rho);
    auto reach = static_cast<int64_t>(distance);
    bool free = true;
    for (int64_t p = std::max<int64_t>(0, i - reach); free && p <= std::min(height - 1, i + reach); ++p)
      for (int64_t q = std::max<int64_t>(0, j - reach); free && q <= std::min(width - 1, j + reach); ++q)
        free = !taken[static_cast<size_t>(p * width + q)] || std::hypot(static_cast<double>(p - i), static_cast<double>(q - j)) >= distance;
    if (!free) continue;
    taken[static_cast<size_t>(place)] = 1;
    kept.push_back(place);
  }
  return kept;
}

// The distance is found by bisection: the largest at which at least `count` places fit; of those the first drawn are taken.
void draw_spaced(std::vector<float>& mask, int64_t height, int64_t width, int64_t count, Generator& generator) {
  Generator own(generator.next_u64());
  double low = 0.2, high = 8;
  for (int round = 0; round < 14; ++round) {
    double middle = (low + high) / 2;
    (static_cast<int64_t>(spaced_places(height, width, middle, own).size()) >= count ? low : high) = middle;
  }
  std::vector<int64_t> kept = spaced_places(height, width, low, own);
  for (int64_t k = 0; k < count; ++k) mask[static_cast<size_t>(kept[static_cast<size_t>(k)])] = 1;
}

}  // namespace

Tensor sampling_mask(int64_t height, int64_t width, const MaskOptions& o, Generator& generator) {
  bool columns = o.kind == MaskKind::equispaced_columns || o.kind == MaskKind::gaussian_columns;
  int64_t places = columns ? width : height * width;
  if (!(o.acceleration >= 1))
    throw ValueError("sampling_mask: the acceleration must be at least 1, it is " + decimal(o.acceleration));
  auto count = static_cast<int64_t>(static_cast<double>(places) / o.acceleration);
  if (count < 1)
    throw ValueError("sampling_mask: acceleration " + decimal(o.acceleration) + " leaves nothing of " + std::to_string(height) +
                     " × " + std::to_string(width));
  std::vector<float> drawn(static_cast<size_t>(places));
  if (o.kind == MaskKind::equispaced_columns) {
    double offset = generator.next_double() * o.acceleration;
    for (double at = offset; at < static_cast<double>(width); at += o.acceleration) drawn[static_cast<size_t>(at)] = 1;
  } else if (o.kind == MaskKind::gaussian_columns) {
    draw(drawn, gaussian(width, o.fwhm), count, generator);
  } else if (o.kind == MaskKind::gaussian_points) {
    std::vector<double> rows = gaussian(height, o.fwhm), across = gaussian(width, o.fwhm), weights;
    for (double r : rows)
      for (double c : across) weights.push_back(std::sqrt(r * c));
    draw(drawn, weights, count, generator);
  } else {
    draw_spaced(drawn, height, width, count, generator);
  }
  Tensor mask = empty({height, width}, f32);
  float* m = mask.data<float>();
  for (int64_t i = 0; i < height; ++i)
    for (int64_t j = 0; j < width; ++j) {
      double y = (static_cast<double>(i) - static_cast<double>(height / 2)) / std::max(o.center * static_cast<double>(height), 1e-9);
      double x = (static_cast<double>(j) - static_cast<double>(width / 2)) / std::max(o.center * static_cast<double>(width), 1e-9);
      bool inside = o.center > 0 && (columns ? std::abs(x) < 1 : y * y + x * x < 1);
      m[i * width + j] = inside ? 1 : drawn[static_cast<size_t>(columns ? j : i * width + j)];
    }
  return mask;
}

Tensor coil_maps(int64_t coils, int64_t height, int64_t width, Generator& generator) {
  if (coils < 1) throw ValueError("coil_maps: there must be a coil, there are " + std::to_string(coils));
  Tensor maps = empty({coils, height, width, 2}, f32);
  float* out = maps.data<float>();
  double turn = generator.next_double() * 2 * std::numbers::pi;
  for (int64_t c = 0; c < coils; ++c) {
    double around = turn + 2 * std::numbers::pi * static_cast<double>(c) / static_cast<double>(coils);
    double cy = 1.1 * std::sin(around), cx = 1.1 * std::cos(around), spread = 0.8 + 0.3 * generator.next_double();
    double phase = 2 * std::numbers::pi * generator.next_double(), slope_y = 2 * generator.next_double() - 1,
           slope_x = 2 * generator.next_double() - 1;
    for (int64_t i = 0; i < height; ++i)
      for (int64_t j = 0; j < width; ++j) {
        double y = 2 * (static_cast<double>(i) + 0.5) / static_cast<double>(height) - 1,
               x = 2 * (static_cast<double>(j) + 0.5) / static_cast<double>(width) - 1;
        double magnitude = std::exp(-((y - cy) * (y - cy) + (x - cx) * (x - cx)) / (2 * spread * spread)),
               angle = phase + slope_y * y + slope_x * x;
        float* s = out + 2 * ((c * height + i) * width + j);
        s[0] = static_cast<float>(magnitude * std::cos(angle));
        s[1] = static_cast<float>(magnitude * std::sin(angle));
      }
  }
  return maps / sqrt(sum(square(maps), {0, 3}, true));
}

}  // namespace plumb::methods::cirim
