// `plumb train moe --expert-parallel` by processes with a device each, against the same by processes without.
#include "engine/dist/world.h"
#include "models/train/run_directory.h"
#include "tests/cuda/tools/runs.h"

using namespace plumb;
using namespace plumb::testing;

TEST_CASE("train moe --expert-parallel --device cuda: the losses and weights of processes on the CPU") {
  Runs own;
  const std::string shared = dist::world().all_gather(own.scratch.path(""))[0] + "/";  // all work in the first one's directory
  const std::string device = std::getenv("PLUMB_TEST_GPU") ? "cuda" : "cuda:0";
  auto train = [&](const std::string& name, const std::string& more) {
    REQUIRE(run_here("train moe --data " + shared +
                     "text.txt --layers 1 --heads 2 --width 8 --context 8 --batch 12 --experts 5 --top-k 2 --capacity 1 --inner 8 "
                     "--balance-loss 0.05"
                     " --clip 0.5 --warmup 1 --steps 3 --eval-every 0 --dtype f64 --expert-parallel --out " +
                     shared + name + more) == 0);
    dist::world().barrier();
    return train::read_metrics(shared + name + "/metrics.jsonl");
  };
  auto cpu = train("cpu", ""), gpu = train("gpu", " --device " + device);
  REQUIRE(cpu.size() == gpu.size());
  for (size_t i = 0; i < cpu.size(); ++i)
    for (const char* measure : {"train_loss", "grad_norm"}) CHECK(std::abs(cpu[i][measure] - gpu[i][measure]) < 1e-9);
  StateDict a = train::RunDirectory::open(shared + "cpu").load_model(), b = train::RunDirectory::open(shared + "gpu").load_model();
  REQUIRE(a.size() == b.size());
  for (auto& [name, t] : a) {
    std::vector<double> x = to_vector(t), y = to_vector(b.at(name));
    REQUIRE(x.size() == y.size());
    for (size_t i = 0; i < x.size(); ++i) CHECK(std::abs(x[i] - y[i]) < 1e-6);
  }
  dist::world().barrier();  // before the directory goes
}
