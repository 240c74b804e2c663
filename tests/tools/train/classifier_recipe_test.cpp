// `plumb train classifier` with losses, mixing, reparametrisation and self-distillation by name: they combine, resume with the same bits,
// and say in one line what is unknown or does not go together.
#include <doctest/doctest.h>
#include <signal.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "engine/core/error.h"
#include "engine/data/digits/digits.h"
#include "engine/io/file.h"
#include "methods/common/mix_objective.h"
#include "models/train/metrics.h"
#include "tests/tools/stop_midway.h"
#include "tools/classifier_objective.h"

using namespace plumb;

namespace {

const char* kMlp = " --model mlp --hidden 32 --batch 32 --eval-every 20 --checkpoint-every 20 --lr 0.02 --warmup 5";
const char* kResNet = " --model resnet --depth 8 --width 4 --batch 16 --eval-every 0 --warmup 1 --lr 0.02";

struct Runs {
  plumb_test::Scratch scratch;
  std::string run(const std::string& name) const { return scratch.path(name); }
  std::string train(const std::string& name, const std::string& options, int steps = 60) const {
    return "train classifier --data digits --out " + run(name) + options + " --steps " + std::to_string(steps);
  }
  std::string weights(const std::string& name) const { return read_file(run(name) + "/model.safetensors"); }
  double accuracy(const std::string& name) const { return train::read_metrics(run(name) + "/metrics.jsonl").back()["test_accuracy"]; }
};

}  // namespace

TEST_CASE("train classifier: every loss by its name trains, and its name and number are kept") {
  Runs r;
  for (const std::string& loss : tools::loss_names()) {
    CAPTURE(loss);
    Outcome o = run_plumb(r.train(loss, std::string(kMlp) + " --loss " + loss, 100));
    REQUIRE_MESSAGE(o.code == 0, o.err);
    CHECK(r.accuracy(loss) > 0);
    for (const char* fast : {"cross-entropy", "focal", "balanced-softmax", "elr", "gce", "sce"})  // the bounded ones are slow to begin with
      if (loss == fast) CHECK(r.accuracy(loss) > 0.5);
    auto recipe = nlohmann::json::parse(read_file(r.run(loss) + "/config.json"))["recipe"];
    CHECK(recipe["loss"] == loss);
    CHECK(recipe["loss_parameter"] == tools::parameter_of_loss(loss).usual);
    if (loss != "cross-entropy") CHECK(r.weights(loss) != r.weights("cross-entropy"));
  }
  REQUIRE(run_plumb(r.train("other", std::string(kMlp) + " --loss gce --loss-parameter 0.2")).code == 0);
  CHECK(r.weights("other") != r.weights("gce"));
}

TEST_CASE("train classifier: every way of mixing by its name trains") {
  Runs r;
  for (const std::string& mix : methods::mix_names()) {
    CAPTURE(mix);
    Outcome o = run_plumb(r.train(mix, std::string(kResNet) + " --mix " + mix, 3));
    CHECK_MESSAGE(o.code == 0, o.err);
    Outcome evaluated = run_plumb("eval " + r.run(mix));
    CHECK_MESSAGE(evaluated.code == 0, evaluated.err);
  }
}

TEST_CASE("train classifier: pieces combine, learn, and can be evaluated") {
  Runs r;
  int run = 0;
  for (const char* options : {"--loss gce --mix mixup --mix-alpha 0.2", "--reparam weight-compander --reparam-a 1 --loss ldr-kl",
                              "--distil ps-kd --loss elr --reparam weight-compander", "--distil ps-kd --mix cutmix --label-smoothing 0.1",
                              "--distil ps-kd --loss balanced-softmax --ema 0.9", "--mix decoupled-mixup --reparam weight-compander"}) {
    CAPTURE(options);
    std::string name = "r" + std::to_string(run++);
    Outcome o = run_plumb(r.train(name, std::string(kMlp) + " " + options, 150));
    REQUIRE_MESSAGE(o.code == 0, o.err);
    CHECK(r.accuracy(name) > 0.3);
    Outcome evaluated = run_plumb("eval " + r.run(name));
    REQUIRE_MESSAGE(evaluated.code == 0, evaluated.err);
    CHECK(nlohmann::json::parse(evaluated.out)["accuracy"].get<double>() == r.accuracy(name));
  }
}

TEST_CASE("train vit: the same names, for a network of another kind") {
  Runs r;
  Outcome o = run_plumb("train vit --data digits --out " + r.run("a") +
                        " --patch 4 --layers 1 --heads 2 --width 16 --inner 16 --batch 16 --steps 6 --warmup 1 --eval-every 0 --loss sce"
                        " --mix cutmix --reparam weight-compander --distil ps-kd --recompute");
  REQUIRE_MESSAGE(o.code == 0, o.err);
  Outcome evaluated = run_plumb("eval " + r.run("a"));
  REQUIRE_MESSAGE(evaluated.code == 0, evaluated.err);
  CHECK(nlohmann::json::parse(evaluated.out)["accuracy"].get<double>() == r.accuracy("a"));
}

