// How far what the device computed lies from what the CPU computes in f64.
#pragma once
#include <algorithm>
#include <cmath>
#include <functional>
#include <string>
#include <vector>

#include "engine/autograd/backward.h"
#include "engine/core/generator.h"
#include "ops/shape.h"
#include "tests/cuda/on_device.h"

namespace plumb::testing {

/// Normal-looking numbers in about [−2, 2], rounded to `t`.
inline Tensor noise(const Shape& shape, DType t, uint64_t seed) {
  Generator generator(seed);
  std::vector<double> values(static_cast<size_t>(numel(shape)));
  for (double& v : values) v = generator.next_double() + generator.next_double() + generator.next_double() + generator.next_double() - 2;
  return to(from_vector(values, shape), t);
}

/// Distance of 1 from the next number of the type.
inline double epsilon(DType t) { return t == f64 ? 0x1p-52 : t == f32 ? 0x1p-23 : t == f16 ? 0x1p-10 : 0x1p-7; }

/// The largest difference, in units of the largest expected value (of 1, if all are smaller); infinite if one side has a NaN alone.
inline double distance(const Tensor& got, const Tensor& expected) {
  if (got.shape() != expected.shape()) return std::numeric_limits<double>::infinity();
  std::vector<double> a = to_vector(to_cpu(got)), b = to_vector(to_cpu(expected));
  double most = 0, scale = 1;
  for (size_t i = 0; i < a.size(); ++i) {
    if (std::isnan(a[i]) != std::isnan(b[i])) return std::numeric_limits<double>::infinity();
    if (std::isnan(a[i]) || a[i] == b[i]) continue;
    most = std::max(most, std::abs(a[i] - b[i]));
    scale = std::max(scale, std::abs(b[i]));
  }
  return most / scale;
}

using Function = std::function<std::vector<Tensor>(const std::vector<Tensor>&)>;

/// The results of f and the gradients of floating inputs for gradients of the results that look like noise: on `device`, in `type`.
inline std::vector<Tensor> results_and_gradients(const Function& f, const std::vector<Tensor>& inputs, Device device, DType type) {
  std::vector<Tensor> x, wanted, upstream;
  for (const Tensor& t : inputs) {
    x.push_back(on(is_floating(t.dtype()) ? to(t, type) : t, device));
    if (is_floating(t.dtype())) wanted.push_back(x.back().requires_grad_());
  }
  std::vector<Tensor> y = f(x), all;
  std::vector<Tensor> differentiable;
  for (const Tensor& t : y) {
    all.push_back(t.detach());
    if (!t.requires_grad()) continue;
    differentiable.push_back(t);
    upstream.push_back(on(to(noise(t.shape(), bf16, 77 + upstream.size()), t.dtype()), device));
  }
  for (const Tensor& g : grad(differentiable, wanted, {.allow_unused = true}, upstream))
    all.push_back(g.defined() ? g : zeros({}, type, device));
  return all;
}

/// The largest distance of results and gradients on the device in `type` from those on the CPU in f64, inputs rounded to `type` for both.
inline double distance_from_cpu(const Function& f, const std::vector<Tensor>& inputs, DType type) {
  std::vector<Tensor> rounded;
  for (const Tensor& t : inputs) rounded.push_back(is_floating(t.dtype()) ? to(t, type) : t);
  std::vector<Tensor> got = results_and_gradients(f, rounded, kGpu, type), expected = results_and_gradients(f, rounded, cpu, f64);
  double most = 0;
  for (size_t i = 0; i < got.size(); ++i) most = std::max(most, distance(got[i], expected[i]));
  return most;
}

/// Whether f gives the same bits on the device when it runs again.
inline bool repeats(const Function& f, const std::vector<Tensor>& inputs, DType type) {
  std::vector<Tensor> first = results_and_gradients(f, inputs, kGpu, type), second = results_and_gradients(f, inputs, kGpu, type);
  for (size_t i = 0; i < first.size(); ++i)
    if (!same(to_cpu(first[i]), to_cpu(second[i]))) return false;
  return true;
}

}  // namespace plumb::testing
