// Data-parallel training: `mpirun -np N` starts N processes, each works on its own share of every batch, and gradients are averaged, so
// that all take the step that one process would take on the whole batch. Gradients travel in buckets while the backward pass goes on.
//   mpirun -np 2 data_parallel [steps]
#include <plumb/plumb.h>

#include <cstdio>
#include <cstdlib>

#include "engine/dist/mpi.h"

using namespace plumb;

struct Mlp : nn::Module {
  nn::Linear up{this, "up", 64, 128};
  nn::Linear down{this, "down", 128, 10};
  Tensor operator()(const Tensor& x) const { return down(gelu(up(flatten(x, 1)))); }
};

void fit(dist::Communicator& processes, int steps) {
  const bool speaks = processes.rank() == 0;
  manual_seed(0);  // the same initial weights everywhere
  Mlp model;
  optim::SGD sgd(model.parameters(), {.lr = 0.1, .momentum = 0.9});
  // A bucket is sent as soon as it is full. 25 MiB, the default, would hold all of this model; real ones fill many.
  parallel::GradientBuckets buckets(model.parameters(), processes, {.bytes = 4096});

  const int64_t batch_size = 64;  // of all processes together
  if (batch_size % processes.size() != 0) throw ConfigError("64 examples a batch cannot be shared evenly; start 1, 2, 4, 8, … processes");
  auto share = data::digits().train().shuffle({.seed = 0}).shard(processes.rank(), processes.size()).batch(batch_size / processes.size());
  for (int step = 0; step < steps; ++step) {
    data::Batch batch = share.next();
    Tensor loss = cross_entropy(model(batch.image), batch.label);
    sgd.zero_grad();
    buckets.backward(loss / static_cast<double>(processes.size()));
    sgd.step();
    Tensor total = loss.detach() + 0.0;
    processes.all_reduce(total);
    if (speaks && (step % 20 == 0 || step == steps - 1)) std::printf("step %3d  loss %.4f\n", step, total.item() / processes.size());
  }
  if (speaks) std::printf("%zu buckets, trained by %d processes\n", buckets.buckets().size(), processes.size());
}

int main(int argc, char** argv) {
  dist::Communicator& processes = dist::mpi_world();
  try {
    fit(processes, argc > 1 ? std::atoi(argv[1]) : 200);
  } catch (const Error& e) {
    std::fprintf(stderr, "data_parallel: %s\n", e.what());
    dist::abandon(2);  // the others would wait for this one
  }
}
