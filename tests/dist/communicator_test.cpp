// What processes tell each other. Every case holds for any number of them: it runs alone, and again by several under mpirun.
#include <doctest/doctest.h>

#include <cstdlib>

#include "engine/core/error.h"
#include "engine/dist/mpi.h"
#include "ops/create.h"
#include "ops/random.h"
#include "ops/shape.h"
#include "tests/ops/samples.h"

using namespace plumb;
using namespace plumb::dist;

TEST_CASE("mpi_world: has as many processes as were started, each with a rank of its own") {
  Communicator& world = mpi_world();
  const char* started = std::getenv("PLUMB_TEST_PROCESSES");
  CHECK(world.size() == (started ? std::atoi(started) : 1));
  CHECK((world.rank() >= 0 && world.rank() < world.size()));
  std::vector<std::string> ranks = world.all_gather(std::to_string(world.rank()));
  REQUIRE(static_cast<int>(ranks.size()) == world.size());
  for (int r = 0; r < world.size(); ++r) CHECK(ranks[static_cast<size_t>(r)] == std::to_string(r));
}

TEST_CASE("all_gather: texts of any lengths, in the order of ranks") {
  Communicator& world = mpi_world();
  auto text_of = [](int rank) { return std::string(static_cast<size_t>(rank) * 100'000, static_cast<char>('a' + rank)); };
  std::vector<std::string> all = world.all_gather(text_of(world.rank()));  // rank 0 gives nothing
  for (int r = 0; r < world.size(); ++r) CHECK(all[static_cast<size_t>(r)] == text_of(r));
}

TEST_CASE("all_to_all: every rank gets what each meant for it, of any lengths") {
  Communicator& world = mpi_world();
  auto text_of = [](int from, int to) {
    return std::string(static_cast<size_t>(from * 50'000 + to), static_cast<char>('a' + 5 * from + to));
  };
  for (int again = 0; again < 2; ++again) {
    std::vector<std::string> to;
    for (int r = 0; r < world.size(); ++r) to.push_back(text_of(world.rank(), r));  // rank 0 gives itself nothing
    std::vector<std::string> from = world.all_to_all(to);
    REQUIRE(static_cast<int>(from.size()) == world.size());
    for (int r = 0; r < world.size(); ++r) CHECK(from[static_cast<size_t>(r)] == text_of(r, world.rank()));
  }
  std::string size = std::to_string(world.size());
  CHECK_THROWS_WITH_AS(world.all_to_all(std::vector<std::string>(static_cast<size_t>(world.size()) + 1)),
                       ("all_to_all: takes a text for each of " + size + " processes, got " + std::to_string(world.size() + 1)).c_str(),
                       ValueError);
}

TEST_CASE("broadcast: all have the root's tensor") {
  Communicator& world = mpi_world();
  int root = world.size() - 1;
  Tensor x = full({3, 5}, world.rank(), f32), count = full({2}, 7 + world.rank(), i64);
  world.broadcast(x, root);
  world.broadcast(count, root);
  CHECK(to_vector(x) == std::vector<double>(15, root));
  CHECK(to_vector(count) == std::vector<double>(2, 7 + root));
  Tensor nothing = zeros({0, 4});
  world.broadcast(nothing);
}

TEST_CASE("all_reduce: adds in the order of ranks, with the same bits everywhere") {
  Communicator& world = mpi_world();
  for (DType t : {f32, f64}) {
    std::vector<Tensor> terms;  // every rank knows all of them
    for (int r = 0; r < world.size(); ++r) {
      Generator g(static_cast<uint64_t>(r));
      terms.push_back(rand({1000}, {.dtype = t, .generator = &g}));
    }
    Tensor sum = clone(terms[static_cast<size_t>(world.rank())]), expected = zeros({1000}, t);
    world.all_reduce(sum);
    for (const Tensor& term : terms) expected = expected + term;
    CHECK(to_vector(sum) == to_vector(expected));
  }
}

TEST_CASE("communicator: what does not fit is one clear line") {
  Communicator& world = mpi_world();
  Tensor x = zeros({4, 4}), gaps = transpose(x, 0, 1), integers = zeros({2}, i64);
  std::string size = std::to_string(world.size());
  CHECK_THROWS_WITH_AS(world.broadcast(x, world.size()), ("broadcast: rank " + size + " is not among the " + size + " processes").c_str(),
                       ValueError);
  CHECK_THROWS_WITH_AS(world.all_reduce(integers), "all_reduce: takes f32 or f64, got i64", DTypeError);
  CHECK_THROWS_WITH_AS(world.all_reduce(gaps), "all_reduce: takes contiguous tensors, got [4, 4] with gaps", ShapeError);
  if (world.size() == 1) return;
  Tensor uneven = zeros({2 + (world.rank() == 0 ? 1 : 0)});
  CHECK_THROWS_AS(world.all_reduce(uneven), ShapeError);
}

TEST_CASE("exchanges: several on their way at once, each with its sums, slices and parts") {
  Communicator& world = mpi_world();
  const int64_t size = world.size(), rank = world.rank();
  for (DType t : {f32, f64}) {
    Tensor sums = full({100'000}, 1.0 + static_cast<double>(rank), t), whole = to(arange(2 * size), t), slice = empty({2}, t),
           part = full({3}, static_cast<double>(rank), t), all = empty({3 * size}, t);
    auto a = world.start_all_reduce(sums), b = world.start_reduce_scatter(whole, slice), c = world.start_all_gather(part, all);
    a->poll();
    c->wait();
    b->wait();
    a->wait();
    CHECK(to_vector(sums) == std::vector<double>(100'000, static_cast<double>(size * (size + 1) / 2)));
    CHECK(to_vector(slice) == std::vector<double>{static_cast<double>(size * 2 * rank), static_cast<double>(size * (2 * rank + 1))});
    for (int64_t r = 0; r < size; ++r) CHECK(to_vector(narrow(all, 0, 3 * r, 3)) == std::vector<double>(3, static_cast<double>(r)));
  }
  Tensor integers = zeros({2}, i64), two = zeros({2}), many = zeros({2 * size + 1});
  CHECK_THROWS_WITH_AS(world.start_all_reduce(integers), "all_reduce: takes f32 or f64, got i64", DTypeError);
  CHECK_THROWS_AS(world.start_all_gather(two, many), ShapeError);
  CHECK_THROWS_AS(world.start_reduce_scatter(many, two), ShapeError);
}
