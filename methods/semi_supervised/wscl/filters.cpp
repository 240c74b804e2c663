// Noise residuals and constrained convolutions.
#include "methods/semi_supervised/wscl/filters.h"

#include <fmt/format.h>

#include <cmath>

#include "engine/autograd/grad_mode.h"
#include "engine/core/error.h"
#include "ops/conv.h"
#include "ops/join.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/shape.h"

namespace plumb::methods::wscl {

Tensor srm_kernel(int k) {
  if (k == 0)
    return tensor({{0.0, 0.0, 0.0, 0.0, 0.0},
                   {0.0, -1.0, 2.0, -1.0, 0.0},
                   {0.0, 2.0, -4.0, 2.0, 0.0},
                   {0.0, -1.0, 2.0, -1.0, 0.0},
                   {0.0, 0.0, 0.0, 0.0, 0.0}}) /
           4.0;
  if (k == 1)
    return tensor({{-1.0, 2.0, -2.0, 2.0, -1.0},
                   {2.0, -6.0, 8.0, -6.0, 2.0},
                   {-2.0, 8.0, -12.0, 8.0, -2.0},
                   {2.0, -6.0, 8.0, -6.0, 2.0},
                   {-1.0, 2.0, -2.0, 2.0, -1.0}}) /
           12.0;
  if (k != 2) throw IndexError(fmt::format("srm_kernel: kernel {} is outside [0, 3)", k));
  return tensor({{0.0, 0.0, 0.0, 0.0, 0.0},
                 {0.0, 0.0, 0.0, 0.0, 0.0},
                 {0.0, 1.0, -2.0, 1.0, 0.0},
                 {0.0, 0.0, 0.0, 0.0, 0.0},
                 {0.0, 0.0, 0.0, 0.0, 0.0}}) /
         2.0;
}

SrmFilter::SrmFilter(double clip) : clip_(clip) {
  if (!(clip > 0)) throw ValueError(fmt::format("srm_filter: the clip must be positive, it is {}", clip));
  std::vector<Tensor> kernels;
  for (int k = 0; k < 3; ++k) kernels.push_back(contiguous(expand(unsqueeze(srm_kernel(k), 0), {3, 5, 5})));
  register_buffer("weight", weight, stack(kernels), false);
}

Tensor SrmFilter::operator()(const Tensor& x) const { return clamp(conv2d(x, weight, {}, {.padding = 2}), -clip_, clip_); }

static Tensor first_weights(int64_t in, int64_t out, int64_t size) {
  if (in < 1 || out < 1 || size < 3 || size % 2 == 0)
    throw ValueError(fmt::format("bayar_conv: {} to {} channels by kernels of {}; takes odd kernels from 3 on", in, out, size));
  return rand({out, in, size * size - 1});
}

BayarConv::BayarConv(int64_t in, int64_t out, int64_t size)
    : off_centre(this, "off_centre", first_weights(in, out, size)), in_(in), out_(out), size_(size) {}

void BayarConv::project() const {
  NoGrad no_grad;
  auto weights = to_vector<double>(off_centre);
  auto count = static_cast<size_t>(size_ * size_ - 1);
  bool changed = false;
  for (size_t k = 0; k < weights.size(); k += count) {
    double total = 0;
    for (size_t i = 0; i < count; ++i) total += weights[k + i];
    if (std::abs(total) < 1e-6 || std::abs(total - 1) < 1e-6) continue;
    for (size_t i = 0; i < count; ++i) weights[k + i] /= total;
    changed = true;
  }
  if (!changed) return;  // so that a graph that holds the weights stays valid
  Tensor target = off_centre;
  copy_(target, plumb::to(from_vector(weights, off_centre.shape()), off_centre.dtype()));
}

Tensor BayarConv::kernels() const {
  project();
  int64_t before = (size_ * size_ - 1) / 2;
  Tensor centre = full({out_, in_, 1}, -1.0, off_centre.dtype(), off_centre.device());
  return reshape(cat({narrow(off_centre, 2, 0, before), centre, narrow(off_centre, 2, before, before)}, 2), {out_, in_, size_, size_});
}

Tensor BayarConv::operator()(const Tensor& x) const { return conv2d(x, kernels(), {}, {.padding = size_ / 2}); }

}  // namespace plumb::methods::wscl
