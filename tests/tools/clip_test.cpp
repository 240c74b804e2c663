// `plumb train clip`, and what `eval`, `finetune` and `merge` make of its runs: digit pairs, a user's CSV file, and what is refused.
#include <doctest/doctest.h>
#include <signal.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "engine/io/file.h"
#include "engine/io/image.h"
#include "engine/io/safetensors.h"
#include "tests/tools/stop_midway.h"

using namespace plumb;
namespace fs = std::filesystem;

namespace {

const std::string kSmall = " --layers 1 --width 32 --batch 32 --eval-every 0 --warmup 10";

// Forty images of 8×8: a bright bar that stands at the left or the right, or lies above or below, on a dark ground or the other way round.
struct Bars {
  plumb_test::Scratch scratch;
  explicit Bars(bool bright = true) {
    fs::create_directories(scratch.path("images"));
    std::string csv = "image,caption\n";
    const char* where[] = {"left", "right", "above", "below"};
    for (int i = 0; i < 40; ++i) {
      int place = i % 4, thick = 2 + i / 4 % 2;
      Tensor x = empty({8, 8, 1}, u8);
      for (int r = 0; r < 8; ++r)
        for (int c = 0; c < 8; ++c) {
          bool in = place == 0 ? c < thick : place == 1 ? c >= 8 - thick : place == 2 ? r < thick : r >= 8 - thick;
          x.data<uint8_t>()[8 * r + c] = static_cast<uint8_t>(in == bright ? 220 + i % 7 : 20 + i % 5);
        }
      std::string name = "images/" + std::to_string(i) + ".png";
      save_png(scratch.path(name), x);
      csv += name + ",a bar " + where[place] + "\n";
    }
    scratch.put("bars.csv", csv);
  }
  std::string file(const std::string& name) const { return scratch.path(name); }
  std::string train(const std::string& out, const std::string& options = "--steps 150") const {
    return "train clip --channels 1 --patch 4 --crop 0 --zoom 0 --lr 0.005 --data " + file("bars.csv") + " --out " + file(out) + kSmall +
           " " + options;
  }
};

nlohmann::json measured(const std::string& arguments) {
  Outcome o = run_plumb("eval " + arguments);
  REQUIRE_MESSAGE(o.code == 0, o.err);
  return nlohmann::json::parse(o.out);
}

}  // namespace

TEST_CASE("train clip: digit pairs are there without a file; training finds captions that chance does not") {
  plumb_test::Scratch scratch;
  Outcome o = run_plumb("train clip --out " + scratch.path("run") + kSmall + " --steps 500 --lr 0.005 --noise 0");
  REQUIRE_MESSAGE(o.code == 0, o.err);
  nlohmann::json scores = measured(scratch.path("run"));
  CHECK(scores["images"] == 500);
  CHECK(scores["captions"] > 90);
  CHECK(scores["recall_5"] > 0.15);  // five of a hundred by chance
  CHECK(scores["recall_5"] >= scores["recall_1"]);
  CHECK(measured(scratch.path("run") + " --data digit-pairs") == scores);
}

TEST_CASE("train clip: a CSV file's images find their captions; killed and resumed, the weights are those of a run that never stopped") {
  Bars bars;
  Outcome o = run_plumb(bars.train("whole"));
  REQUIRE_MESSAGE(o.code == 0, o.err);
  CHECK(measured(bars.file("whole") + " --data " + bars.file("bars.csv"))["recall_1"] > 0.9);
  stop_midway(bars.train("cut", "--steps 150 --checkpoint-every 20"), bars.file("cut") + "/metrics.jsonl", 30, SIGKILL);
  Outcome resumed = run_plumb("train clip --resume " + bars.file("cut"));
  REQUIRE_MESSAGE(resumed.code == 0, resumed.err);
  CHECK(read_file(bars.file("cut") + "/model.safetensors") == read_file(bars.file("whole") + "/model.safetensors"));
  // Killed between config.json and tokenizer.json.
  std::filesystem::create_directories(bars.file("early") + "/checkpoints");
  std::filesystem::copy_file(bars.file("whole") + "/config.json", bars.file("early") + "/config.json");
  REQUIRE(run_plumb("train clip --resume " + bars.file("early")).code == 0);
  CHECK(read_file(bars.file("early") + "/model.safetensors") == read_file(bars.file("whole") + "/model.safetensors"));
}

TEST_CASE("train clip: words are those of the images to train on, none of those that are held back") {
  Bars bars;
  std::string csv = "image,caption\n";
  for (int i = 0; i < 40; ++i) csv += "images/" + std::to_string(i) + ".png,bar of kind" + std::to_string(i) + "\n";
  bars.scratch.put("bars.csv", csv);
  Outcome o = run_plumb(bars.train("run", "--steps 1 --vocab 100000"));
  REQUIRE_MESSAGE(o.code == 0, o.err);
  std::string tokens = read_file(bars.file("run") + "/tokenizer.json");
  int known = 0;
  for (int i = 0; i < 40; ++i) known += tokens.find("\"kind" + std::to_string(i) + "\"") != std::string::npos;
  CHECK(known == 32);  // of 40 rows 80 %
}

