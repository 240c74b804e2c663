// `plumb finetune` and `plumb merge` as a user meets them: every adapter on text, images and a pretrained directory, and what is refused.
#include <doctest/doctest.h>
#include <signal.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "engine/core/generator.h"
#include "engine/io/file.h"
#include "engine/io/safetensors.h"
#include "engine/io/tokenizer.h"
#include "models/train/metrics.h"
#include "models/transformer/pretrained.h"
#include "tests/tools/stop_midway.h"

using namespace plumb;
namespace fs = std::filesystem;

namespace {

// Sentences of two words, of which the second follows from the first by a rule: forwards, or the other way round.
std::string sentences(int count, bool forwards) {
  const char *who[] = {"cat", "dog", "fox", "owl"}, *does[] = {"sees", "runs", "eats", "naps"};
  std::string out;
  unsigned state = 7;
  for (int i = 0; i < count; ++i) {
    state = state * 1664525u + 1013904223u;
    unsigned k = state / 65536u % 4;
    out += std::string(who[k]) + " " + does[forwards ? k : 3 - k] + ".\n";
  }
  return out;
}

// A small GPT that knows the sentences, and a text with the rule turned round.
struct Bases {
  plumb_test::Scratch scratch;
  Bases() {
    scratch.put("old.txt", sentences(300, true));
    scratch.put("new.txt", sentences(300, false));
    Outcome o = run_plumb("train gpt --data " + file("old.txt") + " --out " + file("gpt") +
                          " --layers 1 --heads 2 --width 32 --context 16 --batch 8 --steps 150 --eval-every 0 --lr 0.01");
    REQUIRE_MESSAGE(o.code == 0, o.err);
  }
  std::string file(const std::string& name) const { return scratch.path(name); }
  std::string tune(const std::string& out, std::string options) const {
    for (auto [name, value] : {std::pair{"--rank", "4"}, {"--steps", "60"}})
      if (options.find(name) == std::string::npos) options += std::string(" ") + name + " " + value;
    return "finetune " + file("gpt") + " --data " + file("new.txt") + " --out " + file(out) +
           " --batch 8 --lr 0.01 --warmup 5 --eval-every 0 " + options;
  }
  double loss(const std::string& run, const std::string& text) const {
    Outcome o = run_plumb("eval " + file(run) + " --data " + file(text));
    REQUIRE_MESSAGE(o.code == 0, o.err);
    return nlohmann::json::parse(o.out)["loss"];
  }
};

}  // namespace

TEST_CASE("finetune: every adapter learns the new text; merged, it is a run that predicts what the adapted model did") {
  Bases b;
  double before = b.loss("gpt", "new.txt");
  std::string text = sentences(300, false);
  b.scratch.put("validation.txt", text.substr(static_cast<size_t>(0.9 * static_cast<double>(text.size()))));
  for (const char* adapter : {"lora", "dora", "pissa", "allora", "ba-lora", "alignguard"}) {
    CAPTURE(adapter);
    std::string name = adapter, keep = name == "alignguard" ? " --keep-samples 16 --keep " + b.file("old.txt") : "";
    Outcome tuned = run_plumb(b.tune(name, "--adapter " + name + keep));
    REQUIRE_MESSAGE(tuned.code == 0, tuned.err);
    bool principal = name == "pissa" || name == "ba-lora";  // which keep what they took from the weights
    for (const auto& [part, value] : load_safetensors(b.file(name) + "/model.safetensors")) {
      CHECK_FALSE(part.starts_with("head."));  // whose weight is the token embedding's too
      bool known = part.ends_with(".up") || part.ends_with(".down") || (name == "dora" && part.ends_with(".magnitude")) ||
                   (principal && (part.ends_with(".start_up") || part.ends_with(".start_down")));
      CHECK_MESSAGE(known, part);
    }
    Outcome merged = run_plumb("merge " + b.file(name) + " --out " + b.file(name + "-merged"));
    REQUIRE_MESSAGE(merged.code == 0, merged.err);
    CHECK(b.loss(name + "-merged", "new.txt") < before - 0.05);
    double beside = train::read_metrics(b.file(name) + "/metrics.jsonl").back()["val_loss"];
    CHECK(b.loss(name + "-merged", "validation.txt") == doctest::Approx(beside).epsilon(1e-4));
  }
  Outcome adapters = run_plumb("sample " + b.file("lora"));
  CHECK(adapters.code == 2);
  CHECK_MESSAGE(adapters.err.find(b.file("lora") + " holds adapters alone; make a model of it first: plumb merge " + b.file("lora") +
                                  " --out DIRECTORY") != std::string::npos,
                adapters.err);
  Outcome again = run_plumb("train gpt --resume " + b.file("lora-merged"));
  CHECK(again.code == 0);
  CHECK(again.out == b.file("lora-merged") + " is a finished model; nothing was trained in it\n");
  Outcome sampled = run_plumb("sample " + b.file("lora-merged") + " --prompt 'cat ' --tokens 10");
  CHECK(sampled.code == 0);
  CHECK(sampled.out.size() == 4 + 10 + 1);
}

