// What of a whole is this process's: rows of a batch, experts of a layer; and the numbers that such tests begin with, the same on all.
#pragma once
#include "engine/core/generator.h"
#include "engine/dist/mpi.h"
#include "models/parallel/sharded_parameters.h"
#include "ops/random.h"
#include "ops/shape.h"

namespace plumb_test {

inline plumb::Tensor noise(const plumb::Shape& shape, uint64_t seed) {
  plumb::Generator generator(seed);
  return plumb::randn(shape, {.dtype = plumb::f64, .generator = &generator});
}

/// This process's share of the rows; their number is divisible by that of the processes.
inline plumb::Tensor share(const plumb::Tensor& x) {
  plumb::dist::Communicator& world = plumb::dist::mpi_world();
  int64_t rows = x.size(0) / world.size();
  return plumb::narrow(x, 0, world.rank() * rows, rows);
}

/// This process's experts among the rows of a whole parameter.
inline plumb::Tensor experts_of(const plumb::Tensor& x) {
  auto [begin, end] = plumb::parallel::rows_of(x.size(0), plumb::dist::mpi_world().rank(), plumb::dist::mpi_world().size());
  return plumb::narrow(x, 0, begin, end - begin);
}

}  // namespace plumb_test
