// Softmax and cross-entropy on the device against the CPU's kernels.
#include <doctest/doctest.h>

#include <limits>

#include "ops/kernels/loss.h"
#include "ops/kernels/softmax.h"
#include "tests/cuda/on_device.h"
#include "tests/ops/samples.h"

using namespace plumb;
using namespace plumb::testing;
using plumb::test::difference;
using plumb::test::sample;

namespace {

double tolerance(DType t) { return t == f64 ? 1e-13 : t == f32 ? 2e-6 : t == bf16 ? 0x1p-7 : 0x1p-9; }

// Rows of awkward numbers in the first places of a float tensor [outer, n, inner] with inner = 1.
Tensor with_infinities(Tensor x) {
  constexpr float inf = std::numeric_limits<float>::infinity();
  int64_t n = x.shape()[1];
  float* p = x.data<float>();
  for (int64_t i = 0; i < n; ++i) p[i] = -inf;                      // nothing finite
  for (int64_t i = 0; i < n; i += 2) p[n + i] = -inf;               // half of it
  p[2 * n] = p[2 * n + 1] = inf;                                    // two that share all
  p[3 * n + 1] = std::numeric_limits<float>::quiet_NaN();
  return x;
}

}  // namespace

TEST_CASE("softmax: rows held and streamed, aligned and not, and columns agree with the CPU's, forward and backward") {
  for (DType t : {f64, f32, bf16, f16})
    for (const Shape& shape : {Shape{5, 8, 1}, Shape{3, 7, 1}, Shape{4, 1024, 1}, Shape{3, 1500, 1}, Shape{2, 1501, 1}, Shape{1, 3000, 1},
                               Shape{2, 8192, 1}, Shape{2, 9000, 1}, Shape{2, 10, 5}, Shape{3, 40, 33}, Shape{3, 1, 1}, Shape{0, 4, 1}})
      for (bool logarithm : {false, true}) {
        Tensor x = sample(shape, 1, t, -5, 5), dy = sample(shape, 2, t), y = empty(shape, t), dx = empty(shape, t),
               gpu_y = empty(shape, t, kGpu), gpu_dx = empty(shape, t, kGpu);
        kernel::softmax(cpu, x, 0.7, logarithm, y);
        kernel::softmax(kGpu, to_gpu(x), 0.7, logarithm, gpu_y);
        INFO(name(t) << " " << to_string(shape) << (logarithm ? " log" : ""));
        CHECK(difference(to_cpu(gpu_y), y) <= tolerance(t));
        kernel::softmax_backward(cpu, dy, y, 0.7, logarithm, dx);
        kernel::softmax_backward(kGpu, to_gpu(dy), to_gpu(y), 0.7, logarithm, gpu_dx);
        CHECK(difference(to_cpu(gpu_dx), dx) <= tolerance(t) * (logarithm ? 8 : 1));
      }
}

TEST_CASE("softmax: rows without a finite maximum are as on the CPU") {
  for (int64_t n : {int64_t{8}, int64_t{9}, int64_t{1200}, int64_t{9000}})
    for (bool logarithm : {false, true}) {
      Tensor x = with_infinities(sample({4, n, 1}, 1, f32)), y = empty(x.shape(), f32), gpu_y = empty(x.shape(), f32, kGpu);
      kernel::softmax(cpu, x, 1, logarithm, y);
      kernel::softmax(kGpu, to_gpu(x), 1, logarithm, gpu_y);
      CHECK(difference(to_cpu(gpu_y), y) <= 2e-6);
      Tensor columns = empty({1, n, 4}, f32), out = empty({1, n, 4}, f32), gpu_out = empty({1, n, 4}, f32, kGpu);
      for (int64_t i = 0; i < n; ++i)
        for (int64_t c = 0; c < 4; ++c) columns.data<float>()[i * 4 + c] = x.data<float>()[c * n + i];
      kernel::softmax(cpu, columns, 1, logarithm, out);
      kernel::softmax(kGpu, to_gpu(columns), 1, logarithm, gpu_out);
      CHECK(difference(to_cpu(gpu_out), out) <= 2e-6);
    }
}

