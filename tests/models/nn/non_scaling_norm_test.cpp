// Layer norm whose weight stays 1.
#include <doctest/doctest.h>

#include "models/nn/non_scaling_norm.h"
#include "models/optim/adam.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "tests/ops/samples.h"

using namespace plumb;

TEST_CASE("non_scaling_norm: worked, and only its bias is trained") {
  nn::NonScalingNorm norm(Shape{4});
  REQUIRE(norm.parameters().size() == 1);
  norm.bias = tensor({0.0, 0.1, 0.0, -0.1}, f64);
  std::vector<double> wanted{-1.06904, -0.434522, 0, 1.50357}, got = to_vector(norm(tensor({{1.0, 2.0, 3.0, 6.0}}, f64)));
  for (size_t i = 0; i < 4; ++i) CHECK(got[i] == doctest::Approx(wanted[i]).epsilon(1e-5));

  nn::NonScalingNorm trained(Shape{3}), copy = trained;
  optim::Adam adam(trained.parameters(), {.lr = 0.1});
  Tensor x = test::sample({5, 3}, 1, f32), wide = test::sample({5, 3}, 2, f32);
  for (int k = 0; k < 3; ++k) {
    adam.zero_grad();
    sum(trained(x) * wide).backward();
    adam.step();
  }
  CHECK(test::difference(trained(x) - trained.bias, copy(x)) < 1e-6);  // the scale is what it was
  CHECK(test::difference(trained.bias, copy.bias) > 0.1);
}
