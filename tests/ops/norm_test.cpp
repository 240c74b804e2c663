// Normalisation against plain loops in f64.
#include "ops/norm.h"

#include <doctest/doctest.h>

#include "engine/autograd/autocast.h"
#include "engine/core/parallel.h"
#include "tests/ops/samples.h"

using namespace plumb;
using namespace plumb::test;

namespace {

// Each row of n: (x − m) / √(v + eps) · w + b; not centred: m = 0.
Tensor reference_rows(const Tensor& x, int64_t n, const Tensor& w, const Tensor& b, bool centred, double eps) {
  std::vector<double> v = to_vector(x), out(v.size()), weight = w.defined() ? to_vector(w) : std::vector<double>(static_cast<size_t>(n), 1);
  std::vector<double> bias = b.defined() ? to_vector(b) : std::vector<double>(static_cast<size_t>(n), 0);
  for (size_t at = 0; at < v.size(); at += static_cast<size_t>(n)) {
    double m = 0, s = 0;
    for (size_t i = 0; i < static_cast<size_t>(n); ++i) m += v[at + i] / static_cast<double>(n);
    if (!centred) m = 0;
    for (size_t i = 0; i < static_cast<size_t>(n); ++i) s += (v[at + i] - m) * (v[at + i] - m) / static_cast<double>(n);
    for (size_t i = 0; i < static_cast<size_t>(n); ++i) out[at + i] = (v[at + i] - m) / std::sqrt(s + eps) * weight[i] + bias[i];
  }
  return from_vector(out, x.shape());
}

double tolerance(DType t) { return t == f64 ? 1e-12 : t == f32 ? 4e-6 : t == bf16 ? 1.0 / 128 : 1.0 / 1024; }

}  // namespace

TEST_CASE("layer_norm: values agree with plain loops in every type and for odd sizes") {
  for (DType t : {f64, f32, bf16, f16})
    for (int64_t n : {1, 3, 16, 37, 384}) {
      Tensor x = sample({5, 2, n}, 1, t), w = sample({n}, 2, t), b = sample({n}, 3, t);
      CAPTURE(n);
      CAPTURE(name(t));
      Tensor y = layer_norm(x, {n}, w, b);
      CHECK(y.dtype() == t);
      CHECK(difference(y, reference_rows(x, n, w, b, true, 1e-5)) < tolerance(t));
      CHECK(difference(layer_norm(strided(x), {n}), reference_rows(x, n, {}, {}, true, 1e-5)) < tolerance(t));
      CHECK(difference(rms_norm(x, {n}, w), reference_rows(x, n, w, {}, false, 1e-6)) < tolerance(t));
    }
}

TEST_CASE("layer_norm: several normalised dimensions, and a large mean") {
  Tensor x = sample({3, 4, 5}, 1), w = sample({4, 5}, 2);
  CHECK(difference(layer_norm(x, {4, 5}, w), reference_rows(x, 20, w, {}, true, 1e-5)) < 1e-12);
  Tensor far = to(x + 1000, f32);
  CHECK(difference(layer_norm(far, {5}), reference_rows(far, 5, {}, {}, true, 1e-5)) < 2e-4);  // the mean is off by up to ulp(5000) / 5
}

TEST_CASE("layer_norm: sizes of zero") {
  CHECK(layer_norm(zeros({0, 3}), {3}, ones({3})).shape() == Shape{0, 3});
  CHECK(layer_norm(zeros({3, 0}), {0}).shape() == Shape{3, 0});
  Tensor w = ones({3}).requires_grad_();
  CHECK(to_vector(gradients(layer_norm(zeros({0, 3}), {3}, w), {w}, false)[0]) == std::vector<double>{0, 0, 0});
}

TEST_CASE("layer_norm and rms_norm: derivatives to second order") {
  Tensor x = sample({4, 6}, 1), w = sample({6}, 2), b = sample({6}, 3);
  CHECK(derivative_error([&](const Tensor& v) { return layer_norm(v, {6}, w, b); }, x) < 1e-7);
  CHECK(derivative_error([&](const Tensor& v) { return layer_norm(v, {4, 6}); }, x) < 1e-7);
  CHECK(derivative_error([&](const Tensor& v) { return layer_norm(x, {6}, v, b); }, w) < 1e-7);
  CHECK(derivative_error([&](const Tensor& v) { return layer_norm(x, {6}, w, v); }, b) < 1e-7);
  CHECK(derivative_error([&](const Tensor& v) { return rms_norm(v, {6}, w); }, x) < 1e-7);
  CHECK(derivative_error([&](const Tensor& v) { return rms_norm(x, {6}, v); }, w) < 1e-7);
}

TEST_CASE("layer_norm: the fused gradient equals the formula's in every type") {
  for (DType t : {f32, bf16, f16}) {
    Tensor x = sample({70, 33}, 1, t).requires_grad_(), w = sample({33}, 2, f32).requires_grad_(),
           b = sample({33}, 3, f32).requires_grad_();
    Tensor y = layer_norm(x, {33}, w, b);
    auto fused = gradients(y, {x, w, b}, false), formula = gradients(y, {x, w, b}, true);
    for (size_t i = 0; i < 3; ++i) CHECK(difference(fused[i], formula[i]) < (i ? 1e-5 : tolerance(t)));
  }
}

