// `plumb train gpt`, `sample` and `eval` as a user meets them: a small run, killed and resumed, with any number of threads.
#include <doctest/doctest.h>
#include <signal.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "engine/io/file.h"
#include "models/train/metrics.h"
#include "tests/tools/stop_midway.h"

using namespace plumb;
namespace fs = std::filesystem;

namespace {

const char* kSizes =
    " --layers 1 --heads 2 --width 16 --context 16 --batch 4 --steps 60 --eval-every 20 --checkpoint-every 20 --dropout 0.1";

// A text with something to learn: sentences of a small grammar.
std::string text(int sentences) {
  const char* who[] = {"the cat", "a dog", "the old fox", "one bird"};
  const char* does[] = {"sees", "follows", "hears"};
  std::string out;
  unsigned state = 7;
  auto next = [&](unsigned n) { return (state = state * 1664525u + 1013904223u) / 65536u % n; };
  for (int i = 0; i < sentences; ++i) out += std::string(who[next(4)]) + " " + does[next(3)] + " " + who[next(4)] + ".\n";
  return out;
}

struct Runs {
  plumb_test::Scratch scratch;
  Runs() { std::ofstream(data()) << text(400); }
  std::string data() const { return scratch.path("text.txt"); }
  std::string run(const std::string& name) const { return scratch.path(name); }
  std::string weights(const std::string& name) const { return read_file(run(name) + "/model.safetensors"); }
  std::string train(const std::string& name) const { return "train gpt --data " + data() + " --out " + run(name) + kSizes; }
};

}  // namespace

TEST_CASE("train gpt: the loss falls, every step is recorded once, and the run can be sampled and evaluated") {
  Runs r;
  Outcome trained = run_plumb("train gpt --data " + r.data() + " --out " + r.run("a") +
                              " --layers 1 --heads 2 --width 32 --context 16 --batch 8 --steps 150 --eval-every 50 --lr 0.01");
  CHECK_MESSAGE(trained.code == 0, trained.err);
  auto lines = train::read_metrics(r.run("a") + "/metrics.jsonl");
  REQUIRE(lines.size() == 150);
  for (size_t i = 0; i < lines.size(); ++i) CHECK(lines[i].step == static_cast<int64_t>(i) + 1);
  CHECK(lines.back()["val_loss"] < 1.2);          // of log(19) ≈ 2.9 at the start
  CHECK(lines.back()["lr"] < lines[75]["lr"]);
  for (const char* name : {"config.json", "tokenizer.json", "model.safetensors", "report.html"})
    CHECK(path_exists(r.run("a") + "/" + name));
  Outcome sampled = run_plumb("sample " + r.run("a") + " --prompt 'the ' --tokens 30 --seed 3");
  CHECK(sampled.code == 0);
  CHECK(sampled.out.starts_with("the "));
  CHECK(sampled.out.size() == 4 + 30 + 1);
  CHECK(run_plumb("sample " + r.run("a") + " --prompt 'the ' --tokens 30 --seed 3").out == sampled.out);
  Outcome evaluated = run_plumb("eval " + r.run("a") + " --data " + r.data());
  CHECK(evaluated.code == 0);
  CHECK(evaluated.out.find("\"perplexity\"") != std::string::npos);
}

TEST_CASE("train gpt: killed between checkpoints and resumed, the weights are those of a run that was never stopped") {
  Runs r;
  REQUIRE(run_plumb(r.train("whole")).code == 0);
  CHECK(stop_midway(r.train("cut"), r.run("cut") + "/metrics.jsonl", 30, SIGKILL) == 128 + SIGKILL);
  CHECK(run_plumb("train gpt --resume " + r.run("cut")).code == 0);
  CHECK(r.weights("cut") == r.weights("whole"));
  CHECK(numbers(r.run("cut") + "/metrics.jsonl") == numbers(r.run("whole") + "/metrics.jsonl"));
  Outcome again = run_plumb("train gpt --resume " + r.run("cut"));
  CHECK(again.code == 0);
  CHECK(again.out.find("is finished: 60 steps") != std::string::npos);
  CHECK(r.weights("cut") == r.weights("whole"));
}

TEST_CASE("train gpt: a finished run without a line of metrics is said to be one, not looked into") {
  Runs r;
  REQUIRE(run_plumb(r.train("a")).code == 0);
  r.scratch.put("a/metrics.jsonl", "");
  Outcome o = run_plumb("train gpt --resume " + r.run("a"));
  CHECK(o.code == 2);
  CHECK(o.err == "plumb: train gpt: " + r.run("a") + "/metrics.jsonl: holds no step, though the run is finished; was it copied whole?\n");
}

