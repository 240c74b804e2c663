// `plumb data pretrained`: models are made where they are missing and left alone where they are not.
#include <doctest/doctest.h>

#include <algorithm>

#include "engine/io/file.h"
#include "tests/tools/run_command.h"

using namespace plumb;

TEST_CASE("data pretrained: makes what is missing, from the data that is there, and leaves what is finished alone") {
  plumb_test::Scratch scratch;
  std::string play, code;
  for (int i = 0; i < 60; ++i) {
    play += "First Citizen:\nSpeak, speak. " + std::to_string(i) + "\n";
    code += "int f" + std::to_string(i) + "(int x) { return x + " + std::to_string(i) + "; }  // adds\n";
  }
  scratch.put("data/text/tinyshakespeare.txt", play);
  scratch.put("sources/a.h", code);
  scratch.put("sources/build/generated.cpp", "int never;\n");
  std::string command = "data pretrained --steps 2 --from " + scratch.path("data") + " --sources " + scratch.path("sources") + " --to " +
                        scratch.path("models");
  Outcome made = run_plumb(command);
  REQUIRE_MESSAGE(made.code == 0, made.err);
  for (const char* name : {"gpt-shakespeare", "gpt-sources", "image-encoder", "dual-encoder"})
    CHECK(path_exists(scratch.path("models") + "/" + name + "/model.safetensors"));
  std::string weights = read_file(scratch.path("models") + "/gpt-shakespeare/model.safetensors");
  Outcome again = run_plumb(command);
  CHECK(again.code == 0);
  CHECK(again.out.find("gpt-shakespeare: there already") != std::string::npos);
  CHECK(read_file(scratch.path("models") + "/gpt-shakespeare/model.safetensors") == weights);
  CHECK(read_file(scratch.path("models") + "/gpt-sources/config.json").find("generated.cpp") == std::string::npos);
  // What was made is what fine-tuning takes.
  Outcome tuned = run_plumb("finetune " + scratch.path("models") + "/image-encoder --data digits --rank 2 --steps 2 --batch 8 --out " +
                            scratch.path("tuned"));
  CHECK_MESSAGE(tuned.code == 0, tuned.err);
}

TEST_CASE("data pretrained: what cannot be made is one line") {
  plumb_test::Scratch scratch;
  auto refused = [&](const std::string& arguments, const std::string& part) {
    Outcome o = run_plumb("data pretrained --to " + scratch.path("models") + " " + arguments);
    CHECK(o.code == 2);
    CHECK_MESSAGE(o.err.find(part) != std::string::npos, o.err);
    CHECK(std::count(o.err.begin(), o.err.end(), '\n') == 1);
  };
  refused("gpt-moby-dick",
          "there is no pretrained model gpt-moby-dick; known are gpt-shakespeare, gpt-sources, image-encoder and dual-encoder");
  refused("gpt-sources --sources " + scratch.path("nowhere"), "has no C++ sources");
  refused("gpt-shakespeare --from " + scratch.path("nowhere"), "tinyshakespeare.txt");
  refused("image-encoder --steps -1", "--steps must not be negative, it is -1");
  CHECK(run_plumb("data pretrained --list").out.find("image-encoder ") != std::string::npos);
}
