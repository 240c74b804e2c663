// Drawing stick figures.
#include "methods/common/stick_figures.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numbers>

#include "ops/index.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/shape.h"
#include "ops/vision.h"

namespace plumb::methods {
namespace {

struct Point {
  double x, y;
};

double between(double low, double high, Generator& g) { return low + (high - low) * g.next_double(); }

// In units of the torso, the hips' middle at the origin, y pointing down.
std::array<Point, kFigureJoints> random_body(Generator& g) {
  // Limbs hang down at angle 0 and swing outwards.
  auto limb = [&](Point from, double side, double least, double most, double shortest, double longest) {
    double angle = between(least, most, g), length = between(shortest, longest, g);
    return Point{from.x + side * length * std::sin(angle), from.y + length * std::cos(angle)};
  };
  Point neck{0, -1}, left_hip{-0.25, 0}, right_hip{0.25, 0};
  Point head{between(-0.15, 0.15, g), -1.5};
  Point left_hand = limb(neck, -1, 0.15, 2.6, 0.8, 1.2), right_hand = limb(neck, 1, 0.15, 2.6, 0.8, 1.2);
  Point left_foot = limb(left_hip, -1, -0.2, 0.9, 1.1, 1.4), right_foot = limb(right_hip, 1, -0.2, 0.9, 1.1, 1.4);
  return {head, neck, left_hand, right_hand, left_hip, right_hip, left_foot, right_foot};
}

class Canvas {
 public:
  Canvas(const FigureOptions& o, float* pixels, Generator& g) : options_(o), pixels_(pixels), generator_(g) {}

  void add_stray_segments() {
    auto size = static_cast<double>(options_.size);
    for (int64_t k = 0; k < options_.stray; ++k) {
      Point a{between(0, size, generator_), between(0, size, generator_)};
      double angle = between(0, 2 * std::numbers::pi, generator_), length = between(0.12, 0.3, generator_) * size;
      segment(a, {a.x + length * std::cos(angle), a.y + length * std::sin(angle)}, 0.5, between(0.4, 0.9, generator_));
    }
  }

  void add_figure(const std::array<Point, kFigureJoints>& j, double torso) {
    double ink = between(0.75, 1, generator_), thick = std::max(0.4, torso / 12);
    Point hips{(j[4].x + j[5].x) / 2, (j[4].y + j[5].y) / 2};
    for (auto [a, b] : {std::pair{j[0], j[1]}, {j[1], hips}, {j[4], j[5]}, {j[1], j[2]}, {j[1], j[3]}, {j[4], j[6]}, {j[5], j[7]}})
      segment(a, b, thick, ink);
    segment(j[0], j[0], 0.28 * torso, ink);  // the head, a disc
  }

  void add_blocks() {
    uint64_t count = generator_.next_below(static_cast<uint64_t>(options_.blocks) + 1);
    auto size = static_cast<double>(options_.size);
    for (uint64_t k = 0; k < count; ++k) {
      auto w = static_cast<int64_t>(between(0.12, 0.28, generator_) * size),
           h = static_cast<int64_t>(between(0.12, 0.28, generator_) * size);
      auto x0 = static_cast<int64_t>(between(0, size - static_cast<double>(w), generator_));
      auto y0 = static_cast<int64_t>(between(0, size - static_cast<double>(h), generator_));
      auto grey = static_cast<float>(between(0, 0.6, generator_));
      for (int64_t y = y0; y < y0 + h; ++y) std::fill_n(pixels_ + y * options_.size + x0, w, grey);
    }
  }

 private:
  // Ink falls from 1 to 0 over a pixel about the distance `radius`.
  void segment(Point a, Point b, double radius, double ink) {
    auto last = static_cast<double>(options_.size - 1);
    double reach = radius + 1;
    auto low = [&](double v) { return static_cast<int64_t>(std::clamp(std::floor(v - reach), 0.0, last)); };
    auto high = [&](double v) { return static_cast<int64_t>(std::clamp(std::ceil(v + reach), 0.0, last)); };
    double dx = b.x - a.x, dy = b.y - a.y, square = dx * dx + dy * dy;
    for (int64_t y = low(std::min(a.y, b.y)); y <= high(std::max(a.y, b.y)); ++y)
      for (int64_t x = low(std::min(a.x, b.x)); x <= high(std::max(a.x, b.x)); ++x) {
        double px = static_cast<double>(x) - a.x, py = static_cast<double>(y) - a.y;
        double t = square > 0 ? std::clamp((px * dx + py * dy) / square, 0.0, 1.0) : 0;
        double cover = std::clamp(radius + 0.5 - std::hypot(px - t * dx, py - t * dy), 0.0, 1.0);
        float& p = pixels_[y * options_.size + x];
        p = static_cast<float>((1 - cover) * p + cover * ink);
      }
  }

