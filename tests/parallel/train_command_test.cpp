// `mpirun -np N plumb train`: the numbers of one process, runs that any number of processes goes on with, and what happens when one is
// lost.
#include "tests/parallel/command.h"

using namespace plumb;
using namespace plumb_test;

namespace {

std::string gpt(const std::string& data, const std::string& out, int64_t steps, const std::string& more = "") {
  return "train gpt --data " + data + " --out " + out +
         " --layers 1 --heads 2 --width 16 --context 16 --batch 12 --warmup 2 --eval-every 4 --dtype f64 --steps " + std::to_string(steps) +
         " " + more;
}

}  // namespace

TEST_CASE("mpirun plumb train gpt: the losses and weights of one process; the first writes") {
  if (among_several()) return;
  plumb_test::Scratch scratch;
  std::string data = text_file(scratch);
  CHECK(run_shell(by(1, gpt(data, scratch.path("one"), 8))).code == 0);
  for (const char* more : {"", "--shard-optimizer"}) {
    CAPTURE(more);
    std::string run = scratch.path(std::string("three") + more);
    Outcome outcome = run_shell(by(3, gpt(data, run, 8, more)));
    CAPTURE(outcome.err);
    REQUIRE(outcome.code == 0);
    CHECK(outcome.err.find("vocabulary") == outcome.err.rfind("vocabulary"));  // said once
    CHECK(largest_difference(weights(scratch.path("one")), weights(run)) < 1e-6);
    auto a = train::read_metrics(scratch.path("one/metrics.jsonl")), b = train::read_metrics(run + "/metrics.jsonl");
    REQUIRE(b.size() == 8);
    for (size_t i = 0; i < 8; ++i)
      for (const char* name : {"train_loss", "grad_norm"}) CHECK(std::abs(a[i][name] - b[i][name]) < 1e-6);
    CHECK(std::abs(a[7]["val_loss"] - b[7]["val_loss"]) < 1e-6);
  }
}

TEST_CASE("mpirun plumb train classifier: the measures of one process") {
  if (among_several()) return;
  plumb_test::Scratch scratch;
  std::string classifier =
      "train classifier --data digits --model mlp --hidden 16 --batch 24 --steps 20 --eval-every 10 --dtype f64 --out ";
  CHECK(run_shell(by(1, classifier + scratch.path("one"))).code == 0);
  REQUIRE(run_shell(by(3, classifier + scratch.path("three"))).code == 0);
  CHECK(largest_difference(weights(scratch.path("one")), weights(scratch.path("three"))) < 1e-6);
  auto a = train::read_metrics(scratch.path("one/metrics.jsonl")).back(),
       b = train::read_metrics(scratch.path("three/metrics.jsonl")).back();
  for (const char* name : {"train_loss", "val_loss", "val_accuracy", "test_accuracy"}) CHECK(std::abs(a[name] - b[name]) < 1e-6);
}

TEST_CASE("mpirun plumb train: what is wrong is one line, and nothing is written") {
  if (among_several()) return;
  plumb_test::Scratch scratch;
  Outcome outcome = run_shell(by(5, gpt(text_file(scratch), scratch.path("run"), 8)));
  CHECK(outcome.code != 0);
  CHECK(outcome.err.find("plumb: train gpt: --batch 12 is not divisible by 5 processes\n") != std::string::npos);
  CHECK(outcome.err.find("process 1 of 5") == std::string::npos);
  CHECK(!path_exists(scratch.path("run")));
}

TEST_CASE("mpirun plumb train: a killed process ends the run with a line and a checkpoint that any number of processes goes on from") {
  if (among_several()) return;
  plumb_test::Scratch scratch;
  std::string data = text_file(scratch);
  constexpr int64_t kSteps = 400;
  CHECK(run_shell(by(1, gpt(data, scratch.path("whole"), kSteps, "--checkpoint-every 20"))).code == 0);
  struct Case {
    const char *rank, *more;
    int then;
  };
  for (const Case& c : {Case{"1", "", 1}, Case{"0", "", 2}, Case{"1", "--shard-optimizer", 3}}) {
    std::string run = scratch.path(std::string("run-") + c.rank + c.more);
    std::string said =
        lose(by(2, gpt(data, run, kSteps, std::string("--checkpoint-every 20 ") + c.more)), run, c.rank, 30, scratch.path("log"));
    CAPTURE(said);
    CHECK(said.find("plumb: a process was lost or told to stop; step ") != std::string::npos);
    CHECK(said.find("--resume " + run) != std::string::npos);
    auto checkpoint = train::RunDirectory::open(run).latest();
    REQUIRE(checkpoint);
    if (*c.more) CHECK(checkpoint->step % 20 == 0);  // state of the lost process is gone: the last checkpoint
    else CHECK(checkpoint->step >= 30);
    CHECK(checkpoint->step < kSteps);
    CHECK(run_shell(by(c.then, "train gpt --resume " + run)).code == 0);
    CHECK(largest_difference(weights(scratch.path("whole")), weights(run)) < 1e-6);
  }
}
