// RandAugment: what is done to each image is drawn first, then all images are changed in parallel.
#include "models/augment/rand_augment.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>
#include <string>

#include "engine/core/error.h"
#include "models/augment/augment.h"
#include "models/augment/internal/images.h"
#include "ops/pointwise.h"
#include "ops/random.h"

namespace plumb::augment {
namespace {

using detail::between;
using detail::each_image;
using detail::Geometry;

/// A change as it was drawn for one image.
struct Step {
  Change change = Change::identity;
  double amount = 0;
  int64_t row = 0, column = 0;  // the place of a cutout
};

int level(float x) { return static_cast<int>(std::lround(std::clamp(x, 0.0f, 1.0f) * 255)); }
float from_level(int v) { return static_cast<float>(v) / 255; }

float grey_of(const float* image, const Geometry& g, int64_t pixel) {
  if (g.channels < 3) return image[pixel];
  return 0.299f * image[pixel] + 0.587f * image[pixel + g.plane()] + 0.114f * image[pixel + 2 * g.plane()];
}

// degenerate(c, pixel) + amount · (x − degenerate), clipped.
template <typename F>
void blend(const Geometry& g, double amount, const float* from, float* to, F&& degenerate) {
  auto f = static_cast<float>(amount);
  for (int64_t c = 0; c < g.channels; ++c)
    for (int64_t p = 0; p < g.plane(); ++p) {
      float base = degenerate(c, p);
      to[c * g.plane() + p] = std::clamp(base + f * (from[c * g.plane() + p] - base), 0.0f, 1.0f);
    }
}

float smoothed(const float* plane, const Geometry& g, int64_t p) {
  int64_t y = p / g.width, x = p % g.width;
  if (y == 0 || x == 0 || y == g.height - 1 || x == g.width - 1) return plane[p];
  float sum = 4 * plane[p];
  for (int64_t dy = -1; dy <= 1; ++dy)
    for (int64_t dx = -1; dx <= 1; ++dx) sum += plane[p + dy * g.width + dx];
  return sum / 13;
}

// Output pixel (x, y), measured from the middle, shows input pixel (a x + b y + u, c x + d y + v), rounded.
struct Map {
  double a = 1, b = 0, c = 0, d = 1, u = 0, v = 0;
};

Map map_of(const Step& s) {
  Map m;
  double angle = s.amount * std::numbers::pi / 180;
  switch (s.change) {
    case Change::rotate: m = {std::cos(angle), -std::sin(angle), std::sin(angle), std::cos(angle), 0, 0}; break;
    case Change::shear_x: m.b = s.amount; break;
    case Change::shear_y: m.c = s.amount; break;
    case Change::translate_x: m.u = -std::trunc(s.amount); break;
    default: m.v = -std::trunc(s.amount);
  }
  return m;
}

void warp(const Step& s, const Geometry& g, const float* fill, const float* from, float* to) {
  Map m = map_of(s);
  double middle_x = static_cast<double>(g.width - 1) / 2, middle_y = static_cast<double>(g.height - 1) / 2;
  for (int64_t row = 0; row < g.height; ++row)
    for (int64_t column = 0; column < g.width; ++column) {
      double x = static_cast<double>(column) - middle_x, y = static_cast<double>(row) - middle_y;
      auto across = static_cast<int64_t>(std::floor(m.a * x + m.b * y + m.u + middle_x + 0.5));
      auto down = static_cast<int64_t>(std::floor(m.c * x + m.d * y + m.v + middle_y + 0.5));
      bool inside = across >= 0 && across < g.width && down >= 0 && down < g.height;
      for (int64_t c = 0; c < g.channels; ++c)
        to[c * g.plane() + row * g.width + column] = inside ? from[c * g.plane() + down * g.width + across] : fill[c];
    }
}

// PIL's equalize: level v becomes the count of pixels below it (plus half a step) over the step, where the step is what each of the 255
// levels would hold without the last occupied one.
void equalize(const Geometry& g, const float* from, float* to) {
  for (int64_t c = 0; c < g.channels; ++c, from += g.plane(), to += g.plane()) {
    std::array<int64_t, 256> count{};
    for (int64_t p = 0; p < g.plane(); ++p) ++count[static_cast<size_t>(level(from[p]))];
    auto last = std::find_if(count.rbegin(), count.rend(), [](int64_t n) { return n > 0; });
    int64_t step = (g.plane() - *last) / 255;
    int64_t below = step / 2;
    std::array<float, 256> table{};
    for (size_t v = 0; v < 256; ++v) {
      table[v] = step == 0 ? from_level(static_cast<int>(v)) : from_level(static_cast<int>(std::min<int64_t>(255, below / step)));
      below += count[v];
    }
    for (int64_t p = 0; p < g.plane(); ++p) to[p] = table[static_cast<size_t>(level(from[p]))];
  }
}

void auto_contrast(const Geometry& g, const float* from, float* to) {
  for (int64_t c = 0; c < g.channels; ++c, from += g.plane(), to += g.plane()) {
    auto [low, high] = std::minmax_element(from, from + g.plane());
    float least = *low, range = *high - *low;
    for (int64_t p = 0; p < g.plane(); ++p) to[p] = range > 0 ? (from[p] - least) / range : from[p];
  }
}

void cut(const Step& s, const Geometry& g, const float* fill, const float* from, float* to) {
  std::copy(from, from + g.image(), to);
  auto side = static_cast<int64_t>(s.amount);
  int64_t top = s.row - side / 2, left = s.column - side / 2;
  for (int64_t c = 0; c < g.channels; ++c, to += g.plane())
    for (int64_t y = std::max<int64_t>(0, top); y < std::min(g.height, top + side); ++y)
      for (int64_t x = std::max<int64_t>(0, left); x < std::min(g.width, left + side); ++x) to[y * g.width + x] = fill[c];
}

template <typename F>
void each_pixel(const Geometry& g, const float* from, float* to, F&& f) {
  for (int64_t k = 0; k < g.image(); ++k) to[k] = f(from[k]);
}

void blended(const Step& s, const Geometry& g, const float* from, float* to) {
  switch (s.change) {
    case Change::brightness: return blend(g, s.amount, from, to, [](int64_t, int64_t) { return 0.0f; });
    case Change::color: return blend(g, s.amount, from, to, [&](int64_t, int64_t p) { return grey_of(from, g, p); });
    case Change::sharpness: return blend(g, s.amount, from, to, [&](int64_t c, int64_t p) { return smoothed(from + c * g.plane(), g, p); });
    default: {
      double sum = 0;
      for (int64_t p = 0; p < g.plane(); ++p) sum += static_cast<double>(grey_of(from, g, p));
      auto mean = static_cast<float>(sum / static_cast<double>(g.plane()));
      return blend(g, s.amount, from, to, [mean](int64_t, int64_t) { return mean; });
    }
  }
}

void apply(const Step& s, const Geometry& g, const float* fill, const float* from, float* to) {
  switch (s.change) {
    case Change::identity: std::copy(from, from + g.image(), to); return;
    case Change::auto_contrast: return auto_contrast(g, from, to);
    case Change::equalize: return equalize(g, from, to);
    case Change::cutout: return cut(s, g, fill, from, to);
    case Change::invert: return each_pixel(g, from, to, [](float x) { return 1 - x; });
    case Change::solarize: return each_pixel(g, from, to, [t = s.amount](float x) { return level(x) < t ? x : 1 - x; });
    case Change::posterize: {
      int bits = std::clamp(static_cast<int>(std::ceil(s.amount - 1e-9)), 0, 8), mask = 0xff & ~(0xff >> bits);
      return each_pixel(g, from, to, [mask](float x) { return from_level(level(x) & mask); });
    }
    case Change::brightness:
    case Change::color:
    case Change::contrast:
    case Change::sharpness: return blended(s, g, from, to);
    default: return warp(s, g, fill, from, to);
  }
}

Step placed(Change change, double amount, const Geometry& g, Generator& generator) {
  Step s{change, amount};
  if (change == Change::cutout) {
    s.row = static_cast<int64_t>(generator.next_below(static_cast<uint64_t>(g.height)));
    s.column = static_cast<int64_t>(generator.next_below(static_cast<uint64_t>(g.width)));
  }
  return s;
}

double drawn_amount(const ChangeRange& r, Generator& generator) {
  double at =
      r.levels > 1 ? static_cast<double>(generator.next_below(static_cast<uint64_t>(r.levels))) / (r.levels - 1) : generator.next_double();
  double amount = between(r.first, r.last, at);
  return r.mirrored && generator.next_below(2) ? -amount : amount;
}

// A value a channel.
std::vector<float> fills(const std::vector<float>& fill, const Geometry& g) {
  auto channels = static_cast<size_t>(g.channels);
  if (fill.empty()) return std::vector<float>(channels);
  if (fill.size() == 1) return std::vector<float>(channels, fill[0]);
  if (fill.size() != channels)
    throw ShapeError("rand_augment: a fill of " + std::to_string(fill.size()) + " values for images of " + std::to_string(channels) +
                     " channels");
  return fill;
}

void check_rate(const char* name, double rate) {
  if (!(rate >= 0 && rate <= 1)) throw ValueError(std::string(name) + ": the rate must lie in [0, 1], it is " + decimal(rate));
}

}  // namespace

Tensor apply_change(const Tensor& images, Change change, double amount, Generator& generator) {
  Geometry g = detail::geometry("apply_change", images);
  std::vector<Step> steps;
  std::vector<float> black = fills({}, g);
  for (int64_t i = 0; i < g.batch; ++i) steps.push_back(placed(change, amount, g, generator));
  return each_image("apply_change", images,
                    [&](int64_t i, const float* from, float* to) { apply(steps[static_cast<size_t>(i)], g, black.data(), from, to); });
}

Tensor rand_augment(const Tensor& images, const RandAugmentPolicy& policy, Generator& generator) {
  Geometry g = detail::geometry("rand_augment", images);
  check_rate("rand_augment", policy.rate);
  if (policy.changes.empty()) throw ValueError("rand_augment: the policy has no changes");
  if (policy.n < 0) throw ValueError("rand_augment: n is " + std::to_string(policy.n));
  std::vector<float> fill = fills(policy.fill, g);
  std::vector<std::vector<Step>> steps(static_cast<size_t>(g.batch));
  for (auto& own : steps) {
    for (int k = 0; k < policy.n; ++k) {
      const ChangeRange& range = policy.changes[generator.next_below(policy.changes.size())];
      double amount = drawn_amount(range, generator);
      Step step = placed(range.change, amount, g, generator);
      if (generator.next_double() < policy.rate) own.push_back(step);
    }
    if (policy.cutout > 0) own.push_back(placed(Change::cutout, static_cast<double>(policy.cutout), g, generator));
  }
  return each_image("rand_augment", images, [&](int64_t i, const float* from, float* to) {
    std::copy(from, from + g.image(), to);
    std::vector<float> before(static_cast<size_t>(g.image()));
    for (const Step& s : steps[static_cast<size_t>(i)]) {
      std::copy(to, to + g.image(), before.data());
      apply(s, g, fill.data(), before.data(), to);
    }
  });
}

RandAugmentPolicy uda_policy() {
  using enum Change;
  constexpr int kLevels = 9;  // magnitudes 1 … 9 of 10
  return {.changes = {{invert}, {cutout, 2, 18, kLevels}, {sharpness, 0.28, 1.72, kLevels}, {auto_contrast}, {posterize, 3.6, 0.4, kLevels},
                      {shear_x, 0.03, 0.27, kLevels, true}, {translate_x, 1, 9, kLevels, true}, {translate_y, 1, 9, kLevels, true},
                      {shear_y, 0.03, 0.27, kLevels, true}, {rotate, 3, 27, kLevels, true}, {equalize}, {contrast, 0.28, 1.72, kLevels},
                      {color, 0.28, 1.72, kLevels}, {solarize, 256 - 25.6, 256 - 230.4, kLevels}, {brightness, 0.28, 1.72, kLevels}},
          .n = 2, .rate = 0.5, .cutout = 16};
}

RandAugmentPolicy fixmatch_policy(int64_t side) {
  using enum Change;
  double third = 0.3 * static_cast<double>(side);
  return {.changes = {{auto_contrast},
                      {brightness, 0.05, 0.95},
                      {color, 0.05, 0.95},
                      {contrast, 0.05, 0.95},
                      {equalize},
                      {identity},
                      {posterize, 4, 8},
                      {rotate, 0, 30, 0, true},
                      {sharpness, 0.05, 0.95},
                      {shear_x, 0, 0.3, 0, true},
                      {shear_y, 0, 0.3, 0, true},
                      {solarize, 0, 256},
                      {translate_x, 0, third, 0, true},
                      {translate_y, 0, third, 0, true}},
          .n = 2,
          .rate = 1,
          .cutout = side / 2};
}

RandAugmentPolicy small_digits_policy() {
  using enum Change;
  return {.changes = {{rotate, 0, 20, 0, true}, {shear_x, 0, 0.2, 0, true}, {shear_y, 0, 0.2, 0, true}, {translate_x, 1, 1, 1, true},
                      {translate_y, 1, 1, 1, true}, {contrast, 0.5, 1.5}, {brightness, 0.7, 1.3}},
          .n = 2, .rate = 1, .cutout = 2};
}

Tensor random_shift(const Tensor& images, int64_t pixels, double rate, Generator& generator) {
  Geometry g = detail::geometry("random_shift", images);
  check_rate("random_shift", rate);
  if (pixels < 0) throw ValueError("random_shift: the distance is " + std::to_string(pixels) + " pixels");
  struct Move {
    int64_t down, right;
  };
  std::vector<Move> moves(static_cast<size_t>(g.batch));
  for (Move& m : moves) {
    auto along = [&] { return static_cast<int64_t>(generator.next_below(static_cast<uint64_t>(2 * pixels + 1))) - pixels; };
    bool moved = generator.next_double() < rate;
    m.down = along();
    m.right = along();
    if (!moved) m = {0, 0};
  }
  return each_image("random_shift", images, [&](int64_t i, const float* from, float* to) {
    auto [down, right] = moves[static_cast<size_t>(i)];
    for (int64_t c = 0; c < g.channels; ++c, from += g.plane())
      for (int64_t y = 0; y < g.height; ++y)
        for (int64_t x = 0; x < g.width; ++x) {
          int64_t row = y - down, column = x - right;
          bool inside = row >= 0 && row < g.height && column >= 0 && column < g.width;
          *to++ = inside ? from[row * g.width + column] : 0;
        }
  });
}

View flip_crop_view(double flip, int64_t padding, PadMode mode) {
  return [=](const Tensor& images, Generator& g) { return random_crop(random_flip(images, g, flip), padding, g, mode); };
}

View shift_view(int64_t pixels, double rate) {
  return [=](const Tensor& images, Generator& g) { return random_shift(images, pixels, rate, g); };
}

View rand_augment_view(RandAugmentPolicy policy, View first) {
  return [policy = std::move(policy), first = std::move(first)](const Tensor& images, Generator& g) {
    return rand_augment(first ? first(images, g) : images, policy, g);
  };
}

View gaussian_view(double sigma) {
  if (!(sigma >= 0)) throw ValueError("gaussian_view: sigma must not be negative, it is " + decimal(sigma));
  return [sigma](const Tensor& images, Generator& g) { return images + sigma * randn(images.shape(), {.generator = &g}); };
}

}  // namespace plumb::augment
