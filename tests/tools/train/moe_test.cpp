// `plumb train moe`, `sample` and `eval` as a user meets them: every router, killed and resumed, from a dense model.
#include <doctest/doctest.h>
#include <signal.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "engine/io/file.h"
#include "models/train/metrics.h"
#include "tests/tools/stop_midway.h"

using namespace plumb;
namespace fs = std::filesystem;

namespace {

const char* kSizes = " --layers 2 --heads 2 --width 16 --context 16 --batch 4 --steps 40 --eval-every 20 --checkpoint-every 20 --experts 4";

struct Runs {
  plumb_test::Scratch scratch;
  Runs() {
    const char* who[] = {"the cat", "a dog", "the old fox", "one bird"};
    const char* does[] = {"sees", "follows", "hears"};
    std::ofstream out(data());
    unsigned state = 7;
    auto next = [&](unsigned n) { return (state = state * 1664525u + 1013904223u) / 65536u % n; };
    for (int i = 0; i < 400; ++i) out << who[next(4)] << " " << does[next(3)] << " " << who[next(4)] << ".\n";
  }
  std::string data() const { return scratch.path("text.txt"); }
  std::string run(const std::string& name) const { return scratch.path(name); }
  std::string weights(const std::string& name) const { return read_file(run(name) + "/model.safetensors"); }
  std::string train(const std::string& name) const { return "train moe --data " + data() + " --out " + run(name) + kSizes; }
  double loss(const std::string& name) const {
    Outcome o = run_plumb("eval " + run(name) + " --data " + data());
    REQUIRE_MESSAGE(o.code == 0, o.err);
    return nlohmann::json::parse(o.out)["loss"];
  }
};

}  // namespace

TEST_CASE("train moe: the loss falls, balance is recorded, and the run can be sampled and evaluated") {
  Runs r;
  Outcome trained = run_plumb(
      "train moe --data " + r.data() + " --out " + r.run("a") +
      " --layers 1 --heads 2 --width 32 --context 16 --batch 8 --steps 150 --eval-every 50 --lr 0.01 --z-loss 0.001 --capacity 1");
  REQUIRE_MESSAGE(trained.code == 0, trained.err);
  CHECK(trained.err.find("of them in gates") != std::string::npos);
  train::Metrics last = train::read_metrics(r.run("a") + "/metrics.jsonl").back();
  CHECK(last["val_loss"] < 1.2);  // of log(19) ≈ 2.9 at the start
  CHECK(last["evenness"] > 0.8);
  CHECK(last["largest_share"] < 0.5);
  CHECK(last["balance_loss"] < 1.5);
  CHECK(last["dropped"] >= 0);
  CHECK(last["dropped"] < 0.5);
  for (const char* name : {"unrouted", "gate_entropy", "z_loss"}) CHECK(std::isfinite(last[name]));
  Outcome sampled = run_plumb("sample " + r.run("a") + " --prompt 'the ' --tokens 30 --seed 3");
  CHECK(sampled.code == 0);
  CHECK(sampled.out.size() == 4 + 30 + 1);
  CHECK(r.loss("a") < 1.2);
}

TEST_CASE("train moe: every router trains, killed and resumed as if never stopped") {
  Runs r;
  for (std::string options :
       {"--router noisy --importance-loss 0.1 --load-loss 0.1 --dropout 0.1", "--router switch --capacity 1.25 --jitter 0.01 --every 2",
        "--router random_token --accumulate 2", "--router sigmoid --raw-gates --shared 8 --swiglu --bias --recompute"}) {
    INFO(options);
    Outcome whole = run_plumb(r.train("whole") + " " + options);
    REQUIRE_MESSAGE(whole.code == 0, whole.err);
    CHECK(stop_midway(r.train("cut") + " " + options, r.run("cut") + "/metrics.jsonl", 30, SIGKILL) == 128 + SIGKILL);
    CHECK(run_plumb("train moe --resume " + r.run("cut")).code == 0);
    CHECK(r.weights("cut") == r.weights("whole"));
    CHECK(numbers(r.run("cut") + "/metrics.jsonl") == numbers(r.run("whole") + "/metrics.jsonl"));
    fs::remove_all(r.run("cut"));
    fs::remove_all(r.run("whole"));
  }
  for (std::string router : {"expert_choice", "hash", "random_batch", "random_sequence"}) {
    Outcome o = run_plumb(r.train(router) + " --dtype " + (router == "hash" ? "bf16" : "f32") + " --router " + router);
    CHECK_MESSAGE(o.code == 0, router << ": " << o.err);
    CHECK(run_plumb("sample " + r.run(router) + " --prompt a --tokens 5").code == 0);
  }
}

