// What it costs to look up and to update a batch's rows of a table that `mpirun -np N` shares out among N processes, as its items grow from
// 10,000 to 10 million: a line for each size and for uniform numbers and those of a power law.
//   sharded_lookup [most items] [batch]
#include <cstdio>
#include <cstdlib>

#include "engine/core/error.h"
#include "engine/dist/mpi.h"
#include "methods/representation/item_ssl/lookup.h"

using namespace plumb;
using namespace plumb::methods;

void run(dist::Communicator& processes, int argc, char** argv) {
  const int64_t most = argc > 1 ? std::atoll(argv[1]) : 10'000'000, batch = argc > 2 ? std::atoll(argv[2]) : 4096;
  const bool speaks = processes.rank() == 0;
  if (speaks)
    std::printf("%d processes, each asks for %lld numbers at once; rows of 16 f32\n", processes.size(), static_cast<long long>(batch));
  if (speaks) std::printf("   items  numbers    fetch (ns)  fetch and update (ns)  different rows (%%)  rows here (MB)\n");
  for (int64_t items = 10'000; items <= most; items *= 10)
    for (double exponent : {0.0, 1.1}) {
      parallel::ShardedEmbedding table(items, 16, {.processes = &processes});
      Generator generator(static_cast<uint64_t>(processes.rank()));
      auto cost = item_ssl::lookup_cost(table, {.batch = batch, .exponent = exponent}, generator, &processes);
      if (speaks)
        std::printf("%8lld  %-9s  %10.1f  %21.1f  %18.1f  %14.1f\n", static_cast<long long>(items), exponent > 0 ? "power law" : "uniform",
                    cost.fetch_ns, cost.step_ns, 100 * cost.different, static_cast<double>(table.rows_here() * 64) / 1e6);
    }
}

int main(int argc, char** argv) {
  dist::Communicator& processes = dist::mpi_world();
  try {
    run(processes, argc, argv);
  } catch (const Error& e) {
    std::fprintf(stderr, "sharded_lookup: %s\n", e.what());
    dist::abandon(2);
  }
}
