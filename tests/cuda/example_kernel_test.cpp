// The kernel of examples/custom_kernel on the device.
#include <doctest/doctest.h>

#include <algorithm>

#include "examples/custom_kernel/kernel.h"
#include "tests/cuda/on_device.h"

using namespace plumb;
using namespace plumb::testing;

TEST_CASE("the example's kernel squares what is positive, also where a thread has several elements") {
  set_gpu_kernel();
  for (int64_t n : {int64_t{0}, int64_t{1}, int64_t{1000}, int64_t{300'001}}) {
    Tensor x = some_numbers({n}, f32), y = empty({n}, f32, kGpu), expected = empty({n}, f32);
    squared_relu_kernel(kGpu, to_gpu(x), y);
    for (int64_t i = 0; i < n; ++i) expected.data<float>()[i] = std::max(x.data<float>()[i], 0.0f) * std::max(x.data<float>()[i], 0.0f);
    CHECK(same(to_cpu(y), expected));
  }
}