TEST_CASE("train classifier: killed and resumed, what losses remember and mixing trains is the same to the bit") {
  Runs r;
  int run = 0;
  for (std::string options :
       {std::string(kMlp) + " --loss elr --distil ps-kd --reparam weight-compander",
        std::string(kMlp) + " --loss aldr-kl --accumulate 2 --ema 0.9", std::string(kMlp) + " --distil ps-kd --mix mixup --dtype f64",
        std::string(" --model wide-resnet --depth 10 --widen 1 --batch 8 --warmup 1 --lr 0.02 --eval-every 0 --checkpoint-every 5 --mix "
                    "adamixup")}) {
    CAPTURE(options);
    bool small = options.find("wide") == std::string::npos;
    std::string whole = "whole" + std::to_string(run), cut = "cut" + std::to_string(run++);
    int steps = small ? 300 : 40;  // 1,294 images: with 32 a step the second epoch begins at step 41
    REQUIRE(run_plumb(r.train(whole, options, steps)).code == 0);
    CHECK(stop_midway(r.train(cut, options, steps), r.run(cut) + "/metrics.jsonl", small ? 90 : 12, SIGKILL) == 128 + SIGKILL);
    Outcome o = run_plumb("train classifier --resume " + r.run(cut));
    CHECK_MESSAGE(o.code == 0, o.err);
    CHECK(r.weights(cut) == r.weights(whole));
    CHECK(numbers(r.run(cut) + "/metrics.jsonl") == numbers(r.run(whole) + "/metrics.jsonl"));
  }
}

TEST_CASE("train classifier: without names nothing changes, and PS-KD of weight 0 is the cross-entropy") {
  Runs r;
  REQUIRE(run_plumb(r.train("plain", kMlp)).code == 0);
  REQUIRE(run_plumb(r.train("named", std::string(kMlp) + " --loss cross-entropy --mix none --reparam none --distil none")).code == 0);
  REQUIRE(run_plumb(r.train("zero", std::string(kMlp) + " --distil ps-kd --distil-weight 0")).code == 0);
  REQUIRE(run_plumb(r.train("some", std::string(kMlp) + " --distil ps-kd")).code == 0);
  CHECK(r.weights("named") == r.weights("plain"));
  auto losses = [&](const std::string& name) {
    std::vector<double> all;
    for (auto& line : train::read_metrics(r.run(name) + "/metrics.jsonl")) all.push_back(line["train_loss"]);
    return all;
  };
  CHECK(losses("zero") == losses("plain"));
  CHECK(losses("some") != losses("plain"));
  // Runs of before there were recipes have none in their configuration.
  auto config = nlohmann::json::parse(read_file(r.run("plain") + "/config.json"));
  config.erase("recipe");
  write_file_atomic(r.run("plain") + "/config.json", config.dump());
  CHECK(run_plumb("eval " + r.run("plain")).code == 0);
}

TEST_CASE("classifier objective: the formula of a mixed loss with PS-KD, against its parts") {
  manual_seed(3);
  tools::ClassifierRun run;
  run.model = "mlp";
  run.mlp = {.inputs = 64, .hidden = {16}, .outputs = 10};
  run.mean = {0.3}, run.std = {0.4}, run.image = {1, 8, 8};
  run.training.batch = 16, run.training.steps = 400;
  data::Dataset digits = data::digits().train();
  auto batch = digits.batch(16).next();
  auto objective_loss = [&](const std::string& loss, const std::string& mix, const std::string& distil, int64_t step, int64_t visits = 1) {
    run.recipe = {.loss = loss, .mix = mix, .distil = distil};
    tools::set_loss_parameter(run.recipe, {});
    manual_seed(4);
    tools::ImageClassifier classifier(run);
    tools::ClassifierObjective objective(run, classifier, digits);
    double last = 0;
    for (int64_t visit = 0; visit < visits; ++visit) {
      manual_seed(5);  // the same pairs and shares at every visit
      last = objective.loss(batch.image, batch.label, batch.index, visit + 1 < visits ? 0 : step).item();
    }
    return last;
  };
  // An untrained network asked twice: its prediction P is its softmax, and CE(z, P) the entropy of it.
  double plain = objective_loss("cross-entropy", "none", "none", 0), gce = objective_loss("gce", "none", "none", 0);
  CHECK(gce != plain);
  CHECK(objective_loss("cross-entropy", "none", "ps-kd", 0) == plain);  // nothing predicted yet
  double alpha = 0.8 * 3 / 5;  // step 200 of 400 with 16 of 1,438 images each: the third epoch of five
  double with_plain = objective_loss("cross-entropy", "none", "ps-kd", 200, 2), with_gce = objective_loss("gce", "none", "ps-kd", 200, 2);
  double entropy = (with_plain - (1 - alpha) * plain) / alpha;
  CHECK(entropy > 0);
  CHECK(entropy < std::log(10.0) + 1e-5);
  CHECK(with_gce == doctest::Approx((1 - alpha) * gce + alpha * entropy).epsilon(1e-5));
  // mixing draws one share for the batch: the loss is linear in the two labels' losses for every loss.
  CHECK(objective_loss("gce", "mixup", "none", 0) != gce);
  CHECK(objective_loss("mae", "mixup", "none", 0) < 1);
}

