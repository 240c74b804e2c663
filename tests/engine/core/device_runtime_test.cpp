// Asking for devices where the program has none but the CPU.
#include "engine/core/device_runtime.h"

#include <doctest/doctest.h>

#include "engine/core/error.h"
#include "engine/core/tensor.h"

using namespace plumb;

TEST_CASE("devices: a program without GPU kernels says so, and the CPU goes on") {
  const char* problem = "cuda: this program was built without GPU kernels (see PLUMB_CUDA in README.md)";
  const Device gpu{DeviceType::cuda, 0};
  CHECK(device_count(DeviceType::cuda) == 0);
  CHECK(device_problem(DeviceType::cuda) == problem);
  CHECK_THROWS_WITH_AS(empty({2}, f32, gpu), problem, DeviceError);
  CHECK_THROWS_WITH_AS(memory_stats(gpu), problem, DeviceError);
  CHECK_THROWS_WITH_AS(describe(gpu), problem, DeviceError);
  CHECK_THROWS_WITH_AS(synchronize(gpu), problem, DeviceError);
  CHECK(device_count(DeviceType::cpu) == 1);
  CHECK(device_problem(DeviceType::cpu).empty());
  CHECK(describe(cpu) == "cpu");
  CHECK_NOTHROW(synchronize(cpu));
}
