// A kernel of one's own, on the CPU and on the GPU, behind an operation that is trained through: max(x, 0)² as activation.
//   custom_kernel [steps] [cpu|cuda]
#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "kernel.h"

using namespace plumb;

/// The kernel on the CPU: threads take ranges of elements. Each element depends on itself alone, so the ranges do not matter.
void squared_relu_cpu(const Tensor& x, Tensor& y) {
  const float* in = x.data<float>();
  float* out = y.data<float>();
  parallel_for(x.numel(), /*grain=*/16384, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      float positive = std::max(in[i], 0.0f);
      out[i] = positive * positive;
    }
  });
}

/// max(x, 0)² of an f32 tensor; d/dx = 2 max(x, 0). Throws DTypeError for another type.
Tensor squared_relu(const Tensor& x) {
  if (x.dtype() != f32) unsupported_dtype("squared_relu", x.dtype());
  return apply(
      "squared_relu", {x},
      [](const std::vector<Tensor>& in) {
        Tensor rows = contiguous(in[0]), y = empty_like(rows);
        squared_relu_kernel(rows.device(), rows, y);
        return y;
      },
      [](const BackwardContext& c) -> Grads { return c.gradient() * 2.0 * relu(c.input()); }, Keep::inputs);
}

struct Mlp : nn::Module {
  nn::Linear up{this, "up", 64, 64};
  nn::Linear down{this, "down", 64, 10};
  Tensor operator()(const Tensor& x) const { return down(squared_relu(up(flatten(x, 1)))); }
};

int main(int argc, char** argv) try {
  const int steps = argc > 1 ? std::atoi(argv[1]) : 200;
  const Device device = device_from_name(argc > 2 ? argv[2] : "cpu");
  squared_relu_kernel.set(DeviceType::cpu, squared_relu_cpu);
  set_gpu_kernel();

  manual_seed(0);
  Mlp model;
  model.to(device);
  optim::Adam adam(model.parameters(), {.lr = 3e-3});
  auto batches = data::digits().train().shuffle({.seed = 0}).batch(64, {.device = device});
  for (int step = 0; step < steps; ++step) {
    data::Batch batch = batches.next();
    Tensor loss = cross_entropy(model(batch.image), batch.label);
    if (step % 40 == 0 || step == steps - 1) std::printf("step %3d  loss %.4f\n", step, loss.item());
    adam.zero_grad();
    loss.backward();
    adam.step();
  }
} catch (const Error& e) {
  std::fprintf(stderr, "custom_kernel: %s\n", e.what());
  return 2;
}
