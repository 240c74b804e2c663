// What can change around a run that goes on: its data, its directory, the room it has, the clock, and threads that fail.
#include <doctest/doctest.h>

#include <atomic>
#include <filesystem>

#include "engine/core/error.h"
#include "engine/core/generator.h"
#include "engine/core/parallel.h"
#include "engine/data/dataset.h"
#include "engine/data/loader.h"
#include "engine/io/file.h"
#include "models/nn/linear.h"
#include "models/optim/adam.h"
#include "models/optim/schedule.h"
#include "models/train/trainer.h"
#include "ops/loss.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/shape.h"
#include "tests/faults/clock.h"
#include "tests/faults/process.h"
#include "tests/faults/small_run.h"
#include "tests/tools/stop_midway.h"

using namespace plumb;
using plumb_test::Process;
using plumb_test::SmallRuns;
using plumb_test::wait_for_lines;
namespace fs = std::filesystem;

namespace {

// A run within the test, whose steps a test can disturb.
struct Here {
  plumb_test::Scratch scratch;
  nn::Linear model{2, 1};
  optim::AdamW adamw{model.parameters(), {.lr = 0.05}};
  std::function<void(int64_t step)> disturb = [](int64_t) {};

  Here() {
    manual_seed(4);
    nn::Linear fresh(2, 1);
    model.load_state(fresh.state());
  }
  std::string path() const { return scratch.path("run"); }
  int run() {
    train::Training training{.model = &model, .optimizer = &adamw, .schedule = optim::constant(), .loss = [this](const train::Part& part) {
                               disturb(part.step);
                               Generator generator(static_cast<uint64_t>(part.step));
                               Tensor x = randn({8, 2}, {.generator = &generator});
                               return mse_loss(model(x), narrow(x, 1, 0, 1) + rand({8, 1}));
                             }};
    auto directory = path_exists(path()) ? train::RunDirectory::open(path()) : train::RunDirectory::create(path(), "{}");
    return train::train(directory, training, {.steps = 10, .checkpoint_every = 2});
  }
  std::string saved() const { return read_file(path() + "/model.safetensors"); }
};

std::string undisturbed() {
  Here here;
  REQUIRE(here.run() == 0);
  return here.saved();
}

// A run that ended with an error goes on in another process: nothing of this one's memory is used again.
void check_goes_on(const Here& broken, int64_t from_step, const std::string& expected) {
  CHECK(train::RunDirectory::open(broken.path()).latest()->step == from_step);
  Here again;
  fs::copy(broken.path(), again.path(), fs::copy_options::recursive);
  CHECK(again.run() == 0);
  CHECK(again.saved() == expected);
}

}  // namespace

TEST_CASE("surroundings: a text that changes or shrinks while it is trained on does not change the run; going on with another is refused") {
  SmallRuns r;
  const std::string text = read_file(r.data);
  REQUIRE(run_plumb(r.train("whole", 400)).code == 0);
  for (const std::string& other : {SmallRuns::text(4000, 2), text.substr(0, 10), std::string()}) {
    r.scratch.put("text.txt", text);
    Process process(r.train("changed", 400));
    REQUIRE(wait_for_lines(process, r.run("changed") + "/metrics.jsonl", 5));
    fs::resize_file(r.data, 0);              // the same file, cut in place …
    std::ofstream(r.data, std::ios::app) << other;  // … and written anew
    REQUIRE(wait_for_lines(process, r.run("changed") + "/metrics.jsonl", 30));
    process.kill(SIGTERM);
    CHECK(process.wait() == 143);
    Outcome refused = run_plumb(r.train("changed"));
    CHECK(refused.code == 2);
    std::string said = other.empty() ? "is empty" : r.data + " has changed since the run began; a resumed run would not be the same";
    CHECK_MESSAGE(refused.err.find(said) != std::string::npos, refused.err);
    r.scratch.put("text.txt", text);
    REQUIRE(run_plumb(r.train("changed")).code == 0);
    CHECK(r.weights("changed") == r.weights("whole"));
    fs::remove_all(r.run("changed"));
  }
}

TEST_CASE("surroundings: a run directory that is moved away ends the run with its name, and goes on where it is now") {
  SmallRuns r;
  REQUIRE(run_plumb(r.train("whole", 400)).code == 0);
  Process process(r.train("here", 400));
  REQUIRE(wait_for_lines(process, r.run("here") + "/metrics.jsonl", 5));
  fs::rename(r.run("here"), r.run("there"));
  CHECK(process.wait() == 2);
  // What it did when the directory went decides which of these it says: it wrote a checkpoint, or looked for those that are to go.
  std::string said = process.errors();
  bool named = (said.find("write: " + r.run("here") + "/") != std::string::npos &&
                said.find("its directory does not exist; make it first") != std::string::npos) ||
               said.find("run: " + r.run("here") + "/checkpoints is missing; bring it back") != std::string::npos;
  CHECK_MESSAGE(named, said);
  CHECK(!fs::exists(r.run("here")));
  REQUIRE(run_plumb(r.train("there")).code == 0);
  CHECK(r.weights("there") == r.weights("whole"));
}

