// NCCL's calls by a single rank, which any machine with a GPU can make: what comes out of each is known.
#include <doctest/doctest.h>

#include <cstdlib>

#include "engine/core/error.h"
#include "engine/dist/device_communicator.h"
#include "ops/pointwise.h"
#include "tests/cuda/on_device.h"

using namespace plumb;
using namespace plumb::testing;

TEST_CASE("communicator: a single rank that has a name goes through the library, and every call leaves what one rank has") {
  if (!std::getenv("PLUMB_TEST_GPU")) {
    CHECK_THROWS_WITH_AS(dist::new_device_communicator_id(), "communicator: this program was built without NCCL", DeviceError);
    return;
  }
  auto alone = dist::join_device_communicator(kGpu, 0, 1, dist::new_device_communicator_id());
  CHECK(alone->rank() == 0);
  CHECK(alone->size() == 1);
  for (DType t : {f64, f32, bf16, f16, i64, i32}) {
    Tensor x = some_numbers({3, 1000}, t);
    for (dist::Reduction reduction : {dist::Reduction::sum, dist::Reduction::maximum, dist::Reduction::minimum}) {
      Tensor y = to_gpu(x), part = empty({3, 1000}, t, kGpu);
      alone->all_reduce(y, reduction);
      CHECK(same(to_cpu(y), x));
      alone->reduce_scatter(y, part, reduction);
      CHECK(same(to_cpu(part), x));
    }
    Tensor y = to_gpu(x), whole = empty({3, 1000}, t, kGpu);
    alone->broadcast(y);
    alone->all_gather(y, whole);
    CHECK(same(to_cpu(whole), x));
    Tensor rows = to_gpu(x), received = empty({3, 1000}, t, kGpu);
    alone->exchange_rows(rows, {3}, received, {3});
    CHECK(same(to_cpu(received), x));
    Tensor begun = to_gpu(x);
    alone->start_all_reduce(begun)->wait();
    CHECK(same(to_cpu(begun), x));
  }
  alone->barrier();
  Tensor elsewhere = zeros({2});
  CHECK_THROWS_AS(alone->all_reduce(elsewhere), DeviceError);
}
