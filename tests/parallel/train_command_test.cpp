// `mpirun -np N plumb train`: the numbers of one process, runs that any number of processes goes on with, and what happens when one is lost.
#include <dirent.h>
#include <doctest/doctest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmath>
#include <cstdlib>
#include <fstream>

#include "engine/io/file.h"
#include "engine/io/safetensors.h"
#include "models/train/metrics.h"
#include "models/train/run_directory.h"
#include "tests/tools/run_command.h"

using namespace plumb;

namespace {

// Under mpirun this file has nothing to test: it starts processes itself.
bool among_several() { return std::getenv("PLUMB_TEST_PROCESSES") != nullptr; }

std::string by(int processes, const std::string& arguments) {
  std::string mpirun = "env OMPI_MCA_plm=isolated OMPI_MCA_rmaps_base_oversubscribe=1 OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 "
                       "OMPI_MCA_btl_vader_single_copy_mechanism=none PLUMB_NUM_THREADS=1 mpirun -np ";
  std::string plumb = std::getenv("PLUMB_BINARY") ? std::getenv("PLUMB_BINARY") : "build/plumb";
  return processes == 1 ? plumb + " " + arguments : mpirun + std::to_string(processes) + " " + plumb + " " + arguments;
}

std::string text_file(const plumb_test::Scratch& scratch) {
  std::string text;
  for (int i = 0; i < 400; ++i) text += "the " + std::to_string(i * i % 97) + " cats and " + std::to_string(i % 13) + " dogs\n";
  write_file_atomic(scratch.path("text.txt"), text);
  return scratch.path("text.txt");
}

std::string gpt(const std::string& data, const std::string& out, int64_t steps, const std::string& more = "") {
  return "train gpt --data " + data + " --out " + out + " --layers 1 --heads 2 --width 16 --context 16 --batch 12 --warmup 2 --eval-every 4 --dtype f64 --steps " +
         std::to_string(steps) + " " + more;
}

double largest_difference(const StateDict& a, const StateDict& b) {
  double largest = a.size() == b.size() ? 0 : INFINITY;
  for (auto& [name, t] : a) {
    std::vector<double> x = to_vector(t), y = to_vector(b.at(name));
    for (size_t i = 0; i < x.size(); ++i) largest = std::max(largest, std::abs(x[i] - y[i]));
  }
  return largest;
}

StateDict weights(const std::string& run) { return train::RunDirectory::open(run).load_model(); }

size_t lines_of(const std::string& path) {
  std::ifstream file(path);
  size_t n = 0;
  for (std::string line; std::getline(file, line);) ++n;
  return n;
}

// Processes of this program's that have `text` in their command line and `rank` as Open MPI's rank.
pid_t process_of(const std::string& text, const std::string& rank) {
  pid_t found = 0;
  DIR* all = opendir("/proc");
  while (dirent* entry = readdir(all)) {
    std::string at = std::string("/proc/") + entry->d_name;
    auto contents = [&](const char* name) {
      std::ifstream file(at + name);
      return std::string(std::istreambuf_iterator<char>(file), {});
    };
    if (std::string line = contents("/cmdline"); line.find(text) == std::string::npos || line.find("mpirun") != std::string::npos) continue;
    if (contents("/environ").find("OMPI_COMM_WORLD_RANK=" + rank + '\0') != std::string::npos) found = static_cast<pid_t>(std::atoi(entry->d_name));
  }
  closedir(all);
  return found;
}

// Starts the command, kills the process of this rank once the run has `lines` lines of metrics, and returns what was said. Open MPI would kill the
// others a second later, which is too soon for a checkpoint on a busy machine.
std::string lose(const std::string& command, const std::string& run, const std::string& rank, size_t lines, const std::string& log) {
  pid_t child = fork();
  if (child == 0) {
    execl("/bin/sh", "sh", "-c", ("exec env OMPI_MCA_odls_base_sigkill_timeout=6 " + command + " >" + log + " 2>&1 </dev/null").c_str(), nullptr);
    _exit(127);
  }
  for (int tries = 0; (!path_exists(run + "/metrics.jsonl") || lines_of(run + "/metrics.jsonl") < lines) && tries < 30000; ++tries) usleep(1000);
  pid_t victim = process_of(run, rank);
  REQUIRE(victim > 0);
  kill(victim, SIGKILL);
  int status = 0;
  waitpid(child, &status, 0);
  CHECK(status != 0);
  usleep(1'500'000);  // what the launcher could not reach
  return read_file(log);
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
  std::string classifier = "train classifier --data digits --model mlp --hidden 16 --batch 24 --steps 20 --eval-every 10 --dtype f64 --out ";
  CHECK(run_shell(by(1, classifier + scratch.path("one"))).code == 0);
  REQUIRE(run_shell(by(3, classifier + scratch.path("three"))).code == 0);
  CHECK(largest_difference(weights(scratch.path("one")), weights(scratch.path("three"))) < 1e-6);
  auto a = train::read_metrics(scratch.path("one/metrics.jsonl")).back(), b = train::read_metrics(scratch.path("three/metrics.jsonl")).back();
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
    std::string said = lose(by(2, gpt(data, run, kSteps, std::string("--checkpoint-every 20 ") + c.more)), run, c.rank, 30, scratch.path("log"));
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
