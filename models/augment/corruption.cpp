// Noise, weather and storage, and the table of severities; blurs are in corruption_blur.cpp.
#include "models/augment/corruption.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "engine/core/error.h"
#include "engine/data/internal/portable_math.h"
#include "engine/io/image.h"
#include "models/augment/internal/images.h"
#include "ops/pointwise.h"
#include "ops/random.h"

namespace plumb::augment {
namespace {

using detail::each_image;
using detail::Geometry;
using detail::require;

Tensor clipped(const Tensor& x) { return clamp(x.detach(), 0, 1); }

// A Poisson number: by multiplication for small means (Knuth), by the rounded normal with the correction for skewness for large ones.
double poisson_number(double mean, Generator& g) {
  if (mean < 30) {
    double limit = std::exp(-mean), product = g.next_double(), count = 0;
    for (; product > limit; ++count) product *= g.next_double();
    return count;
  }
  double z = data::normal(g);
  return std::max(0.0, std::floor(mean + std::sqrt(mean) * z + (z * z - 1) / 6 + 0.5));
}

// Each image has a generator of its own, so that images can be made in parallel.
std::vector<Generator> own_generators(int64_t n, Generator& generator) {
  std::vector<Generator> out;
  for (int64_t i = 0; i < n; ++i) out.emplace_back(generator.next_u64());
  return out;
}

// The diamond-square fractal on a side of a power of two, wrapping around, brought to [0, 1].
std::vector<double> plasma(int64_t side, double decay, Generator& g) {
  std::vector<double> map(static_cast<size_t>(side * side));
  auto at = [&](int64_t y, int64_t x) -> double& { return map[static_cast<size_t>(((y + side) % side) * side + (x + side) % side)]; };
  double wobble = 1;
  for (int64_t step = side; step >= 2; step /= 2, wobble /= decay) {
    int64_t half = step / 2;
    auto moved = [&](double mean) { return mean + wobble * (2 * g.next_double() - 1); };
    for (int64_t y = 0; y < side; y += step)
      for (int64_t x = 0; x < side; x += step)
        at(y + half, x + half) = moved((at(y, x) + at(y + step, x) + at(y, x + step) + at(y + step, x + step)) / 4);
    for (int64_t y = 0; y < side; y += half)
      for (int64_t x = y / half % 2 == 0 ? half : 0; x < side; x += step)
        at(y, x) = moved((at(y - half, x) + at(y + half, x) + at(y, x - half) + at(y, x + half)) / 4);
  }
  auto [low, high] = std::ranges::minmax(map);
  for (double& v : map) v = (v - low) / std::max(high - low, 1e-12);
  return map;
}

}  // namespace

Tensor gaussian_noise(const Tensor& images, double sigma, Generator& generator) {
  detail::geometry("gaussian_noise", images);
  require(sigma >= 0, "gaussian_noise", "sigma", "not be negative", sigma);
  return clipped(images + sigma * randn(images.shape(), {.generator = &generator}));
}

Tensor speckle_noise(const Tensor& images, double sigma, Generator& generator) {
  detail::geometry("speckle_noise", images);
  require(sigma >= 0, "speckle_noise", "sigma", "not be negative", sigma);
  return clipped(images + sigma * images * randn(images.shape(), {.generator = &generator}));
}

Tensor shot_noise(const Tensor& images, double photons, Generator& generator) {
  Geometry g = detail::geometry("shot_noise", images);
  require(photons > 0, "shot_noise", "the number of photons", "be positive", photons);
  auto own = own_generators(g.batch, generator);
  return each_image("shot_noise", images, [&](int64_t i, const float* from, float* to) {
    for (int64_t k = 0; k < g.image(); ++k) {
      double counted = poisson_number(std::max(0.0, static_cast<double>(from[k])) * photons, own[static_cast<size_t>(i)]);
      to[k] = static_cast<float>(std::min(1.0, counted / photons));
    }
  });
}

Tensor impulse_noise(const Tensor& images, double share, Generator& generator) {
  Geometry g = detail::geometry("impulse_noise", images);
  require(share >= 0 && share <= 1, "impulse_noise", "the share", "lie in [0, 1]", share);
  auto own = own_generators(g.batch, generator);
  return each_image("impulse_noise", images, [&](int64_t i, const float* from, float* to) {
    for (int64_t k = 0; k < g.image(); ++k) {
      double u = own[static_cast<size_t>(i)].next_double();
      to[k] = u < share / 2 ? 0.0f : u < share ? 1.0f : from[k];
    }
  });
}

Tensor brighten(const Tensor& images, double amount) {
  detail::geometry("brighten", images);
  return clipped(images + amount);
}

Tensor reduce_contrast(const Tensor& images, double factor) {
  Geometry g = detail::geometry("reduce_contrast", images);
  require(factor >= 0, "reduce_contrast", "the factor", "not be negative", factor);
  return each_image("reduce_contrast", images, [&](int64_t, const float* from, float* to) {
    for (int64_t c = 0; c < g.channels; ++c, from += g.plane(), to += g.plane()) {
      double sum = 0;
      for (int64_t p = 0; p < g.plane(); ++p) sum += static_cast<double>(from[p]);
      double mean = sum / static_cast<double>(g.plane());
      for (int64_t p = 0; p < g.plane(); ++p)
        to[p] = static_cast<float>(std::clamp(mean + factor * (static_cast<double>(from[p]) - mean), 0.0, 1.0));
    }
  });
}

Tensor fog(const Tensor& images, double amount, double decay, Generator& generator) {
  Geometry g = detail::geometry("fog", images);
  require(amount >= 0, "fog", "the amount", "not be negative", amount);
  require(decay > 0, "fog", "the decay", "be positive", decay);
  int64_t side = 2;
  while (side < std::max(g.height, g.width)) side *= 2;
  auto own = own_generators(g.batch, generator);
  return each_image("fog", images, [&](int64_t i, const float* from, float* to) {
    auto map = plasma(side, decay, own[static_cast<size_t>(i)]);
    auto brightest = static_cast<double>(*std::max_element(from, from + g.image()));
    double scale = brightest > 0 ? brightest / (brightest + amount) : 0;
    for (int64_t c = 0; c < g.channels; ++c)
      for (int64_t y = 0; y < g.height; ++y)
        for (int64_t x = 0; x < g.width; ++x)
          *to++ = static_cast<float>(
              std::clamp((static_cast<double>(*from++) + amount * map[static_cast<size_t>(y * side + x)]) * scale, 0.0, 1.0));
  });
}

Tensor pixelate(const Tensor& images, int64_t block) {
  Geometry g = detail::geometry("pixelate", images);
  require(block >= 1, "pixelate", "the block's side", "be at least 1", static_cast<double>(block));
  return each_image("pixelate", images, [&](int64_t, const float* from, float* to) {
    for (int64_t c = 0; c < g.channels; ++c, from += g.plane(), to += g.plane())
      for (int64_t top = 0; top < g.height; top += block)
        for (int64_t left = 0; left < g.width; left += block) {
          int64_t bottom = std::min(g.height, top + block), right = std::min(g.width, left + block);
          double sum = 0;
          for (int64_t y = top; y < bottom; ++y)
            for (int64_t x = left; x < right; ++x) sum += static_cast<double>(from[y * g.width + x]);
          auto mean = static_cast<float>(sum / static_cast<double>((bottom - top) * (right - left)));
          for (int64_t y = top; y < bottom; ++y) std::fill(to + y * g.width + left, to + y * g.width + right, mean);
        }
  });
}

Tensor jpeg_compression(const Tensor& images, int quality) {
  Geometry g = detail::geometry("jpeg_compression", images);
  require(quality >= 1 && quality <= 100, "jpeg_compression", "the quality", "lie in [1, 100]", quality);
  if (g.channels != 1 && g.channels != 3)
    throw ShapeError("jpeg_compression: takes one or three channels, got " + to_string(images.shape()));
  return each_image("jpeg_compression", images, [&](int64_t, const float* from, float* to) {
    Tensor bytes = empty({g.height, g.width, g.channels}, u8);
    auto* written = bytes.data<uint8_t>();
    for (int64_t c = 0; c < g.channels; ++c)
      for (int64_t p = 0; p < g.plane(); ++p)
        written[p * g.channels + c] = static_cast<uint8_t>(std::lround(std::clamp(from[c * g.plane() + p], 0.0f, 1.0f) * 255));
    Tensor read = decode_jpeg(encode_jpeg(bytes, quality), "memory");
    for (int64_t c = 0; c < g.channels; ++c)
      for (int64_t p = 0; p < g.plane(); ++p) to[c * g.plane() + p] = static_cast<float>(read.data<uint8_t>()[p * g.channels + c]) / 255;
  });
}

namespace {

const std::vector<std::string>& names() {
  static const std::vector<std::string> all{"gaussian_noise", "shot_noise",  "impulse_noise", "speckle_noise", "gaussian_blur",
                                            "defocus_blur",   "motion_blur", "zoom_blur",     "fog",           "brightness",
                                            "contrast",       "elastic",     "pixelate",      "jpeg"};
  return all;
}

}  // namespace

const std::vector<Corruption>& all_corruptions() {
  static const std::vector<Corruption> all = [] {
    std::vector<Corruption> made;
    for (size_t i = 0; i < names().size(); ++i) made.push_back(static_cast<Corruption>(i));
    return made;
  }();
  return all;
}

const std::string& name(Corruption corruption) { return names()[static_cast<size_t>(corruption)]; }

Corruption corruption_named(const std::string& name) {
  std::string known;
  for (Corruption c : all_corruptions()) {
    if (augment::name(c) == name) return c;
    known += (known.empty() ? "" : ", ") + augment::name(c);
  }
  throw ValueError("corruption: there is no \"" + name + "\"; there are " + known);
}

Tensor corrupt(const Tensor& images, Corruption corruption, int severity, Generator& generator) {
  Geometry g = detail::geometry("corrupt", images);
  require(severity >= 1 && severity <= 5, "corrupt", "the severity", "lie in [1, 5]", severity);
  double scale = static_cast<double>(std::min(g.height, g.width)) / 32;
  auto at = [&](std::array<double, 5> table) { return table[static_cast<size_t>(severity - 1)]; };
  switch (corruption) {
    case Corruption::gaussian_noise: return gaussian_noise(images, at({0.04, 0.06, 0.08, 0.09, 0.10}), generator);
    case Corruption::shot_noise: return shot_noise(images, at({500, 250, 100, 75, 50}), generator);
    case Corruption::impulse_noise: return impulse_noise(images, at({0.01, 0.02, 0.03, 0.05, 0.07}), generator);
    case Corruption::speckle_noise: return speckle_noise(images, at({0.06, 0.1, 0.12, 0.16, 0.2}), generator);
    case Corruption::gaussian_blur: return gaussian_blur(images, 0.2 + scale * at({0.2, 0.4, 0.5, 0.6, 0.8}));
    case Corruption::defocus_blur: return defocus_blur(images, 0.5 + scale * at({0.3, 0.6, 0.9, 1.3, 1.8}));
    case Corruption::motion_blur: return motion_blur(images, 1 + scale * at({2, 3, 4, 5, 6}), generator);
    case Corruption::zoom_blur: return zoom_blur(images, at({1.06, 1.11, 1.16, 1.21, 1.26}), 0.01);
    case Corruption::fog: return fog(images, at({0.2, 0.5, 0.75, 1.0, 1.5}), at({3, 3, 2.5, 2, 1.75}), generator);
    case Corruption::brightness: return brighten(images, at({0.05, 0.1, 0.15, 0.2, 0.3}));
    case Corruption::contrast: return reduce_contrast(images, at({0.75, 0.5, 0.4, 0.3, 0.15}));
    case Corruption::elastic: return elastic(images, scale * at({0.4, 0.7, 1.0, 1.4, 1.8}), scale * 3, generator);
    case Corruption::pixelate: return pixelate(images, std::max<int64_t>(2, std::llround(scale * at({2, 2, 3, 3, 4}))));
    default: return jpeg_compression(images, static_cast<int>(at({80, 65, 58, 50, 40})));
  }
}

}  // namespace plumb::augment