TEST_CASE("train gpt: killed before the first checkpoint, it resumes from the start") {
  Runs r;
  REQUIRE(run_plumb(r.train("whole")).code == 0);
  CHECK(stop_midway(r.train("cut"), r.run("cut") + "/metrics.jsonl", 5, SIGKILL) == 128 + SIGKILL);
  CHECK(run_plumb("train gpt --resume " + r.run("cut")).code == 0);
  CHECK(r.weights("cut") == r.weights("whole"));
}

TEST_CASE("train gpt: an interrupt finishes the step, saves and exits 130; a termination 143") {
  Runs r;
  REQUIRE(run_plumb(r.train("whole")).code == 0);
  CHECK(stop_midway(r.train("int"), r.run("int") + "/metrics.jsonl", 10, SIGINT) == 130);
  CHECK(stop_midway("train gpt --resume " + r.run("int"), r.run("int") + "/metrics.jsonl", 25, SIGTERM) == 143);
  CHECK(run_plumb("train gpt --resume " + r.run("int")).code == 0);
  CHECK(r.weights("int") == r.weights("whole"));
}

TEST_CASE("train gpt: 1, 2 and 3 threads, and any OPENBLAS_CORETYPE, give the same weights") {
  Runs r;
  std::string first;
  for (const char* environment : {"PLUMB_NUM_THREADS=1", "PLUMB_NUM_THREADS=2", "PLUMB_NUM_THREADS=3", "OPENBLAS_CORETYPE=Haswell"}) {
    Outcome o = run_shell("env -u OPENBLAS_CORETYPE " + std::string(environment) + " $PLUMB_BINARY " + r.train("t"));
    REQUIRE_MESSAGE(o.code == 0, o.err);
    if (first.empty()) first = r.weights("t");
    CHECK(r.weights("t") == first);
    fs::remove_all(r.run("t"));
  }
}

TEST_CASE("train gpt: bytes and byte pairs, f64 and bf16") {
  Runs r;
  for (const char* options : {" --tokenizer byte", " --tokenizer bpe --vocab 270", " --dtype f64", " --dtype bf16", " --bias --untied"}) {
    std::string out = r.run("o");
    Outcome o = run_plumb(r.train("o") + options);
    CHECK_MESSAGE(o.code == 0, options << ": " << o.err);
    CHECK(run_plumb("sample " + out + " --prompt a --tokens 5").code == 0);
    fs::remove_all(out);
  }
}

TEST_CASE("train gpt: accumulation, averaged weights and early stopping resume bit by bit") {
  Runs r;
  const char* options = " --accumulate 2 --ema 0.9 --early-stop 50";
  REQUIRE(run_plumb(r.train("whole") + options).code == 0);
  CHECK(stop_midway(r.train("cut") + options, r.run("cut") + "/metrics.jsonl", 30, SIGKILL) == 128 + SIGKILL);
  CHECK(run_plumb("train gpt --resume " + r.run("cut")).code == 0);
  CHECK(r.weights("cut") == r.weights("whole"));
  CHECK(numbers(r.run("cut") + "/metrics.jsonl") == numbers(r.run("whole") + "/metrics.jsonl"));
}

TEST_CASE("train gpt: recomputed blocks give the same weights") {
  Runs r;
  REQUIRE(run_plumb(r.train("kept")).code == 0);
  REQUIRE(run_plumb(r.train("recomputed") + " --recompute").code == 0);
  CHECK(r.weights("recomputed") == r.weights("kept"));
}

TEST_CASE("train gpt: a run of an earlier version goes on") {
  Runs r;
  REQUIRE(run_plumb(r.train("whole")).code == 0);
  CHECK(stop_midway(r.train("cut"), r.run("cut") + "/metrics.jsonl", 5, SIGTERM) == 143);
  std::string path = r.run("cut") + "/config.json", config = read_file(path), old;
  std::istringstream lines(config);
  auto newer = [](const std::string& line) {
    for (const char* name : {"accumulate", "early_stop", "momentum", "ema", "optimizer", "recompute"})
      if (line.find("\"" + std::string(name) + "\"") != std::string::npos) return true;
    return false;
  };
  for (std::string line; std::getline(lines, line);)
    if (!newer(line)) old += line + "\n";
  REQUIRE(old.size() < config.size());
  std::ofstream(path) << old;
  Outcome o = run_plumb("train gpt --resume " + r.run("cut"));
  CHECK_MESSAGE(o.code == 0, o.err);
  CHECK(r.weights("cut") == r.weights("whole"));
}