  const FigureOptions& options_;
  float* pixels_;
  Generator& generator_;
};

void check(int64_t n, const Tensor& backgrounds, const FigureOptions& o) {
  if (n < 1) throw ValueError(fmt::format("stick_figures: {} figures", n));
  if (o.size < 8 || !(o.min_torso > 0 && o.max_torso >= o.min_torso))
    throw ValueError(fmt::format("stick_figures: images of {} pixels with torsos of {:g} to {:g}", o.size, o.min_torso, o.max_torso));
  if (o.stray < 0 || o.blocks < 0 || !(o.noise >= 0 && o.background >= 0 && o.degrees >= 0))
    throw ValueError(
        fmt::format("stick_figures: stray segments {}, blocks {}, noise {:g}, background {:g} and degrees {:g} must not be negative",
                    o.stray, o.blocks, o.noise, o.background, o.degrees));
  if (backgrounds.rank() != 4 || backgrounds.size(1) != 1 || backgrounds.numel() == 0)
    throw ShapeError("stick_figures: backgrounds are to be [m, 1, H, W], got " + to_string(backgrounds.shape()));
}

}  // namespace

const std::array<const char*, kFigureJoints>& figure_joint_names() {
  static const std::array<const char*, kFigureJoints> names{"head",     "neck",      "left hand", "right hand",
                                                            "left hip", "right hip", "left foot", "right foot"};
  return names;
}

Figures stick_figures(int64_t n, const Tensor& backgrounds, const FigureOptions& o, Generator& g) {
  check(n, backgrounds, o);
  Tensor chosen = randint(0, backgrounds.size(0), {n}, {.dtype = i64, .generator = &g});
  Tensor images =
      contiguous(interpolate(index_select(backgrounds, 0, chosen), {.size = Size2(o.size), .mode = Interpolation::linear}) * o.background);
  std::vector<float> joints, area;
  double middle = static_cast<double>(o.size - 1) / 2, unit = static_cast<double>(o.size) / 32;
  for (int64_t i = 0; i < n; ++i) {
    Canvas canvas(o, images.data<float>() + i * o.size * o.size, g);
    canvas.add_stray_segments();
    double torso = between(o.min_torso, o.max_torso, g) * unit, angle = between(-o.degrees, o.degrees, g) * std::numbers::pi / 180;
    double cx = middle + between(-2.5, 2.5, g) * unit, cy = middle + between(-2, 2, g) * unit;
    double low_x = INFINITY, low_y = INFINITY, high_x = -INFINITY, high_y = -INFINITY;
    std::array<Point, kFigureJoints> body = random_body(g);
    for (Point& p : body) {
      p = {cx + torso * (std::cos(angle) * p.x - std::sin(angle) * p.y), cy + torso * (std::sin(angle) * p.x + std::cos(angle) * p.y)};
      bool within = p.x >= 0 && p.y >= 0 && p.x <= 2 * middle && p.y <= 2 * middle;
      for (double v : {p.x, p.y, within ? 1.0 : 0.0}) joints.push_back(static_cast<float>(v));
      low_x = std::min(low_x, p.x), high_x = std::max(high_x, p.x);
      low_y = std::min(low_y, p.y), high_y = std::max(high_y, p.y);
    }
    area.push_back(static_cast<float>((high_x - low_x) * (high_y - low_y)));
    canvas.add_figure(body, torso);
    canvas.add_blocks();
  }
  images = clamp(images + randn_like(images, &g) * o.noise, 0, 1);
  return {images, from_vector(joints, {n, kFigureJoints, 3}), from_vector(area)};
}

}  // namespace plumb::methods
