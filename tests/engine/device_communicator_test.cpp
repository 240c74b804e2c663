// A communicator of one rank, and what is refused.
#include "engine/dist/device_communicator.h"

#include <doctest/doctest.h>

#include "engine/dist/communicator.h"

using namespace plumb;

TEST_CASE("communicator: alone, reductions leave a tensor as it is and parts are wholes") {
  auto alone = dist::join_device_communicator(cpu, 0, 1, "");
  CHECK(alone->rank() == 0);
  CHECK(alone->size() == 1);
  Tensor x = tensor({{1.0, 2.0}, {3.0, 4.0}}), y = zeros({2, 2}), z = zeros({2, 2});
  alone->all_reduce(x, dist::Reduction::mean);
  alone->broadcast(x);
  alone->all_gather(x, y);
  alone->reduce_scatter(y, z);
  alone->barrier();
  CHECK(to_vector(z) == std::vector<double>{1, 2, 3, 4});
}

TEST_CASE("communicator: alone, rows that are exchanged come back as they were") {
  auto alone = dist::join_device_communicator(cpu, 0, 1, "");
  Tensor x = tensor({{1.0, 2.0}, {3.0, 4.0}}), y = zeros({2, 2});
  alone->exchange_rows(x, {2}, y, {2});
  CHECK(to_vector(y) == std::vector<double>{1, 2, 3, 4});
  CHECK_THROWS_WITH_AS(
      alone->exchange_rows(x, {1}, y, {2}),
      "exchange_rows: from [2, 2] to [2, 2]; give and take need a number for each of 1 processes, and must sum to the rows", ShapeError);
  CHECK_THROWS_AS(alone->exchange_rows(x, {2}, zeros({2, 3}), {2}), ShapeError);

  dist::Communicator one;
  CHECK(one.collectives_on(cpu).get() == &one);
  Tensor z = zeros({2, 2});
  one.exchange_rows(x, {2}, z, {2});
  CHECK(to_vector(z) == std::vector<double>{1, 2, 3, 4});
}

TEST_CASE("communicator: what does not fit is refused in words") {
  CHECK_THROWS_WITH_AS(dist::join_device_communicator(cpu, 2, 2, ""), "communicator: rank 2 is outside [0, 2)", ValueError);
  CHECK_THROWS_WITH_AS(dist::join_device_communicator(cpu, 0, 2, ""),
                       "communicator: several ranks need a GPU each; there is none between CPUs", DeviceError);
  auto alone = dist::join_device_communicator(cpu, 0, 1, "");
  Tensor x = zeros({2, 3}), out = zeros({3, 3}), turned = view_of(x, {3, 2}, {1, 3}, 0);
  CHECK_THROWS_WITH_AS(alone->all_gather(x, out), "all_gather: 1 parts [2, 3] do not make [3, 3]", ShapeError);
  CHECK_THROWS_WITH_AS(alone->all_reduce(turned), "all_reduce: the tensor [3, 2] must be row-major", ShapeError);
  CHECK_THROWS_WITH_AS(alone->broadcast(x, 1), "broadcast: rank 1 is outside [0, 1)", ValueError);
}
