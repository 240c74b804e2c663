// Fourier transforms: values against the sum that defines them, lengths of every kind, inverses, threads, errors; complex arithmetic.
#include "ops/fft.h"

#include <doctest/doctest.h>

#include <complex>
#include <cstring>
#include <numbers>

#include "engine/autograd/backward.h"
#include "engine/core/parallel.h"
#include "ops/complex.h"
#include "ops/join.h"
#include "ops/pad.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "tests/ops/reference.h"

using namespace plumb;
using namespace plumb::testing;

namespace {

using Complex = std::complex<double>;

// scale Σ_j x_j e^(∓2πi jk/n) along `dim` of [.., n, .., 2].
Reference transform(const Tensor& x, int dim, bool inverse, double scale) {
  Reference from(x), y(x.shape());
  int64_t n = x.size(dim);
  Shape numbers = x.shape();
  numbers[x.rank() - 1] = 1;
  for_each_index(numbers, [&](Index at) {
    Complex total = 0;
    Index source = at;
    for (int64_t j = 0; j < n; ++j) {
      source[static_cast<size_t>(dim)] = j;
      source.back() = 0;
      double re = from.at(source);
      source.back() = 1;
      double angle = 2 * std::numbers::pi * static_cast<double>(j * at[static_cast<size_t>(dim)] % n) / static_cast<double>(n);
      total += Complex(re, from.at(source)) * std::polar(1.0, inverse ? angle : -angle);
    }
    y.at(at) = scale * total.real();
    at.back() = 1;
    y.at(at) = scale * total.imag();
  });
  return y;
}

Tensor as_complex(const Tensor& real) {
  Shape shape = real.shape();
  shape.push_back(2);
  std::vector<double> values;
  for (double v : to_vector(real)) values.insert(values.end(), {v, 0});
  return from_vector(values, shape);
}

Tensor tensor_of(const Reference& r) { return from_vector(r.values, r.shape); }

}  // namespace

TEST_CASE("fft: the defining sum for lengths of every kind, in both directions") {
  // 1; powers of two and of each radix; mixed; primes beyond the radices and multiples of them (Bluestein).
  for (int64_t n : {1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 13, 16, 17, 30, 34, 49, 60, 64, 97, 121, 128, 143, 169, 210, 211, 360}) {
    Tensor x = uniform({n, 2}, static_cast<uint64_t>(n));
    INFO("length " << n);
    CHECK(error(fft(x), transform(x, 0, false, 1)) < 3e-14 * static_cast<double>(n));
    CHECK(error(ifft(x), transform(x, 0, true, 1 / static_cast<double>(n))) < 1e-14);
    CHECK(error(to(fft(to(x, f32)), f64), transform(x, 0, false, 1)) < 2e-6 * std::sqrt(static_cast<double>(n)) + 1e-6);
    CHECK(error(ifft(fft(x)), Reference(x)) < 2e-15 * std::log2(static_cast<double>(n) + 1) + 1e-15);
  }
}

TEST_CASE("fft: any dimension, any strides, more lines than a strip has") {
  for (const Shape& shape : {Shape{6, 2}, Shape{3, 5, 2}, Shape{2, 3, 4, 2}, Shape{19, 3, 2}, Shape{1, 8, 11, 2}})
    for (const Tensor& x : layouts(uniform(shape, 3)))
      for (int dim = 0; dim + 1 < shape.rank(); ++dim) {
        INFO(to_string(shape) << " along " << dim);
        CHECK(error(fft(x, dim), transform(x, dim, false, 1)) < 1e-13);
        CHECK(error(ifft(x, dim - (shape.rank() - 1), {.norm = FftNorm::forward}), transform(x, dim, true, 1)) < 1e-13);
      }
}

TEST_CASE("rfft and irfft: half of the complex transform, and back, for even, odd and prime lengths") {
  for (int64_t n : {1, 2, 3, 4, 5, 8, 10, 15, 17, 34, 64, 101})
    for (const Tensor& x : layouts(uniform({3, n, 2}, 5)))
      for (int dim : {1, 0}) {
        int64_t size = x.size(dim);
        INFO("length " << size);
        Tensor half = rfft(x, dim), whole = fft(as_complex(x), dim);
        CHECK(error(half, Reference(narrow(whole, dim, 0, size / 2 + 1))) < 1e-13);
        CHECK(error(irfft(half, dim, {.n = size}), Reference(x)) < 1e-14);
        CHECK(error(irfft(rfft(x, dim, {.norm = FftNorm::ortho}), dim, {.n = size, .norm = FftNorm::ortho}), Reference(x)) < 1e-14);
      }
  // Parts that cannot be there do not count.
  Tensor y = tensor({{1.0, 5.0}, {2.0, 3.0}, {4.0, 6.0}}, f64), clean = tensor({{1.0, 0.0}, {2.0, 3.0}, {4.0, 0.0}}, f64);
  CHECK(to_vector(irfft(y)) == to_vector(irfft(clean)));
}

