// Group, instance and batch norm against plain loops in f64.
#include <doctest/doctest.h>

#include "engine/core/parallel.h"
#include "ops/activation.h"
#include "ops/kernels/norm.h"
#include "ops/norm.h"
#include "tests/ops/samples.h"

using namespace plumb;
using namespace plumb::test;

namespace {

// [n, C, s]: element (e, c, i) belongs to the set that key(e, c) names; each set gets mean 0 and variance 1, then weight and bias by
// channel.
template <typename Key>
Tensor reference(const Tensor& x, const Tensor& w, const Tensor& b, size_t sets, Key key, double eps, std::vector<double>* means = nullptr,
                 std::vector<double>* variances = nullptr) {
  auto examples = static_cast<size_t>(x.size(0)), channels = static_cast<size_t>(x.size(1)),
       space = static_cast<size_t>(x.numel()) / examples / channels;
  std::vector<double> v = to_vector(x), out(v.size()), weight = to_vector(w), bias = to_vector(b), count(sets), mean(sets), variance(sets);
  auto each = [&](auto f) {
    for (size_t e = 0; e < examples; ++e)
      for (size_t c = 0; c < channels; ++c)
        for (size_t i = 0; i < space; ++i) f((e * channels + c) * space + i, c, key(e, c));
  };
  each([&](size_t, size_t, size_t k) { count[k] += 1; });
  each([&](size_t at, size_t, size_t k) { mean[k] += v[at] / count[k]; });
  each([&](size_t at, size_t, size_t k) { variance[k] += (v[at] - mean[k]) * (v[at] - mean[k]) / count[k]; });
  each([&](size_t at, size_t c, size_t k) { out[at] = (v[at] - mean[k]) / std::sqrt(variance[k] + eps) * weight[c] + bias[c]; });
  if (means) *means = mean;
  if (variances) *variances = variance;
  return from_vector(out, x.shape());
}

double tolerance(DType t) { return t == f64 ? 1e-12 : t == f32 ? 5e-6 : t == bf16 ? 1.0 / 128 : 1.0 / 1024; }

const Shape kShapes[] = {{4, 6}, {3, 6, 5}, {2, 6, 4, 5}, {70, 6, 3}, {5, 6, 7, 9}};

}  // namespace

TEST_CASE("group_norm and instance_norm: values in every type, with little and much space behind a channel") {
  for (DType t : {f64, f32, bf16, f16})
    for (const Shape& shape : kShapes) {
      Tensor x = sample(shape, 1, t), w = sample({6}, 2, f32), b = sample({6}, 3, f32);
      CAPTURE(to_string(shape));
      for (size_t groups : {1, 2, 3, 6}) {
        auto key = [&](size_t e, size_t c) { return e * groups + c / (6 / groups); };
        Tensor expected = reference(x, w, b, static_cast<size_t>(shape[0]) * groups, key, 1e-5);
        if (shape.rank() == 2 && groups == 6) continue;  // a set of one element: nothing left of it
        CHECK(difference(group_norm(strided(x), static_cast<int64_t>(groups), w, b), expected) < tolerance(t));
        if (groups == 6) CHECK(difference(instance_norm(x, w, b), expected) < tolerance(t));
      }
    }
}

TEST_CASE("batch_norm: training and evaluation values in every type") {
  for (DType t : {f64, f32, bf16, f16})
    for (const Shape& shape : kShapes) {
      Tensor x = sample(shape, 1, t), w = sample({6}, 2, f32), b = sample({6}, 3, f32);
      std::vector<double> mean, variance;
      Tensor expected = reference(x, w, b, 6, [](size_t, size_t c) { return c; }, 1e-5, &mean, &variance);
      CAPTURE(to_string(shape));
      BatchNorm got = batch_norm_training(strided(x), w, b);
      CHECK(got.y.dtype() == t);
      CHECK(difference(got.y, expected) < tolerance(t));
      CHECK(difference(got.mean, from_vector(mean)) < (t == f64 ? 1e-13 : 1e-6));
      CHECK(difference(got.variance, from_vector(variance)) < (t == f64 ? 1e-13 : 1e-6));
      CHECK(difference(batch_norm(x, got.mean, got.variance, w, b), expected) < tolerance(t));
    }
}

TEST_CASE("batch_norm: a mean far from 0 does not spoil the variance") {
  Tensor x = to(sample({64, 3, 16}, 1, f64, -1, 1) + 4096, f32);
  std::vector<double> mean, variance;
  reference(x, ones({3}), zeros({3}), 3, [](size_t, size_t c) { return c; }, 1e-5, &mean, &variance);
  CHECK(difference(batch_norm_training(x).variance, from_vector(variance)) < 1e-6);
}

TEST_CASE("update_running: moves by momentum, the variance as that of a sample") {
  Tensor x = tensor({{1.0}, {3.0}, {5.0}, {7.0}});
  RunningStatistics next = update_running({zeros({1}), ones({1})}, batch_norm_training(x), 0.25);
  CHECK(next.mean.item() == doctest::Approx(1.0));
  CHECK(next.variance.item() == doctest::Approx(0.75 + 0.25 * 5 * 4 / 3));
}

