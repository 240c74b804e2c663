// `plumb quantize` as a user runs it: smaller runs that are evaluated and sampled as the one they were made of, and bad input.
#include <doctest/doctest.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "engine/io/file.h"
#include "models/quantize/store.h"
#include "models/train/run_directory.h"
#include "tests/tools/run_command.h"

using namespace plumb;

namespace {

// A small GPT, trained once on counting.
struct Trained {
  plumb_test::Scratch scratch;
  Trained() {
    std::ofstream text(data());
    for (int i = 0; i < 300; ++i) text << "one two three four five six seven.\n";
    text.close();
    Outcome o = run_plumb("train gpt --data " + data() + " --out " + run() +
                          " --layers 1 --heads 2 --width 16 --context 16 --batch 8 --steps 80 --eval-every 40 --lr 0.01 --dropout 0");
    REQUIRE_MESSAGE(o.code == 0, o.err);
  }
  std::string data() const { return scratch.path("text.txt"); }
  std::string run(const std::string& behind = "") const { return scratch.path("run") + behind; }
  double loss(const std::string& of) const {
    Outcome o = run_plumb("eval " + of + " --data " + data());
    REQUIRE_MESSAGE(o.code == 0, o.err);
    return nlohmann::json::parse(o.out)["loss"];
  }
};

}  // namespace

TEST_CASE("quantize: 8 and 4 bits and RF8 shrink a run, and what is stored is what is computed with") {
  Trained t;
  double before = t.loss(t.run());
  StateDict weights = train::RunDirectory::open(t.run()).load_model();
  for (auto [options, name, tolerance] :
       {std::tuple{"", "-int8", 0.02}, {"--bits 4 --granularity channel", "-int4", 1.5}, {"--format rf8", "-rf8", 0.3}}) {
    CAPTURE(name);
    Outcome o = run_plumb("quantize " + t.run() + "/ " + options);
    REQUIRE_MESSAGE(o.code == 0, o.err);
    CHECK(o.out.starts_with(t.run(name) + ": "));
    CHECK(o.out.find("relative error of the weights: 0.") != std::string::npos);
    double after = t.loss(t.run(name));
    CHECK(after != before);
    CHECK(std::abs(after - before) < tolerance);
    CHECK(std::filesystem::file_size(t.run(name) + "/model.safetensors") <
          std::filesystem::file_size(t.run() + "/model.safetensors") * 3 / 4);
    StateDict stored = train::RunDirectory::open(t.run(name)).load_model();
    quantize::StoreOptions wanted{.format = std::string(name) == "-rf8" ? quantize::StorageFormat::rf8 : quantize::StorageFormat::integer,
                                  .bits = std::string(name) == "-int4" ? 4 : 8};
    for (const auto& [tensor, values] : quantize::encode_state(weights, wanted).decoded())
      CHECK(to_vector(stored.at(tensor)) == to_vector(values));
    Outcome sampled = run_plumb("sample " + t.run(name) + " --prompt one --tokens 10");
    CHECK_MESSAGE(sampled.code == 0, sampled.err);
    CHECK(sampled.out.starts_with("one"));
  }
}

TEST_CASE("quantize: a scale for the tensor, another directory, and both runs measured") {
  Trained t;
  std::string out = t.scratch.path("small");
  Outcome o = run_plumb("quantize " + t.run() + " --granularity tensor --out " + out + " --eval --data " + t.data());
  REQUIRE_MESSAGE(o.code == 0, o.err);
  CHECK(o.out.find("a scale for each tensor") != std::string::npos);
  CHECK(o.out.starts_with(t.run() + ": {"));
  CHECK(o.out.find("\n" + out + ": {") != std::string::npos);
  for (const auto& [name, stored] : quantize::load_stored(out + "/model.safetensors").coded) CHECK(stored.scale.numel() == 1);
}

TEST_CASE("quantize: of a run's other files those that are its own are copied, as they are; links and hidden files are not") {
  Trained t;
  std::string zipped = gzip("notes");
  t.scratch.put("secret", "key");
  std::filesystem::create_symlink(t.scratch.path("secret"), t.run() + "/linked");
  std::ofstream(t.run() + "/notes.gz", std::ios::binary) << zipped;
  std::ofstream(t.run() + "/.hidden") << "left";
  REQUIRE(run_plumb("quantize " + t.run()).code == 0);
  for (const char* name : {"linked", ".hidden", ".lock"}) CHECK_FALSE(path_exists(t.run("-int8") + "/" + name));
  std::ifstream copied(t.run("-int8") + "/notes.gz", std::ios::binary);
  CHECK(std::string{std::istreambuf_iterator<char>(copied), {}} == zipped);
}

TEST_CASE("quantize: bad input is one line, and nothing is written") {
  Trained t;
  auto error = [&](const std::string& arguments) {
    Outcome o = run_plumb("quantize " + arguments);
    CHECK(o.code == 2);
    return o.err;
  };
  CHECK(error(t.run() + " --bits 5") == "plumb: quantize: --bits must be 8 or 4, it is 5\n");
  CHECK(error(t.run() + " --granularity row") == "plumb: quantize: --granularity must be channel or tensor, it is row\n");
  CHECK(error(t.run() + " --format float") == "plumb: quantize: --format must be integer or rf8, it is float\n");
  CHECK(error(t.run() + " --format rf8 --bits 4") == "plumb: quantize: --format rf8 has 8 bits; leave --bits out\n");
  CHECK(error(t.scratch.path("nothing")) ==
        "plumb: quantize: run: " + t.scratch.path("nothing") + " is not a run directory (it has no config.json)\n");
  CHECK_FALSE(path_exists(t.run("-int8")));
  REQUIRE(run_plumb("quantize " + t.run()).code == 0);
  CHECK(error(t.run()) == "plumb: quantize: " + t.run("-int8") + " exists already; choose another --out\n");
  CHECK(error(t.run("-int8") + " --bits 4") ==
        "plumb: quantize: " + t.run("-int8") + " is stored in few bits already; give the run that it was made of\n");
}

TEST_CASE("quantize: a file that may not grow enough leaves nothing behind, and the same command works with more room") {
  Trained t;
  Outcome o = run_shell("ulimit -f 2; exec $PLUMB_BINARY quantize " + t.run() + " --out " + t.run("-8"));
  CHECK(o.code == 2);
  CHECK_MESSAGE(o.err.find("nothing was written") != std::string::npos, o.err);
  for (const auto& entry : std::filesystem::directory_iterator(t.scratch.path()))
    CHECK(entry.path().filename().string().find("-8") == std::string::npos);
  CHECK(run_plumb("quantize " + t.run() + " --out " + t.run("-8")).code == 0);
}

TEST_CASE("quantize: data without --eval, and --eval without the data that it needs, leave nothing behind") {
  Trained t;
  Outcome idle = run_plumb("quantize " + t.run() + " --data " + t.data());
  CHECK(idle.code == 2);
  CHECK(idle.err.find("--data says what --eval measures on") != std::string::npos);
  CHECK_FALSE(path_exists(t.run("-int8")));
}
