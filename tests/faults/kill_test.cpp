// `plumb train gpt` killed at random moments again and again: PLUMB_KILLS of them (tools/nightly.sh: 200), drawn from PLUMB_KILL_SEED.
#include <doctest/doctest.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <random>

#include "models/train/run_directory.h"
#include "tests/faults/process.h"
#include "tests/faults/small_run.h"
#include "tests/tools/stop_midway.h"

using namespace plumb;
using plumb_test::Process;
using plumb_test::SmallRuns;
namespace fs = std::filesystem;

namespace {

long number_from(const char* variable, long otherwise) {
  const char* text = std::getenv(variable);
  return text ? std::atol(text) : otherwise;
}

// The newest checkpoint's step, 0 without; every checkpoint is read and checked against its checksums.
int64_t newest_step(const std::string& run) {
  if (!path_exists(run + "/config.json")) return 0;
  for (const auto& entry : fs::directory_iterator(run + "/checkpoints"))
    if (entry.path().extension() == ".safetensors") CHECK_NOTHROW(load_safetensors(entry.path()));
  auto newest = train::RunDirectory::open(run).latest();
  return newest ? newest->step : 0;
}

}  // namespace

TEST_CASE("kill: however often a run is killed, no checkpoint is damaged or lost, and it ends with the same bits") {
  SmallRuns r;
  auto start = std::chrono::steady_clock::now();
  REQUIRE(run_plumb(r.train("whole", 60, 2)).code == 0);
  auto duration = std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::steady_clock::now() - start).count();
  const std::string weights = r.weights("whole");
  const auto metrics = numbers(r.run("whole") + "/metrics.jsonl");

  long kills = number_from("PLUMB_KILLS", 6), seed = number_from("PLUMB_KILL_SEED", 1), finished = 0, in_a_write = 0;
  std::mt19937_64 random(static_cast<uint64_t>(seed));
  CAPTURE(seed);
  int code = 1;
  for (long killed = 0; killed < kills || code != 0;) {
    int64_t before = newest_step(r.run("cut"));
    Process process(r.train("cut", 60, 2));
    if (killed < kills) {
      usleep(static_cast<useconds_t>(random() % static_cast<uint64_t>(duration)));
      process.kill(SIGKILL);
    }
    code = process.wait();
    CAPTURE(killed);
    CHECK_MESSAGE((code == 0 || code == 128 + SIGKILL), process.errors());
    killed += code != 0;
    if (path_exists(r.run("cut") + "/checkpoints"))
      for (const auto& entry : fs::directory_iterator(r.run("cut") + "/checkpoints"))
        in_a_write += code != 0 && entry.path().extension() == ".tmp";
    CHECK(newest_step(r.run("cut")) >= before);
    if (code != 0) continue;
    ++finished;
    CHECK(r.weights("cut") == weights);
    CHECK(numbers(r.run("cut") + "/metrics.jsonl") == metrics);
    fs::remove_all(r.run("cut"));
  }
  MESSAGE(kills << " kills, " << in_a_write << " of them while a checkpoint was written; " << finished << " runs went on to their end");
}
