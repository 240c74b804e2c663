// The optimiser over the parameters of a small transformer, tensors of many sizes at once. AdamW reads parameter, gradient and two moments
// and writes three of them; ops/optim_functions.h has its 16 operations.
#include <cmath>

#include "bench/gpu.h"
#include "bench/suite.h"
#include "engine/core/parallel.h"
#include "models/optim/adam.h"
#include "models/optim/parameters.h"
#include "ops/create.h"

using namespace plumb;
using namespace plumb::bench;

namespace {

std::vector<Shape> shapes() {
  int64_t width = sized(768, 384);
  std::vector<Shape> all;
  for (int64_t i = 0; i < sized(12, 6); ++i)
    for (const Shape& shape :
         {Shape{3 * width, width}, Shape{width, width}, Shape{4 * width, width}, Shape{width, 4 * width}, Shape{width}, Shape{4 * width}})
      all.push_back(shape);
  return all;
}

int64_t count() {
  int64_t numbers = 0;
  for (const Shape& shape : shapes()) numbers += numel(shape);
  return numbers;
}

std::vector<Tensor> parameters() {
  std::vector<Tensor> all;
  for (const Shape& shape : shapes()) {
    all.push_back(zeros(shape, f32, device()).requires_grad_());
    all.back().set_grad(ones(shape, f32, device()));
  }
  return all;
}

std::function<void()> plain_adamw() {
  Tensor parameter = zeros({count()}), gradient = ones({count()}), first = zeros({count()}), second = zeros({count()});
  return [=] {
    float *p = written(parameter), *m = written(first), *v = written(second);
    const float* g = gradient.data<float>();
    parallel_for(count(), 4096, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        m[i] = 0.9f * m[i] + 0.1f * g[i];
        v[i] = 0.999f * v[i] + 0.001f * g[i] * g[i];
        p[i] = p[i] * (1 - 1e-6f) - 1e-4f * (m[i] / 0.1f) / (std::sqrt(v[i] / 0.001f) + 1e-8f);
      }
    });
  };
}

const bool registered = suite([] {
  auto numbers = static_cast<double>(count());
  std::string name = dims({count()});
  row("adamw", name, f32, "plumb", {7 * 4 * numbers, 16 * numbers}, [] {
    auto adamw = std::make_shared<optim::AdamW>(parameters(), optim::AdamWOptions{.lr = 1e-4});
    return [adamw] { adamw->step(); };
  });
  row("adamw", name, f32, "plain", {7 * 4 * numbers, 16 * numbers}, plain_adamw);
  gpu_row("adamw", name, f32, "plain", {7 * 4 * numbers, 16 * numbers}, [] { return gpu::plain::adamw(count()); });
  row("gradient_norm", name, f32, "plumb", {4 * numbers, 2 * numbers}, [] {
    std::vector<Tensor> all = parameters(), gradients = optim::gradients(all);
    return [all, gradients] { optim::norm(gradients); };
  });
});

}  // namespace
