// PSNR, SSIM and normalised error, in operations.
#include "models/metrics/image_quality.h"

#include <cmath>
#include <string>

#include "engine/autograd/autocast.h"
#include "ops/conv.h"
#include "ops/elementary.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb::metrics {
namespace {

void check(const char* op, const Tensor& a, const Tensor& b, double range) {
  if (a.shape() != b.shape() || (a.rank() != 4 && a.rank() != 2))
    throw ShapeError(std::string(op) + ": takes two sets of images [B, C, H, W] or [H, W], got " + to_string(a.shape()) + " and " +
                     to_string(b.shape()));
  if (!(range > 0)) throw ValueError(std::string(op) + ": the range must be positive, it is " + decimal(range));
}

Tensor wide(const Tensor& x) { return to(x, is_floating(x.dtype()) ? compute_dtype(x.dtype()) : f32); }

// All dimensions of one image.
std::vector<int> within_image(const Tensor& x) { return x.rank() == 4 ? std::vector<int>{1, 2, 3} : std::vector<int>{0, 1}; }

Tensor squared_error(const Tensor& a, const Tensor& b) { return square(wide(a) - wide(b)); }

// Weights [1, 1, n, n] that sum to 1.
Tensor window_weights(const SsimOptions& o, DType dtype) {
  std::vector<double> line, weights;
  double total = 0;
  for (int64_t i = 0; i < o.window; ++i) {
    double x = static_cast<double>(i - o.window / 2);
    line.push_back(o.sigma > 0 ? std::exp(-x * x / (2 * o.sigma * o.sigma)) : 1);
    total += line.back();
  }
  for (double r : line)
    for (double c : line) weights.push_back(r * c / (total * total));
  return to(from_vector(weights, {1, 1, o.window, o.window}), dtype);
}

}  // namespace

Tensor psnr(const Tensor& a, const Tensor& b, double range) {
  check("psnr", a, b, range);
  return (log(mean(squared_error(a, b), within_image(a))) - 2 * std::log(range)) * (-10 / std::log(10.0));
}

Tensor nmse(const Tensor& a, const Tensor& b) {
  check("nmse", a, b, 1);
  return sum(squared_error(a, b), within_image(a)) / sum(square(wide(b)), within_image(a));
}

Tensor ssim(const Tensor& a, const Tensor& b, const SsimOptions& o) {
  check("ssim", a, b, o.range);
  if (o.window < 1 || o.window % 2 == 0) throw ValueError("ssim: the window must be odd, it is " + std::to_string(o.window));
  if (a.size(-1) < o.window || a.size(-2) < o.window)
    throw ShapeError("ssim: images " + to_string(a.shape()) + " are smaller than the window of " + std::to_string(o.window));
  Autocast exact(f32);  // variances are small differences of means
  Tensor x = reshape(wide(a), {-1, 1, a.size(-2), a.size(-1)}), y = reshape(wide(b), {-1, 1, a.size(-2), a.size(-1)});
  Tensor weights = window_weights(o, x.dtype());
  auto local = [&](const Tensor& v) { return conv2d(v, weights); };
  double n = static_cast<double>(o.window * o.window), unbiased = o.sigma > 0 || o.window == 1 ? 1 : n / (n - 1);
  double c1 = o.k1 * o.range * o.k1 * o.range, c2 = o.k2 * o.range * o.k2 * o.range;
  Tensor mx = local(x), my = local(y);
  Tensor vx = (local(square(x)) - square(mx)) * unbiased, vy = (local(square(y)) - square(my)) * unbiased,
         vxy = (local(x * y) - mx * my) * unbiased;
  Tensor index = (mx * my * 2 + c1) * (vxy * 2 + c2) / ((square(mx) + square(my) + c1) * (vx + vy + c2));
  return a.rank() == 4 ? mean(reshape(index, {a.size(0), -1}), {1}) : mean(index);
}

}  // namespace plumb::metrics