TEST_CASE("finetune: every adapter teaches a dual encoder other images; merged, it is a run that finds what the adapted one found") {
  Bars old, inverted(false);
  Outcome o = run_plumb(old.train("base"));
  REQUIRE_MESSAGE(o.code == 0, o.err);
  double before = measured(old.file("base") + " --data " + inverted.file("bars.csv"))["loss"];
  for (const char* adapter : {"lora", "dora", "pissa", "allora", "ba-lora", "alignguard"}) {
    CAPTURE(adapter);
    std::string name = adapter, keep = name == "alignguard" ? " --keep-samples 8 --keep " + old.file("bars.csv") : "";
    Outcome tuned = run_plumb("finetune " + old.file("base") + " --adapter " + name + keep + " --data " + inverted.file("bars.csv") +
                              " --rank 4 --steps 60 --batch 16 --lr 0.01 --warmup 5 --eval-every 0 --out " + old.file(name));
    REQUIRE_MESSAGE(tuned.code == 0, tuned.err);
    Outcome merged = run_plumb("merge " + old.file(name) + " --out " + old.file(name + "-merged"));
    REQUIRE_MESSAGE(merged.code == 0, merged.err);
    CHECK(measured(old.file(name + "-merged") + " --data " + inverted.file("bars.csv"))["loss"] < 0.8 * before);
    StateDict base = load_safetensors(old.file("base") + "/model.safetensors");
    for (const auto& [part, value] : load_safetensors(old.file(name) + "/model.safetensors")) CHECK_FALSE(base.contains(part));
  }
}

TEST_CASE("train clip, eval and finetune: what cannot be is one line, and nothing is made") {
  Bars bars;
  auto refused = [&](const std::string& arguments, const std::string& part) {
    CAPTURE(arguments);
    Outcome o = run_plumb(arguments);
    CHECK(o.code == 2);
    CHECK_MESSAGE(o.err.find(part) != std::string::npos, o.err);
    CHECK(std::count(o.err.begin(), o.err.end(), '\n') == 1);
    CHECK_FALSE(path_exists(bars.file("out")));
  };
  refused(bars.train("out", "--context 4"), "the caption \"a bar left\" has 3 tokens, there is room for 2");
  refused(bars.train("out", "--heads 5"), "--width 32 is not a multiple of --heads 5");
  std::string plain = "train clip --data " + bars.file("bars.csv") + " --out " + bars.file("out");
  refused(plain + " --patch 3", "image_height 8 is not a multiple of --patch 3");
  refused(plain + " --channels 2", "--channels must be 1 or 3, it is 2");
  refused(plain + " --zoom 1", "--zoom must lie in [0, 1), it is 1");
  refused("train clip --data " + bars.file("none.csv") + " --out " + bars.file("out"), "none.csv");
  bars.scratch.put("few.csv", "image,caption\nimages/0.png,a\n");
  refused("train clip --data " + bars.file("few.csv") + " --out " + bars.file("out"), "10 at least are needed");
  bars.scratch.put("other.csv", "picture,caption\nimages/0.png,a\n");
  refused("train clip --data " + bars.file("other.csv") + " --out " + bars.file("out"), "has no column \"image\"; it has picture, caption");
  bars.scratch.put("lost.csv", "image,caption\nimages/99.png,a\nimages/0.png,b\n");
  refused("train clip --data " + bars.file("lost.csv") + " --out " + bars.file("out"), "images/99.png");

  Outcome o = run_plumb(bars.train("base", "--steps 2"));
  REQUIRE_MESSAGE(o.code == 0, o.err);
  refused("finetune " + bars.file("base") + " --data digit-pairs --out " + bars.file("out"),
          "digit-pairs: images are [1, 8, 16], the base takes [1, 8, 8]");
  refused("finetune " + bars.file("base") + " --data " + bars.file("bars.csv") + " " + bars.file("bars.csv") + " --out " + bars.file("out"),
          "--data: give one CSV file");
  refused("finetune " + bars.file("base") + " --rank 1000 --data " + bars.file("bars.csv") + " --out " + bars.file("out"), "rank");
}

TEST_CASE("train clip: --recompute is refused, since there are no blocks to compute again") {
  plumb_test::Scratch scratch;
  Outcome o = run_plumb("train clip --recompute --out " + scratch.path("x"));
  CHECK(o.code == 2);
  CHECK(o.err == "plumb: train clip: --recompute: a dual encoder has no blocks to compute again; choose a smaller --batch\n");
  CHECK(!path_exists(scratch.path("x")));
}