TEST_CASE("train moe: 1, 2 and 3 threads give the same weights") {
  Runs r;
  std::string first;
  for (const char* threads : {"1", "2", "3"}) {
    Outcome o = run_shell("env PLUMB_NUM_THREADS=" + std::string(threads) + " $PLUMB_BINARY " + r.train("t"));
    REQUIRE_MESSAGE(o.code == 0, o.err);
    if (first.empty()) first = r.weights("t");
    CHECK(r.weights("t") == first);
    fs::remove_all(r.run("t"));
  }
}

TEST_CASE("train moe: from a dense run it starts where that one ended, and resumes without it") {
  Runs r;
  REQUIRE(run_plumb("train gpt --data " + r.data() + " --out " + r.run("dense") +
                    " --layers 2 --heads 2 --width 16 --context 16 --steps 60 --tokenizer byte")
              .code == 0);
  std::string start =
      "train moe --data " + r.data() + " --upcycle " + r.run("dense") + " --experts 4 --every 2 --eval-every 5 --checkpoint-every 0 --out ";
  REQUIRE(run_plumb(start + r.run("still") + " --steps 1 --lr 1e-9 --min-lr 0").code == 0);
  CHECK(r.loss("still") == doctest::Approx(r.loss("dense")).epsilon(1e-6));
  REQUIRE(run_plumb(start + r.run("whole") + " --steps 20").code == 0);
  CHECK(r.loss("whole") < r.loss("dense"));
  CHECK(stop_midway(start + r.run("cut") + " --steps 20", r.run("cut") + "/metrics.jsonl", 3, SIGKILL) == 128 + SIGKILL);
  fs::remove_all(r.run("dense"));
  Outcome resumed = run_plumb("train moe --resume " + r.run("cut"));
  CHECK_MESSAGE(resumed.code == 0, resumed.err);
  CHECK(r.weights("cut") == r.weights("whole"));
}

TEST_CASE("train moe: options that contradict each other are named, and nothing is written") {
  Runs r;
  auto message = [&](const std::string& options) {
    Outcome o = run_plumb(r.train("x") + " " + options);
    CHECK(o.code == 2);
    CHECK_FALSE(path_exists(r.run("x")));
    return o.err.substr(0, o.err.find('\n'));
  };
  CHECK(message("--router hash --balance-loss 0.1") ==
        "plumb: train moe: --router hash has no gate that a loss could balance; leave out the losses");
  CHECK(message("--load-loss 0.1") == "plumb: train moe: --load-loss needs the noise of --router noisy, not --router softmax");
  CHECK(message("--z-loss -1") == "plumb: train moe: --z-loss must not be negative, it is -1");
  CHECK(message("--top-k 5") == "plumb: train moe: --top-k must lie between 1 and --experts 4, it is 5");
  CHECK(message("--router switch --top-k 2") == "plumb: train moe: --router switch takes one expert a token: --top-k 1, not 2");
  CHECK(message("--every 3") == "plumb: train moe: --every must lie between 1 and --layers 2, it is 3");
  CHECK(message("--upcycle " + r.run("none")).find("excludes --") != std::string::npos);
  CHECK(run_plumb("sample " + r.run("none")).code == 2);
}

TEST_CASE("train moe: a --top-k of 0 and an infinite --capacity are refused by name") {
  Runs r;
  for (const auto& [option, word] :
       {std::pair{" --top-k 0", "--top-k must lie between"}, {" --capacity inf", "--capacity: must be a finite number"}}) {
    Outcome o = run_plumb("train moe --data " + r.data() + kSizes + option + " --out " + r.scratch.path("refused"));
    CHECK(o.code == 2);
    CHECK_MESSAGE(o.err.find(word) != std::string::npos, o.err);
  }
}

TEST_CASE("merge: a model of experts that was made of a dense one can be measured") {
  Runs r;
  std::string dense = r.scratch.path("g"), experts = r.scratch.path("e"), tuned = r.scratch.path("t"), merged = r.scratch.path("m");
  std::string sizes = " --batch 4 --steps 6 --eval-every 3 --checkpoint-every 0";
  for (const std::string& command :
       {"train gpt --data " + r.data() + " --layers 2 --heads 2 --width 16 --context 16 --out " + dense + sizes,
        "train moe --data " + r.data() + " --upcycle " + dense + " --experts 2 --out " + experts + sizes,
        "finetune " + experts + " --adapter lora --rank 2 --data " + r.data() + " --out " + tuned + sizes,
        "merge " + tuned + " --out " + merged, "eval " + merged + " --data " + r.data()}) {
    Outcome o = run_plumb(command);
    REQUIRE_MESSAGE(o.code == 0, command << ": " << o.err);
  }
}
