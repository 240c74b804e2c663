// `plumb train vae`, eval and sample as a user meets them: small runs on the carried digits.
#include <doctest/doctest.h>
#include <signal.h>

#include <nlohmann/json.hpp>

#include "engine/io/file.h"
#include "engine/io/image.h"
#include "models/train/metrics.h"
#include "tests/tools/stop_midway.h"

using namespace plumb;

namespace {

const char* kSmall = " --data digits --width 8 --multipliers 1 2 --groups 4 --batch 32 --warmup 5 --lr 0.003";

struct Runs {
  plumb_test::Scratch scratch;
  std::string run(const std::string& name) const { return scratch.path(name); }
  std::string train(const std::string& name, int steps, const std::string& more = "") const {
    return "train vae --out " + run(name) + kSmall + " --steps " + std::to_string(steps) + more;
  }
};

}  // namespace

TEST_CASE("train vae: the bound rises, pictures are drawn, eval measures the test part, and a classifier judges samples") {
  Runs r;
  Outcome o = run_plumb(r.train("a", 80, " --latent 4 --eval-every 40"));
  REQUIRE_MESSAGE(o.code == 0, o.err);
  auto lines = train::read_metrics(r.run("a") + "/metrics.jsonl");
  CHECK(lines.back()["val_elbo"] > lines[39]["val_elbo"]);
  CHECK(lines.back()["val_elbo"] == doctest::Approx(-lines.back()["val_reconstruction"] - lines.back()["val_kl"]));
  CHECK(load_image(r.run("a") + "/samples/step-00000080.png").size(2) == 1);
  Outcome eval = run_plumb("eval " + r.run("a"));
  REQUIRE_MESSAGE(eval.code == 0, eval.err);
  auto json = nlohmann::json::parse(eval.out);
  CHECK(json["elbo"].get<double>() == doctest::Approx(lines.back()["test_elbo"]).epsilon(1e-6));
  CHECK(json["importance_bound"] > json["elbo"]);

  REQUIRE(run_plumb("train classifier --data digits --out " + r.run("judge") + " --width 8 --batch 64 --steps 40 --warmup 5").code == 0);
  auto draw = [&](const std::string& picture) {
    return run_plumb("sample " + r.run("a") + " --count 20 --seed 3 --out " + r.run(picture) + " --judge " + r.run("judge"));
  };
  Outcome drawn = draw("one.png");
  REQUIRE_MESSAGE(drawn.code == 0, drawn.err);
  json = nlohmann::json::parse(drawn.out);
  CHECK(json["model"] == "vae");
  CHECK(json["frechet"] > json["frechet_of_real"]);
  CHECK(draw("two.png").out == drawn.out);
  CHECK(read_file(r.run("one.png")) == read_file(r.run("two.png")));
  Outcome pairs = run_plumb("sample " + r.run("a") + " --reconstruct --count 16 --out " + r.run("pairs.png"));
  CHECK_MESSAGE(pairs.err.find("16 test images, a row of their reconstructions under each row") != std::string::npos, pairs.err);
}

TEST_CASE("train vae: killed and resumed, the bits are those of one run: codebook, restarts, averaged weights and all") {
  Runs r;
  for (const char* more : {" --model vqvae --latent 3 --codes 16 --ema 0.9 --accumulate 2",
                           " --model vae --map --latent 2 --dtype bf16 --likelihood gaussian --dropout 0.1"}) {
    CAPTURE(more);
    std::string options = std::string(more) + " --eval-every 10 --checkpoint-every 5", name = std::string(more).substr(9, 3);
    REQUIRE(run_plumb(r.train("whole" + name, 20, options)).code == 0);
    CHECK(stop_midway(r.train("cut" + name, 20, options), r.run("cut" + name) + "/metrics.jsonl", 12, SIGKILL) == 128 + SIGKILL);
    Outcome o = run_plumb("train vae --resume " + r.run("cut" + name));
    CHECK_MESSAGE(o.code == 0, o.err);
    for (const char* file : {"/model.safetensors", "/latent_space.safetensors"})
      CHECK(read_file(r.run("cut" + name) + file) == read_file(r.run("whole" + name) + file));
    CHECK(numbers(r.run("cut" + name) + "/metrics.jsonl") == numbers(r.run("whole" + name) + "/metrics.jsonl"));
  }
}

TEST_CASE("train vae: plain and vector-quantised autoencoders draw from the Gaussian of their latents, and report their codes") {
  Runs r;
  for (const char* model : {"ae", "vqvae"}) {
    CAPTURE(model);
    Outcome o =
        run_plumb(r.train(model, 10, std::string(" --latent 3 --model ") + model + (std::string(model) == "vqvae" ? " --codes 16" : "")));
    REQUIRE_MESSAGE(o.code == 0, o.err);
    Outcome drawn = run_plumb("sample " + r.run(model) + " --count 4 --out " + r.run("x.png"));
    CHECK_MESSAGE(drawn.code == 0, drawn.err);
    auto json = nlohmann::json::parse(run_plumb("eval " + r.run(model)).out);
    CHECK(json.contains("reconstruction"));
    CHECK(json.contains("perplexity") == (std::string(model) == "vqvae"));
    CHECK(!json.contains("elbo"));
  }
}

TEST_CASE("train vae: what is wrong is named before anything is made") {
  Runs r;
  struct Wrong {
    const char *options, *message;
  };
  for (auto [options, message] : {Wrong{" --model diffusion", "--model diffusion is unknown; choose ae, vae or vqvae"},
                                  {" --likelihood poisson", "--likelihood poisson is unknown; choose bernoulli or gaussian"},
                                  {" --multipliers 1 1 1 1 1", "images of side 8 cannot be halved 4 times"},
                                  {" --beta -1", "vae: --beta must not be negative, it is -1"},
                                  {" --model vqvae --codes 0", "vqvae: --codes must be at least 1, it is 0"},
                                  {" --groups 3", "--groups 3 does not divide the 16 channels"}}) {
    Outcome bad = run_plumb("train vae --data digits --out " + r.run("bad") + options);
    CHECK(bad.code == 2);
    CHECK_MESSAGE(bad.err.find(message) != std::string::npos, bad.err);
    CHECK(!path_exists(r.run("bad")));
  }
}
