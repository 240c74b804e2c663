// Noise, turn, shift and exposure: numbers are drawn first, image by image; then the images are made in parallel.
#include "models/augment/radiograph.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "engine/core/error.h"
#include "models/augment/augment.h"
#include "models/augment/internal/images.h"
#include "ops/random.h"

namespace plumb::augment {
namespace {

void check_range(const char* name, double low, double high, double rate) {
  if (!(low >= 0 && low <= high))
    throw ValueError(std::string(name) + ": the range from " + decimal(low) + " to " + decimal(high) + " is not one");
  if (!(rate >= 0 && rate <= 1)) throw ValueError(std::string(name) + ": the rate must lie in [0, 1], it is " + decimal(rate));
}

// An amount for each image, `none` for those that are left as they are.
std::vector<float> amounts(int64_t n, double low, double high, double rate, double none, Generator& generator) {
  std::vector<float> out;
  for (int64_t i = 0; i < n; ++i) {
    double chance = generator.next_double(), at = generator.next_double();
    out.push_back(static_cast<float>(chance < rate ? detail::between(low, high, at) : none));
  }
  return out;
}

}  // namespace

void RadiographOptions::check() const {
  check_range("radiograph_view", noise_low, noise_high, noise_rate);
  check_range("radiograph_view", gamma_low, gamma_high, gamma_rate);
  if (!(gamma_low > 0)) throw ValueError("radiograph_view: gamma must be positive, it starts at " + decimal(gamma_low));
  if (!(degrees >= 0)) throw ValueError("radiograph_view: degrees must not be negative, it is " + decimal(degrees));
  if (padding < 0) throw ValueError("radiograph_view: padding must not be negative, it is " + std::to_string(padding));
}

Tensor random_gamma(const Tensor& images, double low, double high, double rate, Generator& generator) {
  detail::Geometry g = detail::geometry("random_gamma", images);
  check_range("random_gamma", low, high, rate);
  if (!(low > 0)) throw ValueError("random_gamma: gamma must be positive, it starts at " + decimal(low));
  auto gamma = amounts(g.batch, low, high, rate, 1, generator);
  return detail::each_image("random_gamma", images, [&](int64_t i, const float* from, float* to) {
    float power = gamma[static_cast<size_t>(i)];
    for (int64_t k = 0; k < g.image(); ++k) to[k] = power == 1 ? from[k] : std::pow(std::clamp(from[k], 0.0f, 1.0f), power);
  });
}

Tensor random_noise(const Tensor& images, double low, double high, double rate, Generator& generator) {
  detail::Geometry g = detail::geometry("random_noise", images);
  check_range("random_noise", low, high, rate);
  auto sigma = amounts(g.batch, low, high, rate, 0, generator);
  Tensor noise = randn(images.shape(), {.generator = &generator});
  const float* epsilon = noise.data<float>();
  return detail::each_image("random_noise", images, [&](int64_t i, const float* from, float* to) {
    float s = sigma[static_cast<size_t>(i)];
    const float* own = epsilon + i * g.image();
    for (int64_t k = 0; k < g.image(); ++k) to[k] = s == 0 ? from[k] : std::clamp(from[k] + s * own[k], 0.0f, 1.0f);
  });
}

View radiograph_view(const RadiographOptions& options) {
  options.check();
  return [o = options](const Tensor& images, Generator& g) {
    Tensor x = random_noise(images, o.noise_low, o.noise_high, o.noise_rate, g);
    x = random_affine(x, {.degrees = o.degrees}, g);
    x = random_crop(x, o.padding, g);
    return random_gamma(x, o.gamma_low, o.gamma_high, o.gamma_rate, g);
  };
}

}  // namespace plumb::augment
