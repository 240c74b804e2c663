// Loops in wide vectors: every element has the bits that it has alone, whatever the length of the loop.
#include "ops/cpu/wide_loop.h"

#include <doctest/doctest.h>

#include <bit>
#include <cmath>
#include <limits>
#include <vector>

#include "ops/pointwise_functions.h"

namespace {

using namespace plumb;

// From the deepest tails through the middle to both infinities and NaN.
std::vector<float> arguments(int64_t n) {
  const float odd[] = {
      0.0f, -0.0f, std::numeric_limits<float>::infinity(), -std::numeric_limits<float>::infinity(), std::nanf(""), 1e-40f, -88.0f, 120.0f};
  std::vector<float> x;
  for (int64_t i = 0; i < n; ++i) x.push_back(i % 11 == 3 ? odd[i / 11 % 8] : static_cast<float>(i * 37 % 401 - 200) * 0.06f);
  return x;
}

template <typename F>
void check_alone_and_together(const char* name) {
  for (int64_t n : {1, 7, 8, 16, 31, 33, 100, 257}) {
    std::vector<float> x = arguments(n), y(x.size());
    const float* from = x.data();
    float* to = y.data();
    cpu_kernels::wide_loop(n, [=](int64_t i) __attribute__((always_inline)) { to[i] = F::apply(from[i], 0.0f, 0.0f); });
    for (size_t i = 0; i < x.size(); ++i) {
      volatile float alone = x[i];
      const float expected = F::apply(static_cast<float>(alone), 0.0f, 0.0f);
      INFO(name << " of " << x[i] << ", element " << i << " of " << n);
      if (std::isnan(expected)) CHECK(std::isnan(y[i]));
      else CHECK(std::bit_cast<uint32_t>(y[i]) == std::bit_cast<uint32_t>(expected));
    }
  }
}

TEST_CASE("wide loop: costly functions have the same bits in vectors as one element at a time") {
  check_alone_and_together<function::Exp>("exp");
  check_alone_and_together<function::Gelu>("gelu");
  check_alone_and_together<function::GeluTanh>("gelu_tanh");
  check_alone_and_together<function::Silu>("silu");
}

TEST_CASE("wide loop: an empty loop runs no body") {
  int runs = 0;
  cpu_kernels::wide_loop(0, [&](int64_t) __attribute__((always_inline)) { ++runs; });
  CHECK(runs == 0);
}

}  // namespace
