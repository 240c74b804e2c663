// Updates and arithmetic over many tensors on the device against the CPU's kernels.
#include <doctest/doctest.h>

#include <vector>

#include "ops/kernels/optim.h"
#include "tests/cuda/on_device.h"
#include "tests/ops/samples.h"

using namespace plumb;
using namespace plumb::testing;
using plumb::test::difference;
using plumb::test::sample;

namespace {

const std::vector<Shape> kShapes{{3}, {70, 90}, {0}, {4097}, {1, 2, 3}, {10000}};

// Parameters of two types, with masters for the 16-bit one, and state.
std::vector<UpdateTensor> parameters(Device d, DType t, bool stateless) {
  std::vector<UpdateTensor> all;
  for (size_t i = 0; i < kShapes.size(); ++i) {
    DType type = i % 2 ? t : f32, wide = compute_dtype(type);
    UpdateTensor u;
    Tensor master = sample(kShapes[i], 10 + i, wide), rounded = empty(kShapes[i], type);
    copy_data(master, rounded);
    u.parameter = on(rounded, d);
    u.gradient = on(sample(kShapes[i], 20 + i, type), d);
    if (wide != type) {
      if (master.numel() > 5) master.data<float>()[5] = 77;  // no longer what the parameter is the rounding of
      u.master = on(master, d);
    }
    for (size_t k = 0; k < 3 && !stateless; ++k) u.state[k] = on(sample(kShapes[i], 30 + i + k, wide, 0.1, 1), d);
    u.constants = {0.01, 0.9, 0.8, 0.7, 0.05, 0.3, 1e-3, 0};
    all.push_back(u);
  }
  return all;
}

}  // namespace

TEST_CASE("update: every rule changes parameters, masters and state as on the CPU") {
  for (DType t : {f64, f32, bf16, f16})
    for (int rule = 0; rule < static_cast<int>(UpdateRule::count); ++rule)
      for (bool stateless : {false, true}) {
        if (stateless && rule != 0) continue;
        std::vector<UpdateTensor> host = parameters(cpu, t, stateless), gpu = parameters(kGpu, t, stateless);
        kernel::update(cpu, static_cast<UpdateRule>(rule), host);
        kernel::update(kGpu, static_cast<UpdateRule>(rule), gpu);
        for (size_t i = 0; i < host.size(); ++i) {
          INFO(name(host[i].parameter.dtype()) << " rule " << rule << " tensor " << i);
          CHECK(same(to_cpu(gpu[i].parameter), host[i].parameter));
          if (host[i].master.defined()) CHECK(same(to_cpu(gpu[i].master), host[i].master));
          for (size_t k = 0; k < 3 && !stateless; ++k) CHECK(same(to_cpu(gpu[i].state[k]), host[i].state[k]));
        }
      }
}

TEST_CASE("update: tensors that do not begin at 16 bytes") {
  for (Device d : {cpu, kGpu}) {
    Tensor base = on(sample({101}, 1, f32), d), gradient = on(sample({101}, 2, f32), d);
    UpdateTensor u;
    u.parameter = view_of(base, {100}, {1}, 1);
    u.gradient = view_of(gradient, {100}, {1}, 1);
    u.constants = {0, 0, 0, 1, 0, 0.5, 0, 0};
    kernel::update(d, UpdateRule::sgd, std::vector<UpdateTensor>{u});
    Tensor b = to_cpu(base), expected = sample({101}, 1, f32), g = sample({101}, 2, f32);
    for (int i = 1; i < 101; ++i) expected.data<float>()[i] -= 0.5f * g.data<float>()[i];
    CHECK(same(b, expected));
  }
}

TEST_CASE("sum_of_products and combine: over tensors of several types and sizes") {
  std::vector<Tensor> x, y, gpu_x, gpu_y;
  DType types[] = {f32, f64, bf16, f16};
  for (size_t i = 0; i < kShapes.size(); ++i) {
    x.push_back(sample(kShapes[i], 40 + i, types[i % 4]));
    y.push_back(sample(kShapes[i], 50 + i, types[i % 4]));
    gpu_x.push_back(to_gpu(x.back()));
    gpu_y.push_back(to_gpu(y.back()));
  }
  double host = 0, gpu = 0, again = 0;
  kernel::sum_of_products(cpu, x, y, host);
  kernel::sum_of_products(kGpu, gpu_x, gpu_y, gpu);
  kernel::sum_of_products(kGpu, gpu_x, gpu_y, again);
  CHECK(gpu == doctest::Approx(host).epsilon(1e-13));
  CHECK(gpu == again);
  for (auto [a, b] : {std::pair{0.5, 0.25}, std::pair{2.0, 0.0}, std::pair{0.0, 3.0}, std::pair{0.0, 0.0}}) {
    kernel::combine(cpu, a, a == 0 ? std::vector<Tensor>{} : x, b, y);
    kernel::combine(kGpu, a, a == 0 ? std::vector<Tensor>{} : gpu_x, b, gpu_y);
    for (size_t i = 0; i < y.size(); ++i) CHECK(same(to_cpu(gpu_y[i]), y[i]));
  }
  double nothing = 1;
  kernel::sum_of_products(kGpu, {}, {}, nothing);
  CHECK(nothing == 0);
}
