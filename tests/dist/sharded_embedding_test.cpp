// A table shared out over processes holds and learns what one process would.
#include "models/parallel/sharded_embedding.h"

#include <doctest/doctest.h>

#include <cmath>

#include "engine/core/error.h"
#include "engine/dist/mpi.h"
#include "ops/elementary.h"
#include "ops/embedding.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"

using namespace plumb;

namespace {

constexpr int64_t kRows = 11, kColumns = 5;

/// Three updates in which process r of `processes` asks for rows of its own; the whole table. `asked` processes are played by this one.
Tensor table_after(dist::Communicator* processes, int asked, DType dtype) {
  parallel::ShardedEmbedding table(kRows, kColumns, {.scale = 0.5, .seed = 3, .dtype = dtype, .processes = processes});
  int rank = processes ? processes->rank() : 0;
  for (int step = 0; step < 3; ++step) {
    std::vector<Tensor> parts;
    std::vector<int64_t> numbers;
    for (int r = processes ? rank : 0; r < (processes ? rank + 1 : asked); ++r)
      for (int64_t i : {0, 3, 3, 7}) numbers.push_back((i + r * 2 + step) % kRows);
    parallel::FetchedRows rows = table.fetch(from_vector(numbers));
    sum(square(embedding(rows.values, rows.place)) + embedding(rows.values, rows.place)).backward();
    table.update(rows, {.lr = 0.1});
  }
  return table.gather();
}

}  // namespace

TEST_CASE("sharded embedding: the start is the same however many processes share it, and within its scale") {
  dist::Communicator& world = dist::mpi_world();
  for (DType dtype : {f32, f64}) {
    parallel::ShardedEmbedding shared(kRows, kColumns, {.scale = 0.5, .seed = 7, .dtype = dtype, .processes = &world});
    parallel::ShardedEmbedding alone(kRows, kColumns, {.scale = 0.5, .seed = 7, .dtype = dtype});
    std::vector<double> values = to_vector(alone.gather());
    CHECK(to_vector(shared.gather()) == values);
    double smallest = 1, largest = -1;
    for (double v : values) smallest = std::min(smallest, v), largest = std::max(largest, v);
    CHECK((smallest >= -0.5 && smallest < -0.35 && largest < 0.5 && largest > 0.35));  // 55 uniform numbers
    CHECK(alone.rows_here() == kRows);
    CHECK(shared.rows_here() == (kRows - world.rank() + world.size() - 1) / world.size());
  }
}

TEST_CASE("sharded embedding: fetch gives the rows that were asked for, in their shape, each once") {
  dist::Communicator& world = dist::mpi_world();
  parallel::ShardedEmbedding table(kRows, kColumns, {.processes = &world});
  std::vector<double> whole = to_vector(table.gather());
  Tensor asked = from_vector(std::vector<int64_t>{7, world.rank(), 7, 10}, {2, 2});
  parallel::FetchedRows rows = table.fetch(asked);
  CHECK(rows.place.shape() == Shape{2, 2});
  CHECK(rows.values.size(0) == 3);
  CHECK(rows.values.requires_grad());
  std::vector<double> got = to_vector(embedding(rows.values, rows.place));
  std::vector<int64_t> wanted = to_vector<int64_t>(asked);
  for (size_t i = 0; i < 4; ++i)
    for (size_t c = 0; c < kColumns; ++c) CHECK(got[i * kColumns + c] == whole[static_cast<size_t>(wanted[i]) * kColumns + c]);
  parallel::FetchedRows nothing = table.fetch(zeros({world.rank() == 0 ? 0 : 1}, i64));  // one process may need none
  CHECK(nothing.values.size(0) == (world.rank() == 0 ? 0 : 1));
}

TEST_CASE("sharded embedding: gradients for one row from several processes are one update of their sum") {
  dist::Communicator& world = dist::mpi_world();
  std::vector<double> shared = to_vector(table_after(&world, 0, f64)), alone = to_vector(table_after(nullptr, world.size(), f64));
  for (size_t i = 0; i < alone.size(); ++i) CHECK(shared[i] == doctest::Approx(alone[i]).epsilon(1e-12));
}