TEST_CASE("rfft: a line is not touched by what its neighbours hold") {
  Tensor x = uniform({5, 12}, 8), bad = clone(x);
  bad.data<double>()[2 * 12 + 3] = INFINITY;
  Tensor a = rfft(x), b = rfft(bad);
  for (int64_t line : {0, 1, 3, 4}) CHECK(to_vector(select(a, 0, line)) == to_vector(select(b, 0, line)));
}

TEST_CASE("fftn and relatives: one dimension after the other") {
  Tensor x = uniform({3, 4, 5, 2}, 6), real = uniform({3, 4, 5}, 7);
  Tensor expected = tensor_of(transform(tensor_of(transform(tensor_of(transform(x, 0, false, 1)), 1, false, 1)), 2, false, 1));
  CHECK(error(fftn(x), Reference(expected)) < 1e-13);
  CHECK(error(ifftn(fftn(x)), Reference(x)) < 1e-14);
  CHECK(error(fft2(x), Reference(fft(fft(x, 2), 1))) < 1e-13);
  CHECK(error(ifft2(x), Reference(ifft(ifft(x, 2), 1))) < 1e-14);
  CHECK(error(fftn(x, {.dims = {0, -1}, .norm = FftNorm::ortho}), Reference(fftn(x, {.dims = {0, 2}}) / std::sqrt(15.0))) < 1e-13);
  CHECK(error(rfftn(real), Reference(narrow(fftn(as_complex(real)), 2, 0, 3))) < 1e-13);
  CHECK(error(rfft2(real), Reference(narrow(fft2(as_complex(real)), 2, 0, 3))) < 1e-13);
  CHECK(error(irfftn(rfftn(real), {.dims = {0, 1, 2}, .sizes = {3, 4, 5}}), Reference(real)) < 1e-14);
  CHECK(error(irfft2(rfft2(narrow(real, 2, 0, 4))), Reference(narrow(real, 2, 0, 4))) < 1e-14);
  CHECK(error(fft(x, 1, {.n = 6}), Reference(fft(pad(x, {0, 0, 0, 0, 0, 2}), 1))) < 1e-13);
  CHECK(error(fft(x, 1, {.n = 2}), Reference(fft(narrow(x, 1, 0, 2), 1))) < 1e-13);
}

TEST_CASE("fft: unitary with ortho, and its derivative is its adjoint: <Fx, y> = <x, F*y>") {
  Tensor x = uniform({7, 6, 2}, 9), y = uniform({7, 6, 2}, 10);
  CHECK(sum(fft2(x, FftNorm::ortho) * y).item() == doctest::Approx(sum(x * ifft2(y, FftNorm::ortho)).item()).epsilon(1e-13));
  Tensor leaf = clone(x).requires_grad_();
  fft2(leaf).backward(y);
  CHECK(error(leaf.grad(), Reference(ifft2(y) * 42)) < 1e-12);
}

TEST_CASE("fft: the same bits for any number of threads") {
  int before = num_threads();
  Tensor x = uniform({300, 96, 2}, 11, -2, 2, f32), real = uniform({301, 97}, 12, -2, 2, f32);
  auto bits = [&] {
    std::vector<Tensor> all{fft(x), fft(x, 0), rfft(real), irfft(x, 0), rfft(real, 0)};
    return all;
  };
  set_num_threads(1);
  std::vector<Tensor> alone = bits();
  for (int threads : {2, 3, 8}) {
    set_num_threads(threads);
    std::vector<Tensor> together = bits();
    for (size_t i = 0; i < alone.size(); ++i)
      CHECK(std::memcmp(alone[i].raw_data(), together[i].raw_data(), static_cast<size_t>(alone[i].numel()) * 4) == 0);
  }
  set_num_threads(before);
  CHECK(to_vector(select(fft(x), 0, 7)) == to_vector(fft(select(x, 0, 7))));  // alone or in a strip
}

TEST_CASE("fft: long lines") {
  // A cosine has two coefficients.
  int64_t n = 100'000;
  Tensor x = zeros({n}, f64);
  for (int64_t j = 0; j < n; ++j)
    x.data<double>()[j] = std::cos(2 * std::numbers::pi * static_cast<double>(j * 3 % n) / static_cast<double>(n));
  Tensor y = rfft(x);
  CHECK(y.data<double>()[6] == doctest::Approx(5e4).epsilon(1e-13));
  y.data<double>()[6] = 0;
  CHECK(max(complex_abs(y)).item() < 1e-9);
}

