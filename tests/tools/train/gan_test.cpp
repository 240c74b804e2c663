// `plumb train gan`, eval and sample as a user meets them: small runs on the carried digits.
#include <doctest/doctest.h>
#include <signal.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "engine/io/file.h"
#include "engine/io/image.h"
#include "models/train/metrics.h"
#include "tests/tools/stop_midway.h"

using namespace plumb;

namespace {

const char* kSmall = " --data digits --width 8 --latent 8 --batch 32";
const char* kStyle = " --model style --widest 16 --style 8 --mapping-layers 2 --mixing 0.5 --r1-every 3 --path-every 2";

struct Runs {
  plumb_test::Scratch scratch;
  std::string run(const std::string& name) const { return scratch.path(name); }
  std::string train(const std::string& name, int steps, const std::string& more = "") const {
    return "train gan --out " + run(name) + kSmall + " --steps " + std::to_string(steps) + more;
  }
};

}  // namespace

TEST_CASE("train gan: samples come nearer to the images, pictures are drawn, and a classifier judges samples") {
  Runs r;
  Outcome o = run_plumb(r.train("a", 150, " --lr 0.002 --eval-every 50"));
  REQUIRE_MESSAGE(o.code == 0, o.err);
  auto lines = train::read_metrics(r.run("a") + "/metrics.jsonl");
  CHECK(lines.size() == 150);
  CHECK(std::isfinite(lines[0]["train_discriminator_loss"]));
  CHECK(lines.back()["val_sliced_wasserstein"] < lines[49]["val_sliced_wasserstein"]);
  CHECK(lines[0]["lr"] == doctest::Approx(0.002));
  CHECK(lines.back()["lr"] < 0.00021);  // a tenth of it in the end
  CHECK(load_image(r.run("a") + "/samples/step-00000150.png").size(2) == 1);
  auto json = nlohmann::json::parse(run_plumb("eval " + r.run("a")).out);
  CHECK(json["sliced_wasserstein"].get<double>() == doctest::Approx(lines.back()["test_sliced_wasserstein"]).epsilon(1e-6));
  CHECK(json["sliced_wasserstein"] > json["sliced_wasserstein_of_real"]);

  REQUIRE(run_plumb("train classifier --data digits --out " + r.run("judge") + " --width 8 --batch 64 --steps 40 --warmup 5").code == 0);
  auto draw = [&](const std::string& picture) {
    return run_plumb("sample " + r.run("a") + " --count 20 --seed 3 --out " + r.run(picture) + " --judge " + r.run("judge"));
  };
  Outcome drawn = draw("one.png");
  REQUIRE_MESSAGE(drawn.code == 0, drawn.err);
  CHECK(nlohmann::json::parse(drawn.out)["frechet"] > 0);
  CHECK(draw("two.png").out == drawn.out);
  CHECK(read_file(r.run("one.png")) == read_file(r.run("two.png")));
}

TEST_CASE("train gan: killed and resumed, the bits are those of one run: both optimisers, penalties, averages and all") {
  Runs r;
  for (const std::string& more :
       {std::string(" --loss hinge --critic-steps 2 --gradient-penalty 1"), std::string(kStyle) + " --dtype bf16"}) {
    CAPTURE(more);
    std::string options = more + " --eval-every 6 --checkpoint-every 5", name = more.substr(3, 4);
    REQUIRE(run_plumb(r.train("whole" + name, 16, options)).code == 0);
    CHECK(stop_midway(r.train("cut" + name, 16, options), r.run("cut" + name) + "/metrics.jsonl", 11, SIGKILL) == 128 + SIGKILL);
    Outcome o = run_plumb("train gan --resume " + r.run("cut" + name));
    CHECK_MESSAGE(o.code == 0, o.err);
    CHECK(read_file(r.run("cut" + name) + "/model.safetensors") == read_file(r.run("whole" + name) + "/model.safetensors"));
    CHECK(numbers(r.run("cut" + name) + "/metrics.jsonl") == numbers(r.run("whole" + name) + "/metrics.jsonl"));
  }
}

TEST_CASE("train gan: a style-based pair has its own defaults, its penalties their rhythm, and its samples can be truncated") {
  Runs r;
  Outcome o = run_plumb("train gan --data digits --out " + r.run("s") + kStyle + " --width 8 --latent 8 --steps 7 --lr 0.001");
  REQUIRE_MESSAGE(o.code == 0, o.err);
  auto config = nlohmann::json::parse(read_file(r.run("s") + "/config.json"));
  CHECK(config["beta1"] == 0);
  CHECK(config["batch"] == 32);
  CHECK(config["r1"] == 10);
  CHECK(config["lr"] == 0.001);
  CHECK(config["min_lr"].get<double>() == doctest::Approx(0.0001));
  auto lines = train::read_metrics(r.run("s") + "/metrics.jsonl");
  for (size_t i = 0; i < 7; ++i) {
    CHECK(std::isfinite(lines[i]["train_r1"]) == (i % 3 == 0));
    CHECK(std::isfinite(lines[i]["train_path_length"]) == (i % 2 == 0));
  }
  auto draw = [&](const char* truncation) {
    CHECK(run_plumb("sample " + r.run("s") + " --count 4 --truncation " + truncation + " --out " + r.run("x.png")).code == 0);
    return read_file(r.run("x.png"));
  };
  CHECK(draw("1") != draw("0.2"));
}

TEST_CASE("train gan: what is wrong is named before anything is made") {
  Runs r;
  struct Wrong {
    const char *options, *message;
  };
  for (auto [options, message] : {Wrong{" --model biggan", "--model biggan is unknown; choose dcgan or style"},
                                  {" --loss minimax", "gan: loss \"minimax\" is unknown"},
                                  {" --r1 -1", "--r1 must not be negative"},
                                  {" --accumulate 2", "--accumulate: a GAN's batches are not taken apart"},
                                  {" --latent 0", "dcgan: --latent must be at least 1, it is 0"},
                                  {" --model style --mapping-layers 9", "style: --mapping-layers must lie in [1, 8], it is 9"}}) {
    Outcome bad = run_plumb("train gan --data digits --out " + r.run("bad") + options);
    CHECK(bad.code == 2);
    CHECK_MESSAGE(bad.err.find(message) != std::string::npos, bad.err);
    CHECK(!path_exists(r.run("bad")));
  }
  REQUIRE(run_plumb(r.train("g", 1)).code == 0);
  CHECK(run_plumb("sample " + r.run("g") + " --truncation 0.5 --out " + r.run("x.png"))
            .err.find("--truncation: it is for style-based GANs") != std::string::npos);
  CHECK(run_plumb("sample " + r.run("g") + " --class 3 --out " + r.run("x.png"))
            .err.find("--class: runs of train vae and train gan do not know classes") != std::string::npos);
}

TEST_CASE("train gan: what two optimisers that take turns cannot do is refused") {
  Runs r;
  for (auto [option, message] : {std::pair{" --recompute", "--recompute: a GAN has no blocks to compute again; choose a smaller --batch"},
                                 {" --capture", "--capture"},
                                 {" --shard-optimizer", "--capture and --shard-optimizer: a GAN's two optimisers take turns"},
                                 {" --dtype f16", "--dtype f16: a GAN's losses are not scaled, which f16 needs; choose bf16"}}) {
    Outcome o = run_plumb(r.train("bad", 1, option));
    CHECK(o.code == 2);
    CHECK_MESSAGE(o.err.find(message) != std::string::npos, o.err);
    CHECK(!path_exists(r.run("bad")));
  }
}