TEST_CASE("sharded embedding: Adam moves touched rows as a dense Adam does, and leaves the others") {
  parallel::ShardedEmbedding table(3, 2, {.scale = 1, .dtype = f64});
  Tensor dense = clone(table.gather()).requires_grad_();
  optim::Adam adam({dense}, {.lr = 0.1});
  std::vector<double> before = to_vector(dense);
  for (int step = 0; step < 4; ++step) {
    parallel::FetchedRows rows = table.fetch(tensor({0, 2, 0}));
    sum(square(embedding(rows.values, rows.place))).backward();
    table.update(rows, {.lr = 0.1});
    adam.zero_grad();
    sum(square(embedding(dense, tensor({0, 2, 0})))).backward();
    adam.step();
  }
  std::vector<double> got = to_vector(table.gather()), wanted = to_vector(dense);
  for (size_t i = 0; i < 6; ++i) CHECK(got[i] == doctest::Approx(wanted[i]).epsilon(1e-12));
  CHECK(got[2] == before[2]);
  // A row that comes late makes a first step of the full rate.
  parallel::FetchedRows late = table.fetch(tensor({1}));
  sum(late.values).backward();
  table.update(late, {.lr = 0.1});
  CHECK(to_vector(table.gather())[2] == doctest::Approx(before[2] - 0.1).epsilon(1e-6));
  parallel::FetchedRows untouched = table.fetch(tensor({1}));
  auto now = to_vector(table.gather());
  table.update(untouched, {.lr = 0.1});
  CHECK(to_vector(table.gather()) == now);
}

TEST_CASE("gathered rows: each process has all rows, and the sum of its gradients is that of the whole loss") {
  dist::Communicator& world = dist::mpi_world();
  auto of = [](int rank) {
    Generator g(static_cast<uint64_t>(rank));
    return randn({rank % 2 + 1, 3}, {.dtype = f64, .generator = &g});
  };
  Tensor weight = full({3, 3}, 0.5, f64).requires_grad_(), twin = clone(weight.detach()).requires_grad_();
  auto loss_of = [](const Tensor& rows) { return sum(square(sum(rows, {0}))) + sum(square(rows)); };
  Tensor all = parallel::gathered_rows(of(world.rank()) * sum(weight), &world);
  std::vector<double> every;
  int64_t count = 0;
  for (int r = 0; r < world.size(); ++r) {
    for (double v : to_vector(of(r))) every.push_back(v);
    count += of(r).size(0);
  }
  REQUIRE(all.size(0) == count);
  loss_of(all).backward();
  Tensor unused = zeros({2}, f64).requires_grad_();
  parallel::sum_gradients({weight, unused}, &world);
  CHECK_FALSE(unused.grad().defined());
  loss_of(from_vector(every, {count, 3}) * sum(twin)).backward();
  auto got = to_vector(weight.grad()), wanted = to_vector(twin.grad());
  for (size_t i = 0; i < 9; ++i) CHECK(got[i] == doctest::Approx(wanted[i]).epsilon(1e-12));
}

TEST_CASE("sharded embedding: mistakes are named, on every process") {
  dist::Communicator& world = dist::mpi_world();
  parallel::ShardedEmbedding table(kRows, kColumns, {.processes = &world});
  // One process alone asks for a row that is not there; none waits for ever.
  int64_t asked = world.rank() == world.size() - 1 ? kRows : 0;
  CHECK_THROWS_WITH_AS(table.fetch(from_vector(std::vector<int64_t>{asked})), "sharded_embedding: row 11 is outside [0, 11)", IndexError);
  CHECK_THROWS_WITH_AS(table.fetch(tensor({-1})), "sharded_embedding: row -1 is outside [0, 11)", IndexError);
  parallel::FetchedRows rows = table.fetch(tensor({2}));
  CHECK_THROWS_WITH_AS(table.update(rows, {.weight_decay = 0.1}), "sharded_embedding: takes no weight decay, got 0.1", ValueError);
  CHECK_THROWS_WITH_AS(table.update({zeros({1, 4}), {}, {2}}, {}), "sharded_embedding: 1 rows [1, 4] are not of this table of 5 columns",
                       ShapeError);
  CHECK_THROWS_WITH_AS(parallel::ShardedEmbedding(0, 4), "sharded_embedding: sizes must be positive, they are 0 and 4", ValueError);
  CHECK_THROWS_WITH_AS(parallel::ShardedEmbedding(4, 4, {.dtype = bf16}), "sharded_embedding: takes f32 or f64, got bf16", DTypeError);
}