TEST_CASE("layer_norm: the same bits with 1, 2 and 3 threads") {
  Tensor x = sample({301, 67}, 1, f32).requires_grad_(), w = sample({67}, 2, f32).requires_grad_(), b = zeros({67}).requires_grad_();
  int before = num_threads();
  std::vector<Tensor> first;
  for (int threads : {1, 2, 3}) {
    set_num_threads(threads);
    Tensor y = layer_norm(x, {67}, w, b);
    auto result = gradients(y, {x, w, b}, false);
    result.push_back(y);
    if (first.empty()) first = result;
    for (size_t i = 0; i < result.size(); ++i) CHECK(same_bits(result[i], first[i]));
  }
  set_num_threads(before);
}

TEST_CASE("add_layer_norm: the bits of the sum, its layer norm and their gradients, in every pair of types") {
  for (DType tx : {f64, f32, bf16, f16})
    for (DType tb : {f64, f32, bf16, f16})
      for (int64_t n : {1, 7, 64}) {
        CAPTURE(name(tx));
        CAPTURE(name(tb));
        CAPTURE(n);
        Tensor x = sample({3, 5, n}, 1, tx).requires_grad_(), branch = sample({3, 5, n}, 2, tb).requires_grad_(),
               w = sample({n}, 3, f32).requires_grad_(), b = sample({n}, 4, f32).requires_grad_();
        auto check = [&](const AddNorm& fused, const Tensor& sum, const Tensor& norm) {
          CHECK(same_bits(fused.sum, sum));
          CHECK(same_bits(fused.norm, norm));
          std::vector<Tensor> seeds{sample(sum.shape(), 5, sum.dtype()), sample(sum.shape(), 6, norm.dtype())};
          auto one = grad({fused.sum, fused.norm}, {x, branch, w, b}, {.retain_graph = true}, seeds),
               other = grad({sum, norm}, {x, branch, w, b}, {}, seeds);
          auto formula = grad({fused.sum, fused.norm}, {x, branch, w, b}, {.create_graph = true}, seeds);
          bool one_rounding =
              sum.dtype() != bf16 && sum.dtype() != f16;  // else the norm's part of the gradient is rounded before the sum's is added
          for (size_t i = 0; i < 4; ++i) {
            CHECK(one[i].dtype() == other[i].dtype());
            if (one_rounding) CHECK(same_bits(one[i], other[i]));
            CHECK(difference(one[i], other[i]) < 8 * tolerance(one[i].dtype() == f32 && !one_rounding ? sum.dtype() : one[i].dtype()));
            CHECK(difference(formula[i], other[i]) < 8 * tolerance(sum.dtype() == f64 && one[i].dtype() == f64 ? f64
                                                                   : one[i].dtype() == f64                     ? f32
                                                                                                               : one[i].dtype()));
          }
        };
        Tensor sum = x + branch;
        check(add_layer_norm(x, branch, {n}, w, b), sum, layer_norm(sum, {n}, w, b));
        Autocast cast(bf16);
        check(add_layer_norm(x, branch, {n}, w, b), sum, to(layer_norm(sum, {n}, w, b), sum.dtype() == f32 ? bf16 : sum.dtype()));
      }
}

TEST_CASE("add_layer_norm: strided operands, a gradient for one input, and one result without a gradient") {
  Tensor x = strided(sample({4, 6}, 1, f32)), branch = strided(sample({4, 6}, 2, bf16)).requires_grad_();
  AddNorm r = add_layer_norm(x, branch, {6});
  CHECK(same_bits(r.sum, x + branch));
  CHECK(same_bits(grad({r.norm}, {branch}, {.retain_graph = true}, {sample({4, 6}, 3, f32)})[0],
                  grad({layer_norm(x + branch, {6})}, {branch}, {}, {sample({4, 6}, 3, f32)})[0]));
  CHECK(same_bits(grad({r.sum}, {branch}, {}, {sample({4, 6}, 3, f32)})[0], to(sample({4, 6}, 3, f32), bf16)));
  CHECK(add_layer_norm(zeros({0, 3}), zeros({0, 3}), {3}).norm.shape() == Shape{0, 3});
}

TEST_CASE("add_layer_norm: operands that do not fit are named") {
  CHECK_THROWS_WITH_AS(add_layer_norm(zeros({2, 3}), zeros({3}), {3}), "add_layer_norm: x is [2, 3], the branch [3]", ShapeError);
  CHECK_THROWS_WITH_AS(add_layer_norm(zeros({2, 3}), zeros({2, 3}, i64), {3}), "add_layer_norm: takes floating tensors, got f32 and i64",
                       DTypeError);
  CHECK_THROWS_WITH_AS(add_layer_norm(zeros({2, 3}), zeros({2, 3}), {4}),
                       "add_layer_norm: x [2, 3] does not end in the normalised shape [4]", ShapeError);
}

TEST_CASE("layer_norm: wrong shapes are named") {
  Tensor x = zeros({2, 3});
  CHECK_THROWS_WITH_AS(layer_norm(x, {4}), "layer_norm: x [2, 3] does not end in the normalised shape [4]", ShapeError);
  CHECK_THROWS_WITH_AS(layer_norm(x, {3}, ones({2})), "layer_norm: the weight is [2], the normalised shape [3]", ShapeError);
  CHECK_THROWS_WITH_AS(rms_norm(x, Shape{}), "rms_norm: x [2, 3] does not end in the normalised shape []", ShapeError);
}
