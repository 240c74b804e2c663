// Phantoms.
#include "methods/vision/cirim/phantom.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "ops/pointwise.h"
#include "ops/reduce.h"

namespace plumb::methods::cirim {
namespace {

double within(Generator& g, double low, double high) { return low + (high - low) * g.next_double(); }

}  // namespace

std::vector<Ellipse> shepp_logan() {
  return {{1, .69, .92, 0, 0, 0},           {-.8, .6624, .8740, 0, -.0184, 0},  {-.2, .1100, .3100, .22, 0, -18},
          {-.2, .1600, .4100, -.22, 0, 18}, {.1, .2100, .2500, 0, .35, 0},      {.1, .0460, .0460, 0, .1, 0},
          {.1, .0460, .0460, 0, -.1, 0},    {.1, .0460, .0230, -.08, -.605, 0}, {.1, .0230, .0230, 0, -.606, 0},
          {.1, .0230, .0460, .06, -.605, 0}};
}

std::vector<Ellipse> random_phantom(Generator& g) {
  std::vector<Ellipse> all = shepp_logan();
  double turn = within(g, -15, 15), size = within(g, 0.8, 1.05), shift_x = within(g, -0.08, 0.08), shift_y = within(g, -0.05, 0.05);
  double skull = within(g, 0.3, 0.9);  // how much darker than the skull the inside is
  for (size_t i = 0; i < all.size(); ++i) {
    Ellipse& e = all[i];
    double loose = i < 2 ? 0 : 1;
    e.a *= size * within(g, 1 - 0.3 * loose, 1 + 0.4 * loose);
    e.b *= size * within(g, 1 - 0.3 * loose, 1 + 0.4 * loose);
    e.x = e.x * size + shift_x + loose * within(g, -0.08, 0.08);
    e.y = e.y * size + shift_y + loose * within(g, -0.08, 0.08);
    e.degrees += turn + loose * within(g, -25, 25);
    if (i == 1) e.intensity = -skull;
    if (i > 1) e.intensity *= within(g, 0.4, 2);
  }
  for (uint64_t extra = 2 + g.next_below(5); extra > 0; --extra) {
    double radius = 0.45 * std::sqrt(g.next_double()), around = within(g, 0, 2 * std::numbers::pi);
    double a = within(g, 0.03, 0.18);
    all.push_back({within(g, -0.15, 0.35), a, a * within(g, 0.5, 1.5), radius * std::cos(around), 1.2 * radius * std::sin(around),
                   within(g, 0, 180)});
  }
  return all;
}

Tensor draw_ellipses(const std::vector<Ellipse>& ellipses, int64_t size) {
  constexpr int kPoints = 3;
  Tensor image = zeros({size, size}, f32);
  float* pixels = image.data<float>();
  for (const Ellipse& e : ellipses) {
    double turn = e.degrees * std::numbers::pi / 180, c = std::cos(turn), s = std::sin(turn),
           step = 2 / static_cast<double>(size * kPoints);
    for (int64_t i = 0; i < size * kPoints; ++i)
      for (int64_t j = 0; j < size * kPoints; ++j) {
        double y = 1 - (static_cast<double>(i) + 0.5) * step - e.y, x = -1 + (static_cast<double>(j) + 0.5) * step - e.x;
        double u = (x * c + y * s) / e.a, v = (y * c - x * s) / e.b;
        if (u * u + v * v <= 1) pixels[i / kPoints * size + j / kPoints] += static_cast<float>(e.intensity / (kPoints * kPoints));
      }
  }
  return clamp_min(image, 0);
}

Tensor with_smooth_phase(const Tensor& magnitude, Generator& g) {
  int64_t count = magnitude.size(0), height = magnitude.size(1), width = magnitude.size(2);
  Tensor scaled = contiguous_data(magnitude / clamp_min(amax(magnitude, {-2, -1}, true), 1e-12)),
         image = empty({count, height, width, 2}, f32);
  const float* m = scaled.data<float>();
  float* out = image.data<float>();
  for (int64_t n = 0; n < count; ++n) {
    double offset = within(g, 0, 2 * std::numbers::pi), fy = within(g, -1.5, 1.5), fx = within(g, -1.5, 1.5), bend = within(g, -1, 1),
           wave = within(g, 0, 0.7), at = within(g, 0, 6);
    for (int64_t i = 0; i < height; ++i)
      for (int64_t j = 0; j < width; ++j, ++m, out += 2) {
        double y = 2 * static_cast<double>(i) / static_cast<double>(height) - 1,
               x = 2 * static_cast<double>(j) / static_cast<double>(width) - 1;
        double phase = offset + fy * y + fx * x + bend * x * y + wave * std::cos(2 * x + 2 * y + at);
        out[0] = static_cast<float>(*m * std::cos(phase));
        out[1] = static_cast<float>(*m * std::sin(phase));
      }
  }
  return image;
}

}  // namespace plumb::methods::cirim
