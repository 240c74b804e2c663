// Fake quantisation, small formats and incomplete gamma functions on the device against the CPU's kernels.
#include <doctest/doctest.h>

#include "ops/kernels/incomplete_gamma.h"
#include "ops/kernels/minifloat.h"
#include "ops/kernels/quantize.h"
#include "tests/cuda/on_device.h"
#include "tests/ops/samples.h"

using namespace plumb;
using namespace plumb::testing;
using plumb::test::difference;
using plumb::test::sample;

TEST_CASE("quantize: values and gradients agree with the CPU's for one step and one a channel") {
  for (DType t : {f64, f32, bf16, f16})
    for (const Shape& shape : {Shape{1, 1, 300}, Shape{3, 5, 7}, Shape{4, 6, 1}, Shape{2, 3, 2500}, Shape{0, 3, 2}}) {
      DType c = compute_dtype(t);
      QuantizationGrid grid{-8, 7};
      Tensor x = sample(shape, 1, t, -3, 3), dy = sample(shape, 2, t), scale = sample({shape[1]}, 3, c, 0.1, 0.4),
             zero = to(round(sample({shape[1]}, 4, c, -3, 3)), c);
      struct Results {
        Tensor y, dx, learned, learned_dx, dstep;
      };
      auto run = [&](Device d) {
        Results r{empty(shape, t, d), empty(shape, t, d), empty(shape, t, d), empty(shape, t, d), empty({shape[1]}, c, d)};
        kernel::fake_quantize(d, on(x, d), on(scale, d), on(zero, d), grid, r.y);
        kernel::fake_quantize_backward(d, on(dy, d), on(x, d), on(scale, d), on(zero, d), grid, r.dx);
        kernel::learned_step_quantize(d, on(x, d), on(scale, d), grid, r.learned);
        kernel::learned_step_backward(d, on(dy, d), on(x, d), on(scale, d), grid, 0.3, r.learned_dx, r.dstep);
        return r;
      };
      Results host = run(cpu), gpu = run(kGpu);
      INFO(name(t) << " " << to_string(shape));
      CHECK(same(to_cpu(gpu.y), host.y));
      CHECK(same(to_cpu(gpu.dx), host.dx));
      CHECK(same(to_cpu(gpu.learned), host.learned));
      CHECK(same(to_cpu(gpu.learned_dx), host.learned_dx));
      CHECK(difference(to_cpu(gpu.dstep), host.dstep) <= (t == f64 ? 1e-11 : 1e-4));
    }
}

TEST_CASE("round_minifloat: the CPU's roundings") {
  for (DType t : {f64, f32, bf16, f16}) {
    Tensor x = sample({1000}, 5, t, -600, 600), y = empty({1000}, t), gpu_y = empty({1000}, t, kGpu);
    kernel::round_minifloat(cpu, x, 3, -6, 448, 448, y);
    kernel::round_minifloat(kGpu, to_gpu(x), 3, -6, 448, 448, gpu_y);
    CHECK(same(to_cpu(gpu_y), y));
  }
}

TEST_CASE("incomplete_gamma: values and derivatives of every order") {
  Tensor a = sample({400}, 6, f64, 0, 30), x = sample({400}, 7, f64, 0, 40);
  for (bool upper : {false, true})
    for (int order = 0; order <= 3; ++order) {
      Tensor y = empty({400}, f64), gpu_y = empty({400}, f64, kGpu);
      kernel::incomplete_gamma(cpu, a, x, upper, order, y);
      kernel::incomplete_gamma(kGpu, to_gpu(a), to_gpu(x), upper, order, gpu_y);
      CHECK(difference(to_cpu(gpu_y), y) < 1e-9);
    }
}
