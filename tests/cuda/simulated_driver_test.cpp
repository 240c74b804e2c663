// What is said where there is no driver or no GPU. First in its process: what devices there are is asked once.
#include <doctest/doctest.h>

#include "engine/core/device_runtime.h"
#include "engine/core/error.h"
#include "tests/cuda/on_device.h"
#include "tests/cuda/simulated/device.h"

using namespace plumb;
using namespace plumb::testing;

TEST_CASE("driver: without one, or without a GPU, one line says so and the CPU goes on") {
  if (detail::device_runtime_if_used()) {
    MESSAGE("skipped: another test of this process has used the device");
    return;
  }
  simulated::set_driver(false);
  CHECK(device_count(DeviceType::cuda) == 0);
  const char* no_driver = "cuda: there is no NVIDIA driver, or one older than CUDA 13.0, for which this program was built";
  CHECK(device_problem(DeviceType::cuda) == no_driver);
  CHECK_THROWS_WITH_AS(empty({2}, f32, kGpu), no_driver, DeviceError);
  CHECK(zeros({1}).item() == 0);
  simulated::set_driver(true);
  simulated::set_device_count(0);
  CHECK(device_problem(DeviceType::cuda) == "cuda: there is no GPU");
  simulated::set_device_count(1);
  CHECK(device_problem(DeviceType::cuda).empty());
  CHECK(device_count(DeviceType::cuda) == 1);
  CHECK(describe(kGpu) == "simulated GPU, 8.0 GiB, compute capability 9.0");
}
