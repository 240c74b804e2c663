// `mpirun -np N plumb train moe --expert-parallel`: the numbers of one process with the same batch, and runs that any number of processes
// goes on with.
#include <filesystem>

#include "tests/parallel/command.h"

using namespace plumb;
using namespace plumb_test;

namespace {

// Six experts a layer: four processes have one or two each. The capacity drops tokens, which depends on those of all processes.
std::string moe(const std::string& data, const std::string& out, int64_t steps, const std::string& more = "") {
  return "train moe --data " + data + " --out " + out +
         " --layers 2 --heads 2 --width 16 --context 16 --batch 24 --experts 6 --top-k 2 --capacity 1 --inner 12" +
         " --importance-loss 0.02 --z-loss 0.01 --clip 0.5 --warmup 2 --eval-every 4 --dtype f64 --steps " + std::to_string(steps) + " " +
         more;
}

void check_same(const plumb_test::Scratch& scratch, const std::string& one, const std::string& many) {
  CHECK(largest_difference(weights(scratch.path(one)), weights(scratch.path(many))) < 1e-6);
  auto a = train::read_metrics(scratch.path(one + "/metrics.jsonl")), b = train::read_metrics(scratch.path(many + "/metrics.jsonl"));
  REQUIRE(a.size() == b.size());
  for (size_t i = 0; i < a.size(); ++i)
    for (const char* name : {"train_loss", "grad_norm"}) CHECK(std::abs(a[i][name] - b[i][name]) < 1e-6);
  CHECK(std::abs(a.back()["val_loss"] - b.back()["val_loss"]) < 1e-6);
}

}  // namespace

TEST_CASE("mpirun plumb train moe --expert-parallel: the losses and weights of one process with the same batch") {
  if (among_several()) return;
  plumb_test::Scratch scratch;
  std::string data = text_file(scratch);
  struct Case {
    const char* name;
    int processes;
    const char* more;
  };
  for (const Case& c : {Case{"two", 2, "--balance-loss 0.05 --accumulate 2 --ema 0.9"},
                        Case{"three", 3, "--balance-loss 0.05 --recompute --shared 8"}, Case{"chosen", 4, "--router expert_choice"}}) {
    CAPTURE(c.name);
    REQUIRE(run_shell(by(1, moe(data, scratch.path(std::string(c.name) + "-one"), 4, c.more))).code == 0);
    Outcome outcome = run_shell(by(c.processes, moe(data, scratch.path(c.name), 4, std::string("--expert-parallel ") + c.more)));
    CAPTURE(outcome.err);
    REQUIRE(outcome.code == 0);
    check_same(scratch, std::string(c.name) + "-one", c.name);
  }
}

TEST_CASE("mpirun plumb train moe --expert-parallel: a lost process leaves a checkpoint that any number of processes goes on from") {
  if (among_several()) return;
  plumb_test::Scratch scratch;
  std::string data = text_file(scratch), run = scratch.path("run");
  constexpr int64_t kSteps = 32;
  REQUIRE(run_shell(by(1, moe(data, scratch.path("whole"), kSteps))).code == 0);
  std::string said = lose(by(2, moe(data, run, kSteps, "--expert-parallel --checkpoint-every 10")), run, "1", 15, scratch.path("log"));
  CAPTURE(said);
  CHECK(said.find("plumb: a process was lost or told to stop; step ") != std::string::npos);
  auto checkpoint = train::RunDirectory::open(run).latest();
  REQUIRE(checkpoint);
  CHECK(checkpoint->step % 10 == 0);  // the experts of the lost process are gone: the last checkpoint
  CHECK(checkpoint->step > 0);
  CHECK(checkpoint->tensors.at("model.blocks.0.moe.experts.up.weight").size(0) == 6);
  for (int processes : {1, 3}) {
    CAPTURE(processes);
    std::string again = "again-" + std::to_string(processes);
    std::filesystem::copy(run, scratch.path(again), std::filesystem::copy_options::recursive);
    Outcome outcome = run_shell(by(processes, "train moe --resume " + scratch.path(again)));
    CAPTURE(outcome.err);
    REQUIRE(outcome.code == 0);
    check_same(scratch, "whole", again);
  }
}

TEST_CASE("mpirun plumb train moe --expert-parallel: what is wrong is one line, and nothing is written") {
  if (among_several()) return;
  plumb_test::Scratch scratch;
  std::string data = text_file(scratch), run = scratch.path("run");
  Outcome few = run_shell(by(3, "train moe --data " + data + " --out " + run + " --experts 2 --expert-parallel"));
  CHECK(few.code != 0);
  CHECK(few.err.find("plumb: train moe: --expert-parallel: 3 processes are more than --experts 2; start so many at most\n") !=
        std::string::npos);
  Outcome twice = run_shell(by(2, moe(data, run, 8, "--expert-parallel --shard-optimizer")));
  CHECK(twice.err.find("plumb: train moe: --expert-parallel shares the experts' part of the optimiser's state out already; leave out "
                       "--shard-optimizer\n") != std::string::npos);
  CHECK(!path_exists(run));
}