TEST_CASE("train gpt: SGD learns too") {
  Runs r;
  Outcome o = run_plumb(r.train("sgd") + " --optimizer sgd --lr 0.3 --warmup 5 --min-lr 0.01");
  REQUIRE_MESSAGE(o.code == 0, o.err);
  auto lines = train::read_metrics(r.run("sgd") + "/metrics.jsonl");
  CHECK(lines.back()["val_loss"] < lines[19]["val_loss"]);
}

TEST_CASE("train gpt: bad input is one line that names it, exit code 2, and nothing is made") {
  Runs r;
  std::ofstream(r.scratch.path("empty.txt"));
  std::ofstream(r.scratch.path("tiny.txt")) << text(4);
  auto refused = [&](const std::string& arguments, const std::string& part) {
    Outcome o = run_plumb(arguments);
    CHECK(o.code == 2);
    CHECK_MESSAGE(o.err.find(part) != std::string::npos, o.err);
    CHECK(std::count(o.err.begin(), o.err.end(), '\n') == 1);
    CHECK_FALSE(path_exists(r.run("x")));
  };
  std::string out = " --out " + r.run("x");
  refused("train gpt --data " + r.scratch.path("none.txt") + out, "none.txt");
  refused("train gpt --data " + r.scratch.path("empty.txt") + out, "empty.txt");
  refused("train gpt --data " + r.scratch.path("tiny.txt") + " --context 512" + out, "--context 512 is longer than the text");
  refused("train gpt --data " + r.data() + " --width 10 --heads 3" + out, "--width 10 is not a multiple of --heads 3");
  refused("train gpt --data " + r.data() + " --steps 0" + out, "--steps must be at least 1");
  refused("train gpt --data " + r.data() + " --tokenizer words" + out, "--tokenizer words is unknown");
  refused("train gpt --data " + r.data() + " --batch 9223372036854775807" + out,
          "--batch must lie between 1 and 1073741824, it is 9223372036854775807");
  refused("train gpt --data " + r.data() + " --accumulate 5" + out, "--accumulate 5 does not divide --batch 12");
  refused("train gpt --data " + r.data() + " --optimizer lbfgs" + out, "--optimizer lbfgs is unknown");
  refused("train gpt --data " + r.data() + " --ema 1" + out, "--ema must lie in [0, 1)");
  refused("train gpt --data " + r.data() + " --early-stop 3 --eval-every 0" + out, "--early-stop needs evaluations on the way");
  refused("train gpt --data " + r.data() + " --colour red" + out, "--colour");
  refused("train gpt --data " + r.data(), "--out is missing");
  refused("train gpt" + out, "--data is missing");
  refused("train gpt --resume " + r.run("x"), "is not a run directory");
  refused("sample " + r.run("x") + " --prompt a", "is not a run directory");
}

TEST_CASE("train gpt: a run directory that exists is refused and left alone; so is a text that changed") {
  Runs r;
  REQUIRE(run_plumb(r.train("a")).code == 0);
  std::string before = r.weights("a");
  Outcome o = run_plumb(r.train("a"));
  CHECK(o.code == 2);
  CHECK(o.err.find("exists already; choose another --out, or go on with it: --resume") != std::string::npos);
  CHECK(r.weights("a") == before);
  CHECK(stop_midway(r.train("b"), r.run("b") + "/metrics.jsonl", 5, SIGKILL) == 128 + SIGKILL);
  std::ofstream(r.data(), std::ios::app) << "more";
  o = run_plumb("train gpt --resume " + r.run("b"));
  CHECK(o.code == 2);
  CHECK(o.err.find("has changed since the run began") != std::string::npos);
}

TEST_CASE("train gpt: a loss that is not finite stops the run and names the step") {
  Runs r;
  Outcome o = run_plumb("train gpt --data " + r.data() + " --out " + r.run("a") + kSizes + " --lr 1e30 --warmup 0 --clip 0");
  CHECK(o.code == 2);
  CHECK_MESSAGE(o.err.find("step ") != std::string::npos, o.err);
  CHECK(o.err.find("a lower --lr may help") != std::string::npos);
}
