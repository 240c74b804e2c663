// Grouped matrix products on the device against the CPU in f64.
#include "ops/grouped_matmul.h"

#include <doctest/doctest.h>

#include <cmath>
#include <cstdlib>

#include "engine/autograd/autocast.h"
#include "ops/create.h"
#include "ops/shape.h"
#include "tests/cuda/compare.h"

using namespace plumb;
using namespace plumb::testing;

namespace {

double tolerance(DType type) { return type == f64 ? 1e-13 : type == f32 ? 1e-5 : 2 * epsilon(type); }

Tensor offsets_of(const std::vector<int64_t>& sizes) {
  std::vector<int64_t> offsets{0};
  for (int64_t n : sizes) offsets.push_back(offsets.back() + n);
  return from_vector(offsets);
}

// Products, linear layers with a bias, and outer products of the same rows, with all gradients.
std::vector<Tensor> every_product(const std::vector<Tensor>& x) {
  const Tensor &rows = x[0], &matrices = x[1], &bias = x[2], &offsets = x[3];
  return {grouped_matmul(rows, matrices, offsets), grouped_linear(rows, transpose(matrices, 1, 2), bias, offsets),
          grouped_outer(rows, rows, offsets)};
}

void check(const std::vector<int64_t>& sizes, int64_t in, int64_t out, const std::vector<DType>& types = {f64, f32, bf16, f16}) {
  const Tensor offsets = offsets_of(sizes);
  const int64_t rows = to_vector<int64_t>(offsets).back(), segments = static_cast<int64_t>(sizes.size());
  for (DType type : types) {
    double d = distance_from_cpu(
        every_product, {noise({rows, in}, type, 1), noise({segments, in, out}, type, 2), noise({segments, out}, type, 3), offsets}, type);
    CHECK_MESSAGE(d <= tolerance(type), name(type) << " " << rows << " rows, " << in << " to " << out << ": " << d);
  }
}

}  // namespace

TEST_CASE("grouped matmul: results and gradients equal the CPU's, with empty segments and sizes that no tile divides") {
  check({5}, 8, 16);
  check({0, 70, 0, 3, 150, 0}, 72, 136);
  check({1, 2, 3}, 7, 5);  // rows that are not aligned
  check({200, 100}, 33, 130);
}

TEST_CASE("grouped matmul: more segments than a warp has lanes") {
  std::vector<int64_t> sizes;
  for (int64_t e = 0; e < 70; ++e) sizes.push_back(e * 7 % 5);
  check(sizes, 16, 8);
}

// On a GPU with kernels of its own for it: hundreds of tiles, several tiles each way, none of them full. On the simulated device one of
// each.
TEST_CASE("grouped matmul: 16-bit rows in multiples of 16 bytes, segments of any sizes") {
  const std::vector<DType> types{bf16, f16};
  check({63, 65}, 8, 8, types);
  if (!std::getenv("PLUMB_TEST_GPU")) return;
  check({130, 0, 1, 257, 64, 127}, 328, 264, types);
  check({0, 0, 2000, 700}, 72, 520, types);
  check({1, 1000, 0, 129, 3000}, 776, 1032, types);
  std::vector<int64_t> many;
  for (int64_t e = 0; e < 1000; ++e) many.push_back(e * 7 % 11);
  check(many, 16, 24, types);
}

// A row that another segment's sums take by mistake would show: it is not finite.
TEST_CASE("grouped matmul: a segment's results know nothing of the rows beside it") {
  for (DType type : {f32, bf16, f16}) {
    const Tensor offsets = offsets_of({100, 30, 90}), x = noise({220, 64}, type, 1), w = noise({3, 64, 72}, type, 2);
    Tensor spoilt = clone(x);
    Tensor others = slice(spoilt, 0, 100, 130);
    copy_data(full({30, 64}, type == f32 ? NAN : INFINITY, type), others);
    Tensor y = to_cpu(grouped_matmul(to_gpu(spoilt), to_gpu(w), to_gpu(offsets))),
           z = to_cpu(grouped_outer(to_gpu(spoilt), to_gpu(x), to_gpu(offsets)));
    Tensor clean = to_cpu(grouped_matmul(to_gpu(x), to_gpu(w), to_gpu(offsets))),
           outer = to_cpu(grouped_outer(to_gpu(x), to_gpu(x), to_gpu(offsets)));
    CHECK(same(slice(y, 0, 0, 100), slice(clean, 0, 0, 100)));
    CHECK(same(slice(y, 0, 130, 220), slice(clean, 0, 130, 220)));
    CHECK(same(slice(z, 0, 0, 1), slice(outer, 0, 0, 1)));
    CHECK(same(slice(z, 0, 2, 3), slice(outer, 0, 2, 3)));
  }
}