TEST_CASE("merge: two adapters are taken in one after the other, and a base may have moved") {
  Bases b;
  REQUIRE(run_plumb(b.tune("one", "--adapter lora --steps 20")).code == 0);
  REQUIRE(run_plumb(b.tune("two", "--adapter pissa --seed 5 --steps 20")).code == 0);
  REQUIRE(run_plumb("merge " + b.file("one") + " " + b.file("two") + " --out " + b.file("both")).code == 0);
  REQUIRE(run_plumb("merge " + b.file("one") + " --out " + b.file("first")).code == 0);
  REQUIRE(run_plumb("merge " + b.file("two") + " --out " + b.file("second")).code == 0);
  auto weights = [&](const std::string& run) { return load_safetensors(b.file(run) + "/model.safetensors"); };
  StateDict base = weights("gpt"), first = weights("first"), second = weights("second"), both = weights("both");
  double furthest = 0, moved = 0;
  for (const auto& [name, value] : both) {
    auto w = to_vector(value), w0 = to_vector(base.at(name)), w1 = to_vector(first.at(name)), w2 = to_vector(second.at(name));
    for (size_t i = 0; i < w.size(); ++i) {
      furthest = std::max(furthest, std::abs(w[i] - (w1[i] + w2[i] - w0[i])));
      moved = std::max(moved, std::abs(w[i] - w0[i]));
    }
  }
  CHECK(furthest < 1e-5);
  CHECK(moved > 1e-3);
  fs::rename(b.file("gpt"), b.file("moved"));
  CHECK(run_plumb("merge " + b.file("one") + " --out " + b.file("x")).code == 2);
  CHECK(run_plumb("merge " + b.file("one") + " --base " + b.file("moved") + " --out " + b.file("again")).code == 0);
  CHECK(read_file(b.file("again") + "/model.safetensors") == read_file(b.file("first") + "/model.safetensors"));
}

TEST_CASE("finetune: killed and resumed, the adapter is that of a run that was never stopped") {
  Bases b;
  for (const char* adapter : {"allora", "pissa"}) {
    std::string options = std::string("--checkpoint-every 10 --adapter ") + adapter, whole = std::string(adapter) + "-whole",
                cut = std::string(adapter) + "-cut";
    REQUIRE(run_plumb(b.tune(whole, options)).code == 0);
    stop_midway(b.tune(cut, options), b.file(cut) + "/metrics.jsonl", 25, SIGKILL);
    Outcome o = run_plumb("finetune --resume " + b.file(cut));
    CHECK_MESSAGE(o.code == 0, o.err);
    CHECK(read_file(b.file(cut) + "/model.safetensors") == read_file(b.file(whole) + "/model.safetensors"));
  }
}

