// `plumb train encoder` on reviews made here: what is positive says so.
#include <doctest/doctest.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "engine/core/error.h"
#include "engine/data/film_reviews.h"
#include "tests/tools/run_command.h"

using plumb_test::Scratch;

namespace {

// Twenty reviews of each class in all ten folds, as the archive holds them.
std::string archive(const Scratch& scratch) {
  const char* words[] = {"film", "story", "actor", "scene", "plot", "music"};
  for (int positive = 0; positive < 2; ++positive)
    for (int i = 0; i < 20; ++i) {
      int number = i / 2 * 100 + i % 2;
      std::string text;
      for (int w = 0; w < 30; ++w) text += std::string(w % 5 == i % 5 ? (positive ? "good" : "bad") : words[(w * 7 + i * 3) % 6]) + " ";
      char name[64];
      std::snprintf(name, sizeof name, "txt_sentoken/%s/cv%03d_%05d.txt", positive ? "pos" : "neg", number, number * 7);
      scratch.put(name, text + "\n");
    }
  std::string path = scratch.path("reviews.tar.gz");
  REQUIRE(run_shell("tar czf " + path + " -C " + scratch.path() + " txt_sentoken").code == 0);
  return path;
}

}  // namespace

TEST_CASE("train encoder: learns what words say, on nine folds, measured on the tenth") {
  Scratch scratch;
  std::string data = archive(scratch);
  auto reviews = plumb::data::read_film_reviews(data);
  REQUIRE(reviews.size() == 40);
  CHECK(reviews.front().positive == 0);
  CHECK(reviews.back().fold() == 9);
  std::string options =
      " --data " + data +
      " --fold 3 --width 16 --inner 16 --heads 2 --context 24 --batch 8 --steps 60 --eval-every 30 --warmup 5 --lr 5e-3 --head-dropout 0.1";
  Outcome o = run_plumb("train encoder --out " + scratch.path("run") + options);
  INFO(o.err);
  REQUIRE(o.code == 0);
  CHECK(o.err.find("4 to test (fold 3)") != std::string::npos);
  Outcome eval = run_plumb("eval " + scratch.path("run"));
  REQUIRE(eval.code == 0);
  auto measured = nlohmann::json::parse(eval.out);
  CHECK(measured["reviews"] == 4);
  CHECK(measured["accuracy"] == 1.0);
  REQUIRE(run_plumb("train encoder --out " + scratch.path("again") + options).code == 0);
  // Killed between config.json and tokenizer.json.
  std::filesystem::create_directories(scratch.path("killed/checkpoints"));
  scratch.put("killed/config.json", scratch.get("run/config.json"));
  REQUIRE(run_plumb("train encoder --resume " + scratch.path("killed")).code == 0);
  CHECK(run_plumb("eval " + scratch.path("killed")).out == eval.out);
  CHECK(scratch.get("run/model.safetensors") == scratch.get("again/model.safetensors"));
}

TEST_CASE("train encoder: options and archives that will not do are named") {
  Scratch scratch;
  CHECK(run_plumb("train encoder --out " + scratch.path("run")).err ==
        "plumb: train encoder: --data is missing: give the path of review_polarity.tar.gz\n");
  CHECK(run_plumb("train encoder --data x --fold 10 --out " + scratch.path("run")).err ==
        "plumb: train encoder: --fold must lie between 0 and 9, it is 10\n");
  std::string other = scratch.put("other.txt", "x");
  REQUIRE(run_shell("tar cf " + scratch.path("other.tar") + " -C " + scratch.path() + " other.txt").code == 0);
  CHECK_THROWS_WITH_AS(plumb::data::read_film_reviews(scratch.path("other.tar")),
                       ("film reviews: " + scratch.path("other.tar") + ": holds no file like neg/cv000_….txt or pos/cv000_….txt").c_str(),
                       plumb::IoError);
}

TEST_CASE("train encoder: --early-stop without a validation part and --recompute are refused") {
  Scratch scratch;
  std::string start = "train encoder --data x --out " + scratch.path("run");
  CHECK(run_plumb(start + " --validation 0 --early-stop 1").err ==
        "plumb: train encoder: --early-stop needs a validation part: --validation must not be 0\n");
  Outcome again = run_plumb(start + " --recompute");
  CHECK(again.code == 2);
  CHECK(again.err == "plumb: train encoder: --recompute: a sentence encoder has no blocks to compute again\n");
  CHECK(!std::filesystem::exists(scratch.path("run")));
}