// Products of 16-bit numbers are exact in f32, so that only the order of sums differs from the CPU's in f64.
TEST_CASE("grouped linear: under autocast gradients of f32 parameters are sums in f32, never rounded to 16 bits") {
  const bool gpu = std::getenv("PLUMB_TEST_GPU");
  for (DType type : {bf16, f16})
    for (const auto& sizes :
         gpu ? std::vector<std::vector<int64_t>>{{40, 0, 9}, {5000}, {3, 2500, 0, 61}} : std::vector<std::vector<int64_t>>{{40, 0, 9}}) {
      const int64_t in = gpu ? 136 : 8, out = gpu ? 264 : 24, segments = static_cast<int64_t>(sizes.size());
      const Tensor offsets = offsets_of(sizes), x = noise({to_vector<int64_t>(offsets).back(), in}, type, 1),
                   dy = noise({x.size(0), out}, type, 2);
      Tensor weight = to_gpu(noise({segments, out, in}, f32, 3)).requires_grad_(),
             bias = to_gpu(noise({segments, out}, f32, 4)).requires_grad_(), y;
      {
        Autocast cast(type);
        y = grouped_linear(to_gpu(x), weight, bias, to_gpu(offsets));
      }
      CHECK(y.dtype() == type);
      std::vector<Tensor> got = grad({y}, {weight, bias}, {}, {to_gpu(dy)});
      CHECK(got[0].dtype() == f32);
      CHECK(got[1].dtype() == f32);
      CHECK(distance(got[0], grouped_outer(to(dy, f64), to(x, f64), offsets)) <= 1e-5);
      CHECK(distance(got[1], grouped_sum(to(dy, f64), offsets)) <= 1e-5);
    }
}

TEST_CASE("grouped matmul: operands of any strides") {
  const Tensor offsets = offsets_of({20, 0, 45});
  const Function f = [](const std::vector<Tensor>& x) -> std::vector<Tensor> {
    return {grouped_matmul(transpose(x[0], 0, 1), slice(x[1], 2, 1, 40, 3), x[2]),
            grouped_outer(transpose(x[0], 0, 1), slice(transpose(x[0], 0, 1), 1, 0, 24, 2), x[2])};
  };
  for (DType type : {f32, bf16})
    CHECK(distance_from_cpu(f, {noise({24, 65}, type, 1), noise({3, 24, 40}, type, 2), offsets}, type) <= tolerance(type));
}

TEST_CASE("grouped matmul: nothing to do") {
  for (DType type : {f32, bf16}) {
    check({0, 0}, 4, 4);
    CHECK(to_cpu(grouped_matmul(to_gpu(noise({0, 4}, type, 1)), to_gpu(noise({2, 4, 6}, type, 2)), to_gpu(offsets_of({0, 0})))).shape() ==
          Shape{0, 6});
    Tensor nothing = grouped_matmul(to_gpu(noise({3, 0}, type, 1)), to_gpu(noise({1, 0, 6}, type, 2)), to_gpu(offsets_of({3})));
    for (double v : to_vector(to_cpu(nothing))) CHECK(v == 0);
  }
}

TEST_CASE("grouped matmul: the same bits every time") {
  if (std::getenv("PLUMB_TEST_GPU"))
    for (DType type : {bf16, f16})
      CHECK(repeats(every_product,
                    {noise({2700, 136}, type, 1), noise({3, 136, 776}, type, 2), noise({3, 776}, type, 3), offsets_of({1300, 1, 1399})},
                    type));
  for (DType type : {f32, bf16})
    CHECK(repeats(every_product, {noise({90, 40}, type, 1), noise({2, 40, 24}, type, 2), noise({2, 24}, type, 3), offsets_of({30, 60})},
                  type));
}