TEST_CASE("finetune: a classifier on images") {
  plumb_test::Scratch scratch;
  Outcome trained = run_plumb("train classifier --model mlp --hidden 32 --data digits --out " + scratch.path("base") +
                              " --batch 32 --steps 20 --warmup 2 --eval-every 0");
  REQUIRE_MESSAGE(trained.code == 0, trained.err);
  auto accuracy = [&](const std::string& run) {
    Outcome o = run_plumb("eval " + scratch.path(run));
    REQUIRE_MESSAGE(o.code == 0, o.err);
    return nlohmann::json::parse(o.out)["accuracy"].get<double>();
  };
  double before = accuracy("base");
  for (const char* options : {"lora", "ba-lora", "alignguard --keep digits --keep-samples 16"}) {
    CAPTURE(options);
    std::string name = std::string("tuned-") + options[0];
    Outcome o = run_plumb("finetune " + scratch.path("base") + " --data digits --out " + scratch.path(name) +
                          " --batch 32 --steps 100 --lr 0.01 --warmup 5 --eval-every 0 --adapter " + options);
    REQUIRE_MESSAGE(o.code == 0, o.err);
    REQUIRE(run_plumb("merge " + scratch.path(name) + " --out " + scratch.path(name + "-merged")).code == 0);
    CHECK(accuracy(name + "-merged") > before);
  }
}

TEST_CASE("finetune: a pretrained directory, and what is merged is one again") {
  plumb_test::Scratch scratch;
  const char* source = std::getenv("PLUMB_SOURCE");
  std::string text;
  for (int i = 0; i < 200; ++i) text += "abcd";
  scratch.put("text.txt", text);
  for (std::string model : {"gpt2", "llama"}) {
    CAPTURE(model);
    fs::copy(std::string(source ? source : ".") + "/tests/reference/" + model, scratch.path(model));
    Tokenizer::characters("abcdefghijklmnopqrstuvwxyzABCDEFGHIJK").save(scratch.path(model) + "/tokenizer.json");
    Outcome o =
        run_plumb("finetune " + scratch.path(model) + " --data " + scratch.path("text.txt") + " --out " + scratch.path(model + "-tuned") +
                  " --context 8 --rank 2 --batch 8 --steps 150 --lr 0.03 --warmup 5 --eval-every 0");
    REQUIRE_MESSAGE(o.code == 0, o.err);
    auto lines = train::read_metrics(scratch.path(model + "-tuned") + "/metrics.jsonl");
    CHECK(lines.back()["val_loss"] < 2.5);  // log(37) ≈ 3.6 by chance
    REQUIRE(run_plumb("merge " + scratch.path(model + "-tuned") + " --out " + scratch.path(model + "-merged")).code == 0);
    Outcome sampled = run_plumb("sample " + scratch.path(model + "-merged") + " --prompt abcd --tokens 3 --temperature 0");
    CHECK(sampled.err == "");
    CHECK(sampled.out.starts_with("abcd"));
    CHECK(sampled.out.size() == 4 + 3 + 1);
  }
}

TEST_CASE("finetune: a pretrained vision transformer on images") {
  plumb_test::Scratch scratch;
  manual_seed(1);
  transformer::VisionConfig config{.image_height = 8, .image_width = 8, .channels = 1, .patch = 4, .classes = 10, .layers = 2, .heads = 2};
  config.width = 16, config.inner = 32;
  transformer::save_pretrained(transformer::VisionTransformer(config), scratch.path("vit"));
  auto tune = [&](const std::string& base, const std::string& out, const std::string& options) {
    Outcome o = run_plumb("finetune " + scratch.path(base) + " --data digits --rank 4 --batch 32 --eval-every 0 --out " +
                          scratch.path(out) + options);
    REQUIRE_MESSAGE(o.code == 0, o.err);
    return train::read_metrics(scratch.path(out) + "/metrics.jsonl").back()["val_loss"];
  };
  double loss = tune("vit", "tuned", " --steps 200 --lr 0.02 --warmup 5");
  CHECK(loss < 2.1);  // log(10) ≈ 2.3 by chance
  REQUIRE(run_plumb("merge " + scratch.path("tuned") + " --out " + scratch.path("merged")).code == 0);
  // What is merged is a base again: after one step at next to no rate it validates as the adapted model did.
  CHECK(tune("merged", "again", " --steps 1 --lr 1e-12 --warmup 0") == doctest::Approx(loss).epsilon(1e-4));
}

