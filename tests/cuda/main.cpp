// The main of cuda_tests. The tests run on the simulated device; with PLUMB_TEST_GPU set, on a real one, or not at all where there is none.
#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>

#include <cstdio>
#include <cstdlib>

#include "engine/core/device_runtime.h"
#include "engine/core/kernel.h"
#include "tests/cuda/simulated/device.h"

int main(int argc, char** argv) {
  setenv("PLUMB_POISON_MEMORY", "1", 0);  // what is not written reads as NaN
  if (std::getenv("PLUMB_TEST_GPU")) {
    std::string problem = plumb::device_problem(plumb::DeviceType::cuda);
    if (!problem.empty()) {
      std::printf("skipped: %s\n", problem.c_str());
      return 0;
    }
  } else {
    plumb::detail::register_with(plumb::DeviceType::cuda, plumb::register_simulated_cuda);
  }
  return doctest::Context(argc, argv).run();
}