TEST_CASE("fftshift and ifftshift: coefficient 0 in the middle, and back") {
  CHECK(to_vector(fftshift(tensor({0, 1, 2, 3}))) == std::vector<double>{2, 3, 0, 1});
  CHECK(to_vector(fftshift(tensor({0, 1, 2, 3, 4}))) == std::vector<double>{3, 4, 0, 1, 2});
  CHECK(to_vector(ifftshift(tensor({3, 4, 0, 1, 2}))) == std::vector<double>{0, 1, 2, 3, 4});
  Tensor x = uniform({4, 5}, 1);
  CHECK(to_vector(ifftshift(fftshift(x))) == to_vector(x));
  CHECK(to_vector(fftshift(x, {-1})) == to_vector(fftshift(x, {1})));
}

TEST_CASE("complex arithmetic: values") {
  Tensor a = tensor({{1.0, 2.0}, {0.0, -1.0}}, f64), b = tensor({3.0, -1.0}, f64);
  CHECK(to_vector(complex_mul(a, b)) == std::vector<double>{5, 5, -1, -3});
  CHECK(to_vector(complex_mul_conj(a, b)) == std::vector<double>{1, 7, 1, -3});
  CHECK(to_vector(complex_mul_conj(b, a)) == std::vector<double>{1, -7, 1, 3});
  CHECK(to_vector(complex_conj(a)) == std::vector<double>{1, -2, 0, 1});
  CHECK(to_vector(complex_abs(tensor({{3.0, 4.0}, {0.0, 0.0}}, f64))) == std::vector<double>{5, 0});
  Tensor zero = zeros({2}, f64).requires_grad_();
  complex_abs(zero).backward();
  CHECK(to_vector(zero.grad()) == std::vector<double>{0, 0});
  CHECK_THROWS_WITH_AS(complex_mul(a, tensor({1.0, 2.0, 3.0})), "complex_mul: takes complex numbers as a last axis of 2, not [3]",
                       ShapeError);
  CHECK_THROWS_AS(complex_abs(zeros({})), ShapeError);
  CHECK_THROWS_WITH_AS(complex_mul(tensor({1, 2}), tensor({1, 2})), "complex_mul: takes floating tensors, not i64", DTypeError);
  CHECK_THROWS_AS(complex_mul(zeros({3, 2}), zeros({4, 2})), ShapeError);
  CHECK(complex_mul(zeros({0, 2}), zeros({1, 2}, f64)).shape() == Shape{0, 2});
  // Any strides and broadcasting, against the products written out.
  for (const Tensor& x : layouts(uniform({3, 4, 5, 2}, 1)))
    for (const Tensor& y : layouts(uniform({4, 1, 2}, 2))) {
      Tensor re = select(x, -1, 0) * select(y, -1, 0) - select(x, -1, 1) * select(y, -1, 1);
      Tensor im = select(x, -1, 0) * select(y, -1, 1) + select(x, -1, 1) * select(y, -1, 0);
      CHECK(error(complex_mul(x, y), Reference(stack({re, im}, -1))) < 1e-15);
      CHECK(error(complex_mul(y, x), Reference(stack({re, im}, -1))) < 1e-15);
    }
}

TEST_CASE("fft: sizes of 0, types, errors") {
  CHECK(fft(zeros({0, 4, 2}), 1).shape() == Shape{0, 4, 2});
  CHECK(rfft(zeros({0, 4})).shape() == Shape{0, 3, 2});
  CHECK(irfft(zeros({0, 3, 2})).shape() == Shape{0, 4});
  CHECK(fft(zeros({0, 2}), 0, {.n = 3}).shape() == Shape{3, 2});
  CHECK(fft(zeros({4, 2}, bf16)).dtype() == bf16);
  CHECK_THROWS_WITH_AS(fft(zeros({4, 3})), "fft: takes complex tensors [.., n, 2], not [4, 3]", ShapeError);
  CHECK_THROWS_WITH_AS(ifft(zeros({2})), "ifft: takes complex tensors [.., n, 2], not [2]", ShapeError);
  CHECK_THROWS_WITH_AS(fft(zeros({0, 2})), "fft: a transformed dimension has no elements; give a length", ShapeError);
  CHECK_THROWS_AS(irfft(zeros({1, 2})), ShapeError);  // 2 (1 − 1) numbers
  CHECK_THROWS_WITH_AS(fft(zeros({4, 2}), 0, {.n = 0}), "fft: a length must be at least 1, it is 0", ValueError);
  CHECK_THROWS_WITH_AS(fftn(zeros({4, 4, 2}), {.dims = {0, -2}}), "fftn: dimension -2 is given twice", IndexError);
  CHECK_THROWS_WITH_AS(fftn(zeros({4, 4, 2}), {.dims = {0, 1}, .sizes = {3}}), "fftn: 1 sizes are given for 2 dimensions", ValueError);
  CHECK_THROWS_AS(fft(zeros({4, 2}), 1), IndexError);
  CHECK_THROWS_WITH_AS(fft(zeros({4, 2}, i64)), "fft: takes floating tensors, not i64", DTypeError);
  CHECK_THROWS_AS(rfft(zeros({})), ShapeError);
}