TEST_CASE("finetune and merge: bad input is one line that names it, exit code 2, and nothing is made") {
  Bases b;
  REQUIRE(run_plumb(b.tune("tuned", "--steps 5")).code == 0);
  REQUIRE(run_plumb("train gpt --data " + b.file("old.txt") + " --out " + b.file("other") +
                    " --layers 1 --heads 2 --width 32 --context 16 --batch 8 --steps 5 --eval-every 0 --seed 9")
              .code == 0);
  auto refused = [&](const std::string& arguments, const std::string& part) {
    Outcome o = run_plumb(arguments);
    CHECK_MESSAGE(o.code == 2, arguments);
    CHECK_MESSAGE(o.err.find(part) != std::string::npos, o.err);
    CHECK(std::count(o.err.begin(), o.err.end(), '\n') == 1);
    CHECK_FALSE(path_exists(b.file("x")));
  };
  refused(b.tune("x", "--rank 33"), " has no rank of 33; choose ");
  refused(b.tune("x", "--rank 0"), "--rank must be at least 1, it is 0");
  refused(b.tune("x", "--adapter lara"), "--adapter lara is unknown; choose lora, dora, pissa, allora, ba-lora or alignguard");
  refused(b.tune("x", "--adapter alignguard"), "--keep is missing: alignguard needs examples");
  refused(b.tune("x", "--keep " + b.file("old.txt")), "--keep: only alignguard keeps anything; --adapter is lora");
  refused(b.tune("x", "--targets nowhere"), "no linear or convolution layer has one of the names asked for");
  refused(b.tune("x", "--targets query head"), "--targets: the weight of head is also another layer's");
  refused(b.tune("x", "--adapter allora --eta 0"), "--eta must be positive, it is 0");
  refused(b.tune("x", "--adapter dora --adapter-dropout 0.1"), "--adapter-dropout: dora has none");
  refused(b.tune("x", "--adapter allora --alpha 8"), "--alpha: allora has no scale");
  refused("finetune " + b.file("gpt") + " --out " + b.file("x"), "--data is missing");
  refused("finetune --data " + b.file("new.txt") + " --out " + b.file("x"), "give the run or the pretrained directory to start from");
  refused("finetune " + b.file("nothing") + " --data " + b.file("new.txt") + " --out " + b.file("x"), "is not a run directory");
  refused("finetune " + b.file("tuned") + " --data " + b.file("new.txt") + " --out " + b.file("x"), "is an adapter, not a model");
  b.scratch.put("strange.txt", "cat sees #.\n");
  b.scratch.put("short.txt", "cat.\n");
  for (auto [text, message] : {std::pair{"strange.txt", "the character \"#\""}, {"short.txt", "short.txt"}})
    refused("finetune " + b.file("gpt") + " --data " + b.file(text) + " --out " + b.file("x"), message);
  refused(b.tune("x", "--adapter alignguard --keep " + b.file("strange.txt")), "the character \"#\"");
  refused(b.tune("x", "--context 17"), "--context 17 is longer than the base's, 16");
  refused("merge " + b.file("tuned") + " --base " + b.file("other") + " --out " + b.file("x"), "is an adapter for another base");
  refused("merge " + b.file("gpt") + " --out " + b.file("x"), "is a run of gpt, not of finetune");
  Outcome taken = run_plumb("merge " + b.file("tuned") + " --out " + b.file("other"));
  CHECK(taken.code == 2);
  CHECK(taken.err.find("exists already; choose another --out") != std::string::npos);
}