TEST_CASE("train classifier: unknown names and pieces that do not go together are one line, and nothing is made") {
  Runs r;
  auto refused = [&](const std::string& options, const std::string& part) {
    Outcome o = run_plumb(r.train("x", options));
    CHECK_MESSAGE(o.code == 2, options);
    CHECK_MESSAGE(o.err.find(part) != std::string::npos, o.err);
    CHECK_MESSAGE(std::count(o.err.begin(), o.err.end(), '\n') == 1, o.err);
    CHECK_FALSE(path_exists(r.run("x")));
  };
  auto mlp = [&](const std::string& options) { return std::string(kMlp) + " " + options; };
  refused(mlp("--loss astrology"), "--loss astrology is unknown; choose cross-entropy, focal, balanced-softmax, elr, ldr-kl, aldr-kl, ");
  refused(mlp("--mix blender"), "--mix blender is unknown; choose none, mixup, cutmix, ");
  refused(mlp("--reparam folded"), "--reparam folded is unknown; choose none or weight-compander");
  refused(mlp("--distil twice"), "--distil twice is unknown; choose none or ps-kd");
  refused(mlp("--loss mae --loss-parameter 2"), "--loss-parameter: --loss mae has none");
  refused(mlp("--loss gce --loss-parameter 2"), "--loss-parameter: generalized_cross_entropy: q must lie in (0, 1], it is 2");
  refused(mlp("--loss focal --loss-parameter -1"), "--loss-parameter, gamma of focal, must not be negative, it is -1");
  refused(mlp("--loss ldr-kl --loss-parameter 0"), "--loss-parameter, lambda of ldr-kl, must be positive");
  refused(mlp("--reparam weight-compander --reparam-a 0"), "--reparam-a and --reparam-b must be positive, they are 0 and 1");
  refused(mlp("--distil ps-kd --distil-weight 1.5"), "--distil-weight must lie in [0, 1], it is 1.5");
  refused(mlp("--mix mixup --mix-alpha -1"), "--mix-alpha must not be negative, it is -1");
  refused(mlp("--mix-alpha 1"), "--mix-alpha: --mix none draws nothing by it");
  refused(mlp("--mix decoupled-mixup --loss gce"), "--mix decoupled-mixup is a loss of its own, which --loss gce cannot replace");
  refused(mlp("--mix decoupled-mixup --distil ps-kd"), "in which --distil ps-kd has no place");
  refused(mlp("--mix mixup --loss elr"), "--loss elr remembers what single images are taken for, and --mix mixup shows none");
  refused(mlp("--mix mixup --cutmix 1"),
          "--cutmix mixes labels for the cross-entropy alone; with --loss, --mix or --distil give --mix cutmix --mix-alpha 1");
  refused(mlp("--loss gce --mixup 0.2"), "give --mix mixup --mix-alpha 0.2");
  refused(mlp("--loss gce --label-smoothing 0.1"), "--label-smoothing is the cross-entropy's; --loss gce has targets of its own");
  refused(mlp("--mix adamixup"), "--mix adamixup reaches between features and head; choose --model resnet or wide-resnet");
  refused(std::string(kResNet) + " --mix adamixup --accumulate 8", "its parts must be even and at least 4, they are 2");
}

TEST_CASE("recipe: names, numbers and JSON") {
  CHECK(tools::choices({"a"}) == "a");
  CHECK(tools::choices({"a", "b", "c"}) == "a, b or c");
  CHECK(tools::parameter_of_loss("gce").name == "q");
  CHECK(tools::parameter_of_loss("cross-entropy").name.empty());
  CHECK_THROWS_AS(tools::parameter_of_loss("ce"), ConfigError);  // it is called cross-entropy
  tools::Recipe recipe{.loss = "elr", .reparam = "weight-compander", .distil = "ps-kd", .loss_parameter = 7, .reparam_a = 1};
  tools::Recipe read = tools::Recipe::from_json(recipe.to_json());
  CHECK(read.to_json() == recipe.to_json());
  CHECK((read.loss == "elr" && read.loss_parameter == 7 && read.reparam_a == 1 && read.distil == "ps-kd"));
}