TEST_CASE("update_running_: the same bits in place, in every type, and counts batches") {
  for (DType t : {f64, f32, bf16, f16}) {
    const BatchNorm batch = batch_norm_training(sample({9, 5, 3}, 1, f32, -2, 4));
    RunningStatistics running{sample({5}, 2, t), sample({5}, 3, t, 0.5, 2)};
    const RunningStatistics expected = update_running(running, batch, 0.3);
    Tensor batches = tensor({41});
    const uint32_t version = running.mean.version();
    update_running_(running, batch, 0.3, batches);
    CHECK(to_vector(running.mean) == to_vector(expected.mean));
    CHECK(to_vector(running.variance) == to_vector(expected.variance));
    CHECK(batches.item<int64_t>() == 42);
    CHECK(running.mean.version() != version);
  }
  RunningStatistics wrong{zeros({4}), zeros({5})};
  CHECK_THROWS_WITH_AS(update_running_(wrong, batch_norm_training(sample({9, 5, 3}, 1, f32))),
                       "update_running: the statistics must be two row-major tensors [5] of one type, got [4]", ShapeError);
  RunningStatistics right{zeros({5}), ones({5})};
  CHECK_THROWS_WITH_AS(update_running_(right, batch_norm_training(sample({9, 5, 3}, 1, f32)), 0.1, zeros({1}, f32)),
                       "update_running: the count of batches must be one i64, got f32 [1]", ShapeError);
  CHECK(to_vector(right.mean) == to_vector(zeros({5})));
}

TEST_CASE("group_norm and batch_norm: the fused gradients equal the formulas' in every type") {
  for (DType t : {f32, bf16, f16})
    for (const Shape& shape : {Shape{70, 6, 3}, Shape{5, 6, 7, 9}, Shape{130, 6}}) {
      Tensor x = sample(shape, 1, t).requires_grad_(), w = sample({6}, 2, f32).requires_grad_(), b = sample({6}, 3, f32).requires_grad_();
      for (const Tensor& y :
           {group_norm(x, 2, w, b), batch_norm_training(x, w, b).y, batch_norm(x, sample({6}, 4), sample({6}, 5, f64, 0.5, 2), w, b)}) {
        auto fused = gradients(y, {x, w, b}, false), formula = gradients(y, {x, w, b}, true);
        for (size_t i = 0; i < 3; ++i) CHECK(difference(fused[i], formula[i]) < (i ? 2e-5 : 2 * tolerance(t)));
      }
    }
}

TEST_CASE("group_norm and batch_norm: the same bits with 1, 2 and 3 threads") {
  int before = num_threads();
  for (const Shape& shape : {Shape{301, 66, 3}, Shape{9, 6, 41, 43}}) {
    Tensor x = sample(shape, 1, f32).requires_grad_(), w = sample({shape[1]}, 2, f32).requires_grad_();
    std::vector<Tensor> first;
    for (int threads : {1, 2, 3}) {
      set_num_threads(threads);
      std::vector<Tensor> results;
      for (const Tensor& y : {group_norm(x, 3, w), batch_norm_training(x, w).y}) {
        results.push_back(y);
        for (const Tensor& g : gradients(y, {x, w}, false)) results.push_back(g);
      }
      if (first.empty()) first = results;
      for (size_t i = 0; i < results.size(); ++i) CHECK(same_bits(results[i], first[i]));
    }
  }
  set_num_threads(before);
}

TEST_CASE("group_norm and batch_norm: no elements, and wrong shapes are named") {
  CHECK(group_norm(zeros({0, 4, 3}), 2).shape() == Shape{0, 4, 3});
  CHECK(group_norm(zeros({2, 4, 0}), 2).shape() == Shape{2, 4, 0});
  CHECK(batch_norm(zeros({0, 4, 3}), zeros({4}), ones({4})).shape() == Shape{0, 4, 3});
  CHECK_THROWS_WITH_AS(group_norm(zeros({2, 4}), 3), "group_norm: the channels of [2, 4] do not divide into 3 groups", ShapeError);
  CHECK_THROWS_WITH_AS(group_norm(zeros({4}), 1), "group_norm: x must be [n, channels, ..], it is [4]", ShapeError);
  CHECK_THROWS_WITH_AS(batch_norm(zeros({2, 4}), zeros({3}), ones({4})),
                       "batch_norm: the mean must be [4], one number a channel of [2, 4]; it is [3]", ShapeError);
  CHECK_THROWS_WITH_AS(batch_norm_training(zeros({1, 4})), "batch_norm_training: a channel needs two elements or more, x is [1, 4]",
                       ValueError);
}

TEST_CASE("group_norm_silu: the CPU's kernels are the two operations and their gradients, in every type") {
  for (DType t : {f64, f32, bf16, f16}) {
    Tensor x = sample({2, 6, 5}, 1, t).requires_grad_(), w = sample({6}, 2, compute_dtype(t)).requires_grad_(),
           b = sample({6}, 3, compute_dtype(t)).requires_grad_(), dy = sample({2, 6, 5}, 4, t);
    Tensor expected = silu(group_norm(x, 2, w, b, 1e-5));
    std::vector<Tensor> gradients = grad({expected}, {x, w, b}, {}, {dy});
    Tensor y = empty({2, 6, 5}, t), mean = empty({4}, compute_dtype(t)), rstd = empty({4}, compute_dtype(t)), dx = empty({2, 6, 5}, t),
           dw = empty({6}, compute_dtype(t)), db = empty({6}, compute_dtype(t));
    kernel::group_norm_silu(cpu, x.detach(), 2, w.detach(), b.detach(), 1e-5, y, mean, rstd);
    kernel::group_norm_silu_backward(cpu, dy, x.detach(), 2, mean, rstd, w.detach(), b.detach(), dx, dw, db);
    CHECK(to_vector(y) == to_vector(expected));
    CHECK(to_vector(dx) == to_vector(gradients[0]));
    CHECK(to_vector(dw) == to_vector(gradients[1]));
    CHECK(to_vector(db) == to_vector(gradients[2]));
  }
}

TEST_CASE("instance_norm: no channels are no error") { CHECK(instance_norm(zeros({2, 0, 4})).shape() == Shape{2, 0, 4}); }
