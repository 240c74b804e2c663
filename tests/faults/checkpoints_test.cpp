// A training run on a disk that fails at every call, one after the other: opening, reading, writing, syncing, closing, renaming, cutting
// and removing files. Whatever goes wrong, the checkpoints that are there are whole, none that was written is lost, and the run that goes
// on ends with the bits of a run that nothing happened to.
#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>

#include "engine/core/generator.h"
#include "engine/core/parallel.h"
#include "engine/io/file.h"
#include "models/nn/linear.h"
#include "models/optim/adam.h"
#include "models/optim/schedule.h"
#include "models/train/beginning.h"
#include "models/train/trainer.h"
#include "ops/loss.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/shape.h"
#include "tests/faults/disk.h"
#include "tests/tools/stop_midway.h"

using namespace plumb;
using plumb_test::Scratch;
using plumb_test::disk::Fault;
using plumb_test::disk::Plan;
namespace disk = plumb_test::disk;
namespace fs = std::filesystem;

namespace {

constexpr int64_t kSteps = 6, kCheckpointEvery = 2;

// What a training process that may be killed says to the test: memory that both have.
struct Said {
  long calls;           // counted on the disk
  int64_t steps_begun;
  char call[16];        // that failed
  char error[600];      // how the run ended
};

class Shared {
 public:
  Shared() : memory_(mmap(nullptr, sizeof(Said), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0)) {
    REQUIRE(memory_ != MAP_FAILED);
  }
  ~Shared() { munmap(memory_, sizeof(Said)); }
  Shared(const Shared&) = delete;
  Shared& operator=(const Shared&) = delete;
  Said* operator->() const { return static_cast<Said*>(memory_); }
  void clear() { std::memset(memory_, 0, sizeof(Said)); }

