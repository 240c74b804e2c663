// The forward model of parallel imaging and data consistency.
#include "methods/vision/cirim/mri.h"

#include <algorithm>
#include <cmath>

#include "engine/core/error.h"
#include "ops/complex.h"
#include "ops/elementary.h"
#include "ops/fft.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb::methods::cirim {

MriOperator::MriOperator(const Tensor& maps, const Tensor& mask) : maps_(maps), mask_(mask) {
  if (maps_.rank() == 4) maps_ = unsqueeze(maps_, 0);
  if (mask_.rank() == 2) mask_ = unsqueeze(mask_, 0);
  if (maps_.rank() != 5 || maps_.size(-1) != 2)
    throw ShapeError("mri: coil maps must be [B, C, H, W, 2] or [C, H, W, 2], they are " + to_string(maps.shape()));
  bool fits = mask_.rank() == 3 && mask_.size(1) == maps_.size(2) && mask_.size(2) == maps_.size(3) &&
              (mask_.size(0) == maps_.size(0) || mask_.size(0) == 1 || maps_.size(0) == 1);
  if (!fits) throw ShapeError("mri: the mask " + to_string(mask.shape()) + " does not fit the coil maps " + to_string(maps.shape()));
  mask_ = unsqueeze(unsqueeze(to(mask_, maps_.dtype()), 1), -1);
  std::vector<double> sampled = to_vector(sum(mask_, {1, 2, 3, 4}));
  if (std::any_of(sampled.begin(), sampled.end(), [](double n) { return n == 0; })) throw ValueError("mri: the mask samples nothing");
}

void MriOperator::check_image(const Tensor& x) const {
  if (x.rank() != 4 || x.size(1) != maps_.size(2) || x.size(2) != maps_.size(3) || x.size(3) != 2)
    throw ShapeError("mri: images " + to_string(x.shape()) + " do not fit the coil maps " + to_string(maps_.shape()));
}

void MriOperator::check_k(const Tensor& k) const {
  if (k.rank() != 5 || k.shape().slice(1, 5) != maps_.shape().slice(1, 5))
    throw ShapeError("mri: k-space " + to_string(k.shape()) + " does not fit the coil maps " + to_string(maps_.shape()));
}

Tensor MriOperator::spectrum(const Tensor& image) const {
  check_image(image);
  return fft2(complex_mul(maps_, unsqueeze(image, 1)));
}

Tensor MriOperator::forward(const Tensor& image) const { return spectrum(image) * mask_; }

Tensor MriOperator::combine(const Tensor& k) const {
  check_k(k);
  return sum(complex_mul_conj(ifft2(k), maps_), {1});
}

Tensor MriOperator::adjoint(const Tensor& k) const {
  check_k(k);
  return combine(k * mask_);
}

Tensor MriOperator::likelihood_gradient(const Tensor& image, const Tensor& y, double sigma) const {
  check_k(y);
  Tensor g = combine((spectrum(image) - y) * mask_);
  return sigma == 1 ? g : g / (sigma * sigma);
}

std::string MriOperator::warning() const {
  Tensor power = sum(square(maps_), {1, 4});
  double low = min(power).item(), high = max(power).item();
  if (low > 1 - 1e-3 && high < 1 + 1e-3) return "";
  return "mri: coil maps are not normalised: the sum of their squares lies between " + decimal(low) + " and " +
         decimal(high) + ", not at 1";
}

Tensor soft_dc(const Tensor& k, const Tensor& y, const Tensor& mask, const Tensor& w) { return k - w * mask * (k - y); }
Tensor hard_dc(const Tensor& k, const Tensor& y, const Tensor& mask) { return mask * y + (1.0 - mask) * k; }
Tensor released_dc(const Tensor& k_in, const Tensor& spectrum, const Tensor& y, const Tensor& mask, const Tensor& w) {
  return y - w * mask * (k_in - y) - spectrum;
}

}  // namespace plumb::methods::cirim
