// Rewards computed on the host.
#include "methods/common/image_rewards.h"

#include <algorithm>
#include <cmath>

#include "engine/io/image.h"
#include "ops/elementary.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb::methods {
namespace {

void check_images(const char* op, const Tensor& x) {
  if (x.rank() != 4 || x.size(2) < 2 || x.size(3) < 2)
    throw ShapeError(std::string(op) + ": takes images [B, C, H, W] of at least 2 x 2 pixels, got " + to_string(x.shape()));
}

Tensor slopes(const Tensor& x, int dim) {
  int64_t n = x.size(dim) - 1;
  return mean(flatten(abs(narrow(x, dim, 1, n) - narrow(x, dim, 0, n)), 1), {1});
}

}  // namespace

std::vector<double> total_variation(const Tensor& images) {
  check_images("total_variation", images);
  Tensor x = to(images.detach(), f64);
  return to_vector(slopes(x, 3) + slopes(x, 2));
}

std::vector<double> png_bytes(const Tensor& images) {
  check_images("png_bytes", images);
  Tensor bytes = to(round(clamp(images.detach(), 0, 1) * 255), DType::u8);
  std::vector<double> sizes;
  for (int64_t i = 0; i < bytes.size(0); ++i)
    sizes.push_back(static_cast<double>(encode_png(contiguous(permute(select(bytes, 0, i), {1, 2, 0}))).size()));
  return sizes;
}

std::vector<double> run_share(const Tensor& images) {
  check_images("run_share", images);
  int64_t batch = images.size(0), width = images.size(3);
  std::vector<double> pixels = to_vector(clamp(images.detach(), 0, 1)), shares;
  size_t each = pixels.size() / static_cast<size_t>(std::max<int64_t>(batch, 1));
  auto level = [&](size_t i) { return std::floor(std::min(pixels[i] * 16, 15.0)); };
  for (size_t b = 0; b < static_cast<size_t>(batch); ++b) {
    double runs = 0;
    for (size_t i = b * each; i < (b + 1) * each; ++i) runs += (i - b * each) % static_cast<size_t>(width) == 0 || level(i) != level(i - 1);
    shares.push_back(runs / static_cast<double>(each));
  }
  return shares;
}

Reward scaled(std::vector<double> (*measure)(const Tensor&), double scale) {
  return [measure, scale](const Tensor& images, const Tensor&) {
    std::vector<double> values = measure(images);
    for (double& v : values) v *= scale;
    return values;
  };
}

}  // namespace plumb::methods