 private:
  void* memory_;
};

// y = 2 x0 − x1 with noise from the default generator, averaged weights and the best weights kept: every kind of state that a checkpoint
// has.
int train_to_the_end(const std::string& path, const Shared& said) {
  manual_seed(1);
  nn::Linear model(2, 1);
  optim::AdamW adamw(model.parameters(), {.lr = 0.05});
  train::Training training{.model = &model, .optimizer = &adamw, .schedule = optim::cosine(kSteps, 1, 0.1), .loss = {}};
  training.loss = [&](const train::Part& part) {
    said->steps_begun = part.step + 1;
    Generator generator(100 + static_cast<uint64_t>(part.step));
    Tensor x = randn({8, 2}, {.generator = &generator});
    return mse_loss(model(x), narrow(x, 1, 0, 1) * 2 - narrow(x, 1, 1, 1) + rand({8, 1}) * 0.1);
  };
  training.validate = [&] { return train::Measures{{"val_loss", 1 / (1.0 + static_cast<double>(model.weight.data<float>()[0]))}}; };
  auto run = train::may_begin_at(path) ? train::RunDirectory::create(path, "{}") : train::RunDirectory::open(path);
  return train::train(run, training, {.steps = kSteps, .eval_every = 3, .checkpoint_every = kCheckpointEvery, .ema = 0.8, .patience = 100});
}

// The same in a process of its own. Returns its exit status: 0, 2 for one of Plumb's errors, 3 for another, 128 + the signal that ended it.
int train_apart(const std::string& path, const Plan& plan, Shared& said) {
  said.clear();
  pid_t child = fork();
  if (child == 0) {
    dup2(open("/dev/null", O_WRONLY), STDERR_FILENO);
    int code = 3;
    try {
      disk::begin(plan);
      code = train_to_the_end(path, said);
    } catch (const Error& error) {
      code = 2;
      std::strncpy(said->error, error.what(), sizeof said->error - 1);
    } catch (const std::exception& error) { std::strncpy(said->error, error.what(), sizeof said->error - 1); }
    said->calls = disk::end();
    std::strncpy(said->call, disk::failed_call(), sizeof said->call - 1);
    std::_Exit(code);
  }
  int status = 0;
  waitpid(child, &status, 0);
  return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

std::string last_checkpoint(int64_t step) { return "/checkpoints/step-0000000" + std::to_string(step) + ".safetensors"; }

size_t temporary_files(const std::string& directory) {
  size_t count = 0;
  for (const auto& entry : fs::recursive_directory_iterator(directory)) count += entry.path().extension() == ".tmp";
  return count;
}

// A run without faults, and what every other is compared with.
struct Reference {
  Scratch scratch;
  Shared said;
  std::string model, checkpoint;
  std::vector<std::string> metrics;
  long calls = 0;
  Reference() {
    set_num_threads(1);  // what forks must have no threads
    std::string run = scratch.path("run");
    REQUIRE(train_apart(run, {.directory = run}, said) == 0);
    calls = said->calls;
    model = read_file(run + "/model.safetensors");
    checkpoint = read_file(run + last_checkpoint(kSteps));
    metrics = numbers(run + "/metrics.jsonl");
  }
};

// Nothing that stands under a checkpoint's name is damaged, and the newest is at least as new as the steps begun promise.
void check_checkpoints(const std::string& run, int64_t steps_begun) {
  if (!path_exists(run + "/config.json")) {
    CHECK(steps_begun == 0);
    return;
  }
  for (const auto& entry : fs::directory_iterator(run + "/checkpoints"))
    if (entry.path().extension() == ".safetensors") CHECK_NOTHROW(load_safetensors(entry.path()));
  std::optional<train::Checkpoint> newest = train::RunDirectory::open(run).latest();
  int64_t promised = std::max<int64_t>(steps_begun - 1, 0) / kCheckpointEvery * kCheckpointEvery;
  CHECK((newest ? newest->step : 0) >= promised);
}

// `plan` strikes a run at its beginning, or when it goes on from `from` (a run directory); then it goes on undisturbed.
void survives(const Reference& reference, Shared& said, Plan plan, const std::string& from = "") {
  Scratch scratch;
  std::string run = scratch.path("run");
  plan.directory = run;
  if (!from.empty()) fs::copy(from, run, fs::copy_options::recursive);
  int code = train_apart(run, plan, said);
  CAPTURE(plan.call);
  CAPTURE(static_cast<int>(plan.fault));
  CAPTURE(plan.error);
  CAPTURE(std::string(said->call));
  CAPTURE(std::string(said->error));
  bool killed = plan.fault == Fault::kill || plan.fault == Fault::kill_halfway || plan.fault == Fault::power_loss;
  CHECK((killed ? code == 128 + SIGKILL : code == 0 || code == 2));
  if (code == 2) CHECK(std::string(said->error).find(run) != std::string::npos);  // it is said where
  if (plan.fault == Fault::full) CHECK(code == (said->call[0] ? 2 : 0));  // the last calls need no room
  if (plan.fault == Fault::cut_short || plan.fault == Fault::slow) CHECK(code == 0);
  if (!killed && from.empty() && path_exists(run)) CHECK(temporary_files(run) == (std::string(said->call) == "unlink" ? 1 : 0));
  check_checkpoints(run, said->steps_begun);
  REQUIRE(train_apart(run, {.directory = run}, said) == 0);
  CHECK(read_file(run + "/model.safetensors") == reference.model);
  CHECK(read_file(run + last_checkpoint(kSteps)) == reference.checkpoint);
  CHECK(numbers(run + "/metrics.jsonl") == reference.metrics);
  if (killed) CHECK(temporary_files(run) == 0);
}

}  // namespace

TEST_CASE("faults: killed at every call, also in the midst of a write") {
  Reference reference;
  Shared said;
  MESSAGE("a run of " << kSteps << " steps makes " << reference.calls << " calls for its files");
  REQUIRE(reference.calls > 100);
  for (Fault fault : {Fault::kill, Fault::kill_halfway})
    for (long call = 0; call < reference.calls; ++call) survives(reference, said, {.fault = fault, .call = call});
}

TEST_CASE("faults: a loss of power at every call, which takes what was not synced") {
  Reference reference;
  Shared said;
  for (long call = 0; call < reference.calls; ++call) survives(reference, said, {.fault = Fault::power_loss, .call = call});
}

TEST_CASE("faults: every call fails once, as on a broken disk, a read-only one, and in a directory that may not be written") {
  Reference reference;
  Shared said;
  for (long call = 0; call < reference.calls; ++call) survives(reference, said, {.fault = Fault::error, .call = call, .error = EIO});
  for (int error : {EROFS, EACCES})  // of which less can be new
    for (long call = error % 3; call < reference.calls; call += 3)
      survives(reference, said, {.fault = Fault::error, .call = call, .error = error});
}

TEST_CASE("faults: the disk is full from any call on") {
  Reference reference;
  Shared said;
  for (long call = 0; call < reference.calls; ++call) survives(reference, said, {.fault = Fault::full, .call = call});
}

TEST_CASE("faults: writes that are cut short, calls that are interrupted, and a slow disk change nothing") {
  Reference reference;
  Shared said;
  for (long call = 0; call < reference.calls; ++call) survives(reference, said, {.fault = Fault::cut_short, .call = call});
  survives(reference, said, {.fault = Fault::slow});
}

TEST_CASE("faults: a run that goes on is struck at every call") {
  Reference reference;
  Shared said;
  Scratch scratch;
  std::string run = scratch.path("run");
  // Killed in the midst of writing the checkpoint of step 4: that of step 2 and half a file are there.
  for (long call = 0; !fs::exists(run + last_checkpoint(2)) || temporary_files(run) == 0; ++call) {
    REQUIRE(call < reference.calls);
    fs::remove_all(run);
    train_apart(run, {.directory = run, .fault = Fault::kill_halfway, .call = call}, said);
  }
  Scratch other;
  fs::copy(run, other.path("run"), fs::copy_options::recursive);
  REQUIRE(train_apart(other.path("run"), {.directory = other.path("run")}, said) == 0);
  long calls = said->calls;
  for (Plan plan : {Plan{.fault = Fault::kill}, Plan{.fault = Fault::power_loss}, Plan{.fault = Fault::error, .error = EIO},
                    Plan{.fault = Fault::full}})
    for (plan.call = 0; plan.call < calls; ++plan.call) survives(reference, said, plan, run);
}
