// What a lookup in a shared table costs: the time of fetching a batch's rows, and of a whole step with their update.
#pragma once
#include <cstdint>
#include <vector>

#include "engine/core/generator.h"
#include "models/nn/embedding.h"
#include "models/parallel/sharded_embedding.h"

namespace plumb::methods::item_ssl {

/// `count` row numbers of [0, rows): uniform (exponent 0), or with the density of a power law, number r with a probability ∝ (r +
/// 1)^−exponent as the integral over [r + 1, r + 2) has it. Throws ValueError for rows < 1, a negative count or exponent.
std::vector<int64_t> power_law_rows(int64_t rows, int64_t count, double exponent, Generator& generator);

struct LookupLoad {
  int64_t batch = 4096;  ///< numbers asked for at once, by each process
  double exponent = 0;   ///< of their power law; 0: uniform
  int64_t repeats = 30;  ///< batches that count; one more goes first
};
/// Least over the batches, each of which asks for other rows, in nanoseconds for each number asked for: whatever else runs only adds.
struct LookupCost {
  double fetch_ns = 0;   ///< of having the rows
  double step_ns = 0;    ///< of having them and updating the table with a gradient of theirs
  double different = 0;  ///< share of the numbers that are different rows, a mean
};
/// Of fetch and update. `generator` should differ between processes; times are those of the slowest. Throws ValueError for repeats < 1 or
/// batch < 1.
LookupCost lookup_cost(parallel::ShardedEmbedding& table, const LookupLoad& load, Generator& generator,
                       dist::Communicator* processes = nullptr);
/// Of embedding() in a plain table, backward() and Adam over all its rows.
LookupCost dense_lookup_cost(const nn::Embedding& table, const LookupLoad& load, Generator& generator);

}  // namespace plumb::methods::item_ssl