TEST_CASE("surroundings: a directory of checkpoints that is lost is an error, not a new beginning") {
  SmallRuns r;
  CHECK(stop_midway(r.train("a", 400), r.run("a") + "/metrics.jsonl", 10, SIGKILL) == 128 + SIGKILL);
  fs::rename(r.run("a") + "/checkpoints", r.scratch.path("lost"));
  std::string metrics = read_file(r.run("a") + "/metrics.jsonl");
  Outcome o = run_plumb(r.train("a"));
  CHECK(o.code == 2);
  CHECK_MESSAGE(
      o.err.find(r.run("a") + "/checkpoints is missing; bring it back, or make it (mkdir) to train from the start") != std::string::npos,
      o.err);
  CHECK(read_file(r.run("a") + "/metrics.jsonl") == metrics);
}

TEST_CASE("surroundings: metrics that are lost are told, and the run goes on") {
  SmallRuns r;
  REQUIRE(run_plumb(r.train("whole", 400)).code == 0);
  CHECK(stop_midway(r.train("a", 400), r.run("a") + "/metrics.jsonl", 30, SIGTERM) == 128 + SIGTERM);
  fs::resize_file(r.run("a") + "/metrics.jsonl", read_file(r.run("a") + "/metrics.jsonl").find('\n') + 1);
  Outcome o = run_plumb(r.train("a", 400));
  CHECK(o.code == 0);
  CHECK_MESSAGE(o.err.find(r.run("a") + "/metrics.jsonl has no lines of steps 2 to ") != std::string::npos, o.err);
  CHECK(r.weights("a") == r.weights("whole"));
}

TEST_CASE("surroundings: a file that may not grow enough for a checkpoint is an error; with more room the run goes on") {
  SmallRuns r;
  REQUIRE(run_plumb(r.train("whole")).code == 0);
  Process process(r.train("a"), "ulimit -f 16;");
  CHECK(process.wait() == 2);
  CHECK_MESSAGE(process.errors().find("the file would exceed the file size limit (ulimit -f); nothing was written") != std::string::npos,
                process.errors());
  REQUIRE(run_plumb(r.train("a")).code == 0);
  CHECK(r.weights("a") == r.weights("whole"));
}

TEST_CASE("surroundings: a worker thread that throws ends the run with what it threw, and the threads work on") {
  std::string expected = undisturbed();
  set_num_threads(3);
  for (int64_t thrower : {0, 1, 7, 99}) {
    Here here;
    here.disturb = [&](int64_t step) {
      parallel_for(100, 1, [&](int64_t begin, int64_t end) {
        if (step == 5 && begin <= thrower && thrower < end) throw IoError("item " + std::to_string(thrower) + " is broken");
      });
    };
    CHECK_THROWS_WITH_AS(here.run(), ("item " + std::to_string(thrower) + " is broken").c_str(), IoError);
    check_goes_on(here, 4, expected);
    std::atomic<int64_t> sum{0};
    parallel_for(100, 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) sum += i;
    });
    CHECK(sum == 4950);
  }
}

TEST_CASE("surroundings: a loader's thread that throws ends the run with what it threw") {
  std::string expected = undisturbed();
  Here here;
  data::Dataset images = data::from_function(80, [](int64_t i) {
    if (i == 44) throw IoError("image 44: was cut short meanwhile");
    data::Sample sample;
    sample.features = full({1}, static_cast<double>(i));
    return sample;
  });
  data::DataLoader loader = images.batch(8, {.workers = 2});
  here.disturb = [&](int64_t) { loader.next(); };
  CHECK_THROWS_WITH_AS(here.run(), "image 44: was cut short meanwhile", IoError);
  check_goes_on(here, 4, expected);
}

TEST_CASE("surroundings: a clock that jumps years ahead and back changes nothing") {
  std::string expected = undisturbed();
  Here here;
  plumb_test::clock::Jumping jumping(10'000'000);
  CHECK(here.run() == 0);
  CHECK(plumb_test::clock::Jumping::readings() > 10);
  CHECK(here.saved() == expected);
  fs::remove(here.path() + "/model.safetensors");
  fs::remove(here.path() + "/checkpoints/step-00000010.safetensors");  // as if killed after step 8
  Here again;
  fs::copy(here.path(), again.path(), fs::copy_options::recursive);
  CHECK(again.run() == 0);
  CHECK(again.saved() == expected);
}

TEST_CASE("surroundings: a second process that goes on with a run that is being trained is refused, and does not disturb it") {
  SmallRuns r;
  REQUIRE(run_plumb(r.train("alone", 200)).code == 0);
  Process first(r.train("run", 200));
  REQUIRE(wait_for_lines(first, r.run("run") + "/metrics.jsonl", 3));
  first.kill(SIGSTOP);
  Outcome second = run_plumb("train gpt --resume " + r.run("run"));
  first.kill(SIGCONT);
  CHECK(second.code == 2);
  CHECK_MESSAGE(second.err.find("is being trained by process " + std::to_string(first.pid()) + " on ") != std::string::npos, second.err);
  CHECK(first.wait() == 0);
  CHECK(r.weights("run") == r.weights("alone"));
}
