// Lengths and what is scaled by them, against plain loops.
#include "ops/normalize.h"

#include <doctest/doctest.h>

#include "ops/matmul.h"
#include "tests/ops/samples.h"

using namespace plumb;
using namespace plumb::test;

TEST_CASE("normalize: unit length in several norms, zero vectors stay zero with a finite gradient") {
  Tensor x = tensor({{3.0, 4.0}, {0.0, 0.0}, {-1.0, 1.0}}, f64).requires_grad_();
  CHECK(difference(normalize(x), tensor({{0.6, 0.8}, {0.0, 0.0}, {-std::sqrt(0.5), std::sqrt(0.5)}}, f64)) < 1e-15);
  CHECK(difference(normalize(x, 1), tensor({{3.0 / 7, 4.0 / 7}, {0.0, 0.0}, {-0.5, 0.5}}, f64)) < 1e-15);
  CHECK(difference(normalize(x, INFINITY), tensor({{0.75, 1.0}, {0.0, 0.0}, {-1.0, 1.0}}, f64)) < 1e-15);
  CHECK(difference(normalize(x, 3, 0), x / tensor({std::pow(28, 1.0 / 3), std::pow(65, 1.0 / 3)}, f64)) < 1e-14);
  for (double v : to_vector(gradients(normalize(x), {x}, false)[0])) CHECK(std::isfinite(v));
  CHECK(normalize(sample({3}, 1, bf16)).dtype() == bf16);
  CHECK_THROWS_WITH_AS(normalize(x, 0.5), "normalize: p must be 1 or more, it is 0.5", ValueError);
}

TEST_CASE("local_response_norm: each channel is divided by its neighbours'") {
  Tensor x = sample({2, 5, 3}, 1);
  std::vector<double> v = to_vector(x), out(v.size());
  for (int64_t size : {1, 2, 3, 7}) {
    for (int64_t e = 0; e < 2; ++e)
      for (int64_t c = 0; c < 5; ++c)
        for (int64_t i = 0; i < 3; ++i) {
          auto at = [&](int64_t channel) { return static_cast<size_t>((e * 5 + channel) * 3 + i); };
          double total = 0;
          for (int64_t k = c - size / 2; k < c - size / 2 + size; ++k)
            if (k >= 0 && k < 5) total += v[at(k)] * v[at(k)];
          out[at(c)] = v[at(c)] / std::pow(2 + 0.5 / static_cast<double>(size) * total, 0.6);
        }
    CHECK(difference(local_response_norm(x, size, 0.5, 0.6, 2), from_vector(out, x.shape())) < 1e-14);
  }
}

TEST_CASE("weight_norm: direction from v, length from g") {
  Tensor v = sample({3, 2, 2}, 1), g = tensor({1.0, 2.0, -3.0}, f64);
  Tensor w = weight_norm(v, g);
  for (int64_t i = 0; i < 3; ++i) {
    Tensor row = select(w, 0, i), direction = select(v, 0, i);
    CHECK(std::sqrt(sum(square(row)).item()) == doctest::Approx(std::abs(select(g, 0, i).item())).epsilon(1e-13));
    CHECK(difference(row * std::sqrt(sum(square(direction)).item()), direction * select(g, 0, i)) < 1e-13);
  }
  CHECK(difference(weight_norm(v, ones({1, 1, 2}, f64), 2), v / sqrt(sum(square(v), {0, 1}, true))) < 1e-14);
  CHECK_THROWS_WITH_AS(weight_norm(v, ones({2})), "weight_norm: g is [2]; v [3, 2, 2] along dimension 0 takes [3, 1, 1]", ShapeError);
}

TEST_CASE("spectral_norm: power iteration finds the largest singular value, which is differentiated") {
  // A = U diag(5, 2) Vᵀ with rotations U, V
  double a = 0.3, b = -0.8;
  Tensor u = tensor({{std::cos(a), -std::sin(a)}, {std::sin(a), std::cos(a)}}, f64),
         v = tensor({{std::cos(b), -std::sin(b)}, {std::sin(b), std::cos(b)}}, f64);
  Tensor w = matmul(matmul(u, tensor({{5.0, 0.0}, {0.0, 2.0}}, f64)), mT(v)).requires_grad_();
  SpectralNorm s = spectral_norm(w, tensor({1.0, 0.5}, f64), 40);
  CHECK(s.sigma.item() == doctest::Approx(5).epsilon(1e-13));
  CHECK(difference(s.weight * 5, w) < 1e-12);
  Tensor slope = grad({s.sigma}, {w}, {.retain_graph = true})[0];  // dσ/dW = u vᵀ
  CHECK(difference(slope, outer(select(u, 1, 0), select(v, 1, 0))) < 1e-12);
  SpectralNorm again = spectral_norm(w, s.u, 0);
  CHECK(again.sigma.item() == doctest::Approx(5).epsilon(1e-13));
  CHECK(spectral_norm(sample({4, 3, 2}, 1), sample({3}, 2), 1, 1).weight.shape() == Shape{4, 3, 2});
  CHECK_THROWS_WITH_AS(spectral_norm(w, ones({3})), "spectral_norm: u must be [2], it is [3]", ShapeError);
}
