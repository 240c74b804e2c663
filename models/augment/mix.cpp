// Mixing images and labels of two examples.
#include "models/augment/augment.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "engine/core/error.h"
#include "models/augment/internal/images.h"
#include "ops/distributions.h"
#include "ops/shape.h"

namespace plumb::augment {
namespace {

using detail::Geometry;

std::vector<int64_t> partners(int64_t n, Generator& generator) {
  std::vector<int64_t> order(static_cast<size_t>(n));
  for (size_t i = 0; i < order.size(); ++i) order[i] = static_cast<int64_t>(i);
  for (size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[generator.next_below(i)]);
  return order;
}

void check(const char* name, const Tensor& images, const Tensor& labels, int64_t classes, double alpha) {
  Geometry g = detail::geometry(name, images);
  if (!(alpha > 0)) throw ValueError(std::string(name) + ": alpha must be positive, it is " + decimal(alpha));
  if (labels.dtype() != i64 || labels.rank() != 1 || labels.size(0) != g.batch)
    throw ShapeError(std::string(name) + ": labels must be i64 [" + std::to_string(g.batch) + "], got " + to_string(labels.shape()));
  Tensor dense = contiguous_data(to(labels, cpu));
  for (int64_t i = 0; i < g.batch; ++i)
    if (int64_t l = dense.data<int64_t>()[i]; l < 0 || l >= classes)
      throw IndexError(std::string(name) + ": label " + std::to_string(l) + " is outside [0, " + std::to_string(classes) + ")");
}

Tensor mixed_targets(const Tensor& labels, const std::vector<int64_t>& partner, int64_t classes, double share) {
  Tensor target = zeros({labels.size(0), classes}), dense = contiguous_data(to(labels, cpu));
  const int64_t* label = dense.data<int64_t>();
  for (int64_t i = 0; i < labels.size(0); ++i) {
    float* row = target.data<float>() + i * classes;
    row[label[i]] += static_cast<float>(share);
    row[label[partner[static_cast<size_t>(i)]]] += static_cast<float>(1 - share);
  }
  return target;
}

}  // namespace

double beta_number(double alpha, double beta, Generator& generator) {
  return plumb::beta(Shape{}, alpha, beta, {.dtype = f64, .generator = &generator}).item<double>();
}

CutBox cut_box(int64_t height, int64_t width, double lambda, Generator& generator) {
  if (!(lambda >= 0 && lambda <= 1)) throw ValueError("cut_box: lambda must lie in [0, 1], it is " + decimal(lambda));
  double side = std::sqrt(1 - lambda);
  auto range = [&](int64_t size) {
    auto middle = static_cast<int64_t>(generator.next_below(static_cast<uint64_t>(size))),
         half = static_cast<int64_t>(side * static_cast<double>(size) / 2);
    return std::pair{std::max<int64_t>(0, middle - half), std::min(size, middle + half)};
  };
  auto [top, bottom] = range(height);
  auto [left, right] = range(width);
  return {top, bottom, left, right};
}

Mixed mixup(const Tensor& images, const Tensor& labels, int64_t classes, double alpha, Generator& generator) {
  check("mixup", images, labels, classes, alpha);
  Geometry g = detail::geometry("mixup", images);
  double share = beta_number(alpha, alpha, generator);
  std::vector<int64_t> partner = partners(g.batch, generator);
  Tensor dense = contiguous_data(images);
  const float* all = dense.data<float>();
  auto own = static_cast<float>(share), other = static_cast<float>(1 - share);
  Tensor mixed = detail::each_image("mixup", images, [&](int64_t i, const float* from, float* to) {
    const float* second = all + partner[static_cast<size_t>(i)] * g.image();
    for (int64_t k = 0; k < g.image(); ++k) to[k] = own * from[k] + other * second[k];
  });
  return {mixed, mixed_targets(labels, partner, classes, share)};
}

Mixed cutmix(const Tensor& images, const Tensor& labels, int64_t classes, double alpha, Generator& generator) {
  check("cutmix", images, labels, classes, alpha);
  Geometry g = detail::geometry("cutmix", images);
  CutBox box = cut_box(g.height, g.width, beta_number(alpha, alpha, generator), generator);
  std::vector<int64_t> partner = partners(g.batch, generator);
  Tensor dense = contiguous_data(images);
  const float* all = dense.data<float>();
  Tensor mixed = detail::each_image("cutmix", images, [&](int64_t i, const float* from, float* to) {
    const float* second = all + partner[static_cast<size_t>(i)] * g.image();
    std::copy(from, from + g.image(), to);
    for (int64_t c = 0; c < g.channels; ++c)
      for (int64_t y = box.top; y < box.bottom; ++y) {
        int64_t row = c * g.plane() + y * g.width;
        std::copy(second + row + box.left, second + row + box.right, to + row + box.left);
      }
  });
  double pasted = static_cast<double>(box.area()) / static_cast<double>(g.plane());
  return {mixed, mixed_targets(labels, partner, classes, 1 - pasted)};
}

}  // namespace plumb::augment
