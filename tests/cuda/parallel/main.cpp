// The main of cuda_parallel_tests, which mpirun starts several times: each process has a device of its own, simulated with MPI in NCCL's
// place, or with PLUMB_TEST_GPU a real one and NCCL, or nothing to do where there are too few.
#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>

#include <cstdio>
#include <cstdlib>

#include "engine/core/device_runtime.h"
#include "engine/core/kernel.h"
#include "engine/dist/mpi.h"
#include "engine/dist/world.h"
#include "tests/cuda/parallel/staged_communicator.h"
#include "tests/cuda/simulated/device.h"

namespace {

std::string no_name() { return "between simulated devices"; }
std::unique_ptr<plumb::dist::DeviceCommunicator> staged(plumb::Device device, int, int, const std::string&) {
  return std::make_unique<plumb::testing::StagedCommunicator>(device, plumb::dist::world());
}

}  // namespace

int main(int argc, char** argv) {
  using namespace plumb;
  setenv("PLUMB_POISON_MEMORY", "1", 0);  // what is not written reads as NaN
  dist::set_world(dist::mpi_world());
  if (std::getenv("PLUMB_TEST_GPU")) {
    if (int there = device_count(DeviceType::cuda); there < dist::world().size()) {
      std::printf("skipped: %d GPUs for %d processes\n", there, dist::world().size());
      return 0;
    }
  } else {
    plumb::detail::register_with(DeviceType::cuda, register_simulated_cuda);
    dist::detail::set_communicator_maker({no_name, staged});
  }
  return doctest::Context(argc, argv).run();
}
