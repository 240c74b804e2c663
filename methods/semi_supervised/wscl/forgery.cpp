// Spliced images.
#include "methods/semi_supervised/wscl/forgery.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>

#include "engine/autograd/grad_mode.h"
#include "engine/core/error.h"
#include "ops/conv.h"
#include "ops/index.h"
#include "ops/join.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/shape.h"
#include "ops/vision.h"

namespace plumb::methods::wscl {
namespace {

constexpr double kQuantum = 0.08, kFaint = 0.4;
constexpr double kKernelLength = 6;  // √Σ k² of [1 2 1; 2 4 2; 1 2 1]: what it makes of the standard deviation of white noise

Tensor kernel() { return tensor({{{{1.0, 2.0, 1.0}, {2.0, 4.0, 2.0}, {1.0, 2.0, 1.0}}}}); }

Tensor smoothed(double sigma, int64_t size, Generator& g) {
  Tensor noise = sigma * randn({1, 1, size + 2, size + 2}, {.generator = &g});
  return reshape(conv2d(noise, kernel() / kKernelLength), {size, size});
}

// How much of the donor each pixel gets: a mask whose border is soft over about four pixels. A sharp one would tell by itself.
Tensor soft_mask(const Tensor& mask) {
  Tensor x = reshape(to(mask, f32), {1, 1, mask.size(0), mask.size(1)});
  for (int k = 0; k < 2; ++k) x = conv2d(x, kernel() / 16.0, {}, {.padding = 1, .padding_mode = PadMode::replicate});
  return reshape(x, mask.shape());
}

using Block = std::array<std::array<double, 8>, 8>;

// Row k: the k-th orthonormal cosine of 8 places.
const Block& cosines() {
  static const Block basis = [] {
    Block b;
    for (size_t k = 0; k < 8; ++k)
      for (size_t x = 0; x < 8; ++x)
        b[k][x] =
            std::sqrt((k == 0 ? 1.0 : 2.0) / 8) * std::cos(std::numbers::pi * (static_cast<double>(x) + 0.5) * static_cast<double>(k) / 8);
    return b;
  }();
  return basis;
}

// Cᵀ round(C block Cᵀ) C.
void quantise(Block& block, double step) {
  const Block& c = cosines();
  auto product = [](const Block& a, bool a_turned, const Block& b, bool b_turned) {
    Block out{};
    for (size_t i = 0; i < 8; ++i)
      for (size_t j = 0; j < 8; ++j)
        for (size_t k = 0; k < 8; ++k) out[i][j] += (a_turned ? a[k][i] : a[i][k]) * (b_turned ? b[j][k] : b[k][j]);
    return out;
  };
  Block spectrum = product(product(c, false, block, false), false, c, true);
  for (auto& row : spectrum)
    for (double& v : row) v = step * std::round(v / step);
  block = product(product(c, true, spectrum, false), false, c, false);
}

// A random picture with noise of a random level, [size, size].
Tensor picture(const Tensor& content, Noise noise, const ForgeryOptions& o, Generator& g) {
  int64_t size = o.size;
  auto which = static_cast<int64_t>(g.next_below(static_cast<uint64_t>(content.size(0))));
  double sigma = o.min_sigma * std::pow(o.max_sigma / o.min_sigma, g.next_double());
  Tensor grey = interpolate(narrow(content, 0, which, 1), {.size = Size2(size), .mode = Interpolation::linear});
  Tensor clean = 0.2 + 0.5 * reshape(grey, {size, size});
  if (noise == Noise::quantised) return quantise_blocks(clean + noise_field(Noise::camera, size, sigma, g), kQuantum);
  return clean + noise_field(noise, size, sigma, g);
}

// A rectangle or ellipse of a share of the image within the options' limits, somewhere inside.
Tensor pasted_part(const ForgeryOptions& o, Generator& g) {
  double side = static_cast<double>(o.size), area = (o.min_area + (o.max_area - o.min_area) * g.next_double()) * side * side;
  bool round = g.next_double() < 0.5;
  double ratio = std::exp(std::log(2.0) * (g.next_double() - 0.5));
  double bounding = round ? area * 4 / std::numbers::pi : area;
  double height = std::min(side, std::sqrt(bounding * ratio)), width = std::min(side, bounding / height);
  double top = (side - height) * g.next_double(), left = (side - width) * g.next_double();
  Tensor mask = zeros({o.size, o.size}, i64);
  for (int64_t y = 0; y < o.size; ++y)
    for (int64_t x = 0; x < o.size; ++x) {
      double v = (static_cast<double>(y) + 0.5 - top) / height, u = (static_cast<double>(x) + 0.5 - left) / width;  // 0 … 1 inside
      bool inside = round ? (u - 0.5) * (u - 0.5) + (v - 0.5) * (v - 0.5) < 0.25 : u >= 0 && u < 1 && v >= 0 && v < 1;
      mask.data<int64_t>()[y * o.size + x] = inside;
    }
  return mask;
}

}  // namespace

Tensor noise_field(Noise noise, int64_t size, double sigma, Generator& g) {
  if (!(sigma >= 0)) throw ValueError(fmt::format("noise_field: the level must not be negative, it is {}", sigma));
  NoGrad no_grad;
  switch (noise) {
    case Noise::camera:
      return smoothed(sigma, size, g);
    case Noise::raw:
      return sigma * randn({size, size}, {.generator = &g});
    case Noise::faint:
      return smoothed(kFaint * sigma, size, g);
    case Noise::enlarged:
      if (size % 2 != 0) throw ValueError(fmt::format("noise_field: enlarged noise of the odd size {}", size));
      return repeat_interleave(repeat_interleave(smoothed(sigma, size / 2, g), 2, 0), 2, 1);
    default:
      throw ValueError("noise_field: quantised pictures have no field of noise");
  }
}

Tensor quantise_blocks(const Tensor& image, double step) {
  if (image.rank() != 2 || image.size(0) % 8 != 0 || image.size(1) % 8 != 0)
    throw ShapeError(fmt::format("quantise_blocks: takes [H, W], multiples of 8, got {}", to_string(image.shape())));
  if (!(step > 0)) throw ValueError(fmt::format("quantise_blocks: the step must be positive, it is {}", step));
  NoGrad no_grad;
  auto pixels = to_vector<float>(image);
  auto width = static_cast<size_t>(image.size(1)), height = static_cast<size_t>(image.size(0));
  for (size_t top = 0; top < height; top += 8)
    for (size_t left = 0; left < width; left += 8) {
      Block block;
      auto at = [&](size_t y, size_t x) -> float& { return pixels[(top + y) * width + left + x]; };
      for (size_t y = 0; y < 8; ++y)
        for (size_t x = 0; x < 8; ++x) block[y][x] = at(y, x);
      quantise(block, step);
      for (size_t y = 0; y < 8; ++y)
        for (size_t x = 0; x < 8; ++x) at(y, x) = static_cast<float>(block[y][x]);
    }
  return from_vector(pixels, image.shape());
}

Forgeries forged(int64_t n, const Tensor& content, const ForgeryOptions& o, Generator& g) {
  if (content.rank() != 4 || content.size(0) < 1 || content.size(1) != 1)
    throw ShapeError(fmt::format("forged: takes grey pictures [m, 1, h, w], got {}", to_string(content.shape())));
  if (!(o.min_area > 0 && o.min_area <= o.max_area && o.max_area < 1))
    throw ValueError(fmt::format("forged: areas from {} to {}", o.min_area, o.max_area));
  if (!(o.min_sigma > 0 && o.min_sigma <= o.max_sigma))
    throw ValueError(fmt::format("forged: levels of noise from {} to {}", o.min_sigma, o.max_sigma));
  if (o.donors.empty()) throw ValueError("forged: no noise to paste from");
  NoGrad no_grad;
  std::vector<Tensor> images, masks;
  std::vector<int64_t> labels;
  for (int64_t i = 0; i < n; ++i) {
    Tensor image = picture(content, Noise::camera, o, g), mask = zeros({o.size, o.size}, i64);
    labels.push_back(g.next_double() < o.tampered);
    if (labels.back()) {
      Noise noise = o.donors[static_cast<size_t>(g.next_below(o.donors.size()))];
      mask = pasted_part(o, g);
      image = lerp(image, picture(content, noise, o, g), soft_mask(mask));
    }
    images.push_back((clamp(image, 0, 1) - 0.25) / 0.25);
    masks.push_back(mask);
  }
  return {contiguous(expand(unsqueeze(stack(images), 1), {n, 3, o.size, o.size})), from_vector(labels), stack(masks)};
}

}  // namespace plumb::methods::wscl
