// What losses refuse, on the device: said where the host next waits.
#include <doctest/doctest.h>

#include "engine/core/device_runtime.h"
#include "engine/core/error.h"
#include "ops/kernels/check_values.h"
#include "tests/cuda/on_device.h"

using namespace plumb;
using namespace plumb::testing;

namespace {

// Mostly halves; the last is `last`.
Tensor numbers(DType t, double last) {
  std::vector<double> values(3000, 0.5);
  values.back() = last;
  Tensor x = empty({3000}, t);
  copy_data(from_vector(values, {3000}), x);
  return to_gpu(x);
}

void check_now(const Tensor& x, Allowed allowed) {
  bool found = true;
  double value = 0;
  kernel::check_values(kGpu, "loss", "target", x, allowed, found, value);
  CHECK_FALSE(found);
  synchronize(kGpu);
}

}  // namespace

TEST_CASE("check_values: what is refused is an error where the host next waits, said once") {
  for (DType t : {f64, f32}) {
    CHECK_THROWS_WITH_AS(check_now(numbers(t, 1.5), Allowed::unit_interval), "loss: target 1.5 is outside [0, 1]", ValueError);
    CHECK_THROWS_WITH_AS(check_now(numbers(t, -2), Allowed::not_negative), "loss: target -2 is negative", ValueError);
    CHECK_THROWS_WITH_AS(check_now(numbers(t, 1), Allowed::sign), "loss: target 0.5 is neither 1 nor -1", ValueError);
    synchronize(kGpu);
  }
}

TEST_CASE("check_values: what is allowed passes, as do no elements") {
  for (DType t : {f64, f32}) {
    check_now(numbers(t, 1), Allowed::unit_interval);
    check_now(numbers(t, 1e30), Allowed::not_negative);
    check_now(to_gpu(empty({0}, t)), Allowed::sign);
  }
}