namespace {

struct Losses {
  Tensor loss, statistics, scale, dlogits;
};
Losses losses(const Tensor& logits, const Tensor& target, const Tensor& weight, CrossEntropyRow row, bool mean, bool reduced) {
  Device d = logits.device();
  DType c = compute_dtype(logits.dtype());
  int64_t rows = target.numel();
  Losses l{reduced ? empty({}, c, d) : empty({rows}, c, d), empty({rows, 2}, c, d), empty({}, c, d),
           empty(logits.shape(), logits.dtype(), d)};
  kernel::cross_entropy(d, logits, target, weight, row, mean, l.loss, l.statistics, l.scale);
  Tensor dy = on(sample(l.loss.shape(), 8, c), d);
  kernel::cross_entropy_backward(d, dy, logits, target, weight, row, l.statistics, l.scale, l.dlogits);
  return l;
}

}  // namespace

TEST_CASE("cross_entropy: losses and gradients agree with the CPU's for every option") {
  for (DType t : {f64, f32, bf16, f16})
    for (int64_t classes : {int64_t{3}, int64_t{1000}, int64_t{1111}})
      for (double smoothing : {0.0, 0.1})
        for (bool weighted : {false, true})
          for (bool reduced : {false, true}) {
            Tensor logits = sample({6, classes}, 1, t, -6, 6),
                   weight = weighted ? sample({classes}, 3, compute_dtype(t), 0.2, 2) : Tensor();
            Tensor target = from_vector(std::vector<int64_t>{0, 2, 1, -100, 2, classes - 1});
            if (smoothing > 0) target = to(target, i32);
            CrossEntropyRow row{-100, smoothing};
            Losses host = losses(logits, target, weight, row, reduced, reduced),
                   gpu = losses(to_gpu(logits), to_gpu(target), weighted ? to_gpu(weight) : Tensor(), row, reduced, reduced);
            INFO(name(t) << " classes " << classes << " smoothing " << smoothing << (weighted ? " weighted" : "")
                         << (reduced ? " mean" : ""));
            double small = t == f64 ? 1e-12 : 4e-6;
            CHECK(difference(to_cpu(gpu.loss), host.loss) <= small);
            CHECK(difference(to_cpu(gpu.statistics), host.statistics) <= small);
            CHECK(difference(to_cpu(gpu.scale), host.scale) <= small);
            CHECK(difference(to_cpu(gpu.dlogits), host.dlogits) <= tolerance(t));
          }
}

TEST_CASE("cross_entropy: rows of -inf, no rows, large logits, and a target outside is an error where the host next waits") {
  Tensor logits = sample({4, 50}, 1, f32);
  constexpr float inf = std::numeric_limits<float>::infinity();
  for (int i = 0; i < 50; ++i) logits.data<float>()[i] = -inf;
  for (int i = 50; i < 99; ++i) logits.data<float>()[i] = -inf;
  for (int i = 100; i < 150; ++i) logits.data<float>()[i] *= 1e4f;
  Tensor target = from_vector(std::vector<int64_t>{1, 49, 3, 4});
  Losses host = losses(logits, target, {}, {-100, 0}, false, false),
         gpu = losses(to_gpu(logits), to_gpu(target), {}, {-100, 0}, false, false);
  CHECK(difference(to_cpu(gpu.loss), host.loss) <= 2e-6);
  CHECK(difference(to_cpu(gpu.dlogits), host.dlogits) <= 2e-6);
  Tensor none = zeros({0, 5}), no_target = zeros({0}, i64);
  CHECK(to_cpu(losses(to_gpu(none), to_gpu(no_target), {}, {-100, 0}, true, true).loss).item() == 0);
  Tensor wrong = to_gpu(from_vector(std::vector<int64_t>{1, 2, 50, 4}));
  Losses bad = losses(to_gpu(logits), wrong, {}, {-100, 0}, false, false);
  CHECK_THROWS_WITH_AS(to_cpu(bad.loss), "cross_entropy: target 50 is outside [0, 50)", IndexError);
}
