// `plumb sample` with a model of the reference library, which tests/reference/make.py wrote together with what it decodes.
#include <doctest/doctest.h>

#include <cstdlib>
#include <filesystem>

#include "engine/io/safetensors.h"
#include "engine/io/tokenizer.h"
#include "ops/shape.h"
#include "tests/tools/run_command.h"

using namespace plumb;

TEST_CASE("sample: a pretrained directory writes what the reference library decodes, greedily and by beam search") {
  plumb_test::Scratch scratch;
  const char* source = std::getenv("PLUMB_SOURCE");
  for (const char* model : {"gpt2", "llama"}) {
    std::string reference = std::string(source ? source : ".") + "/tests/reference/" + model, directory = scratch.path(model);
    std::filesystem::copy(reference, directory);
    std::string alphabet = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJK";  // one character a token of the model's 37
    Tokenizer tokenizer = Tokenizer::characters(alphabet);
    REQUIRE(tokenizer.vocab_size() == 37);
    tokenizer.save(directory + "/tokenizer.json");
    StateDict expected = load_safetensors(reference + "/expected.safetensors");
    for (auto [name, option] : {std::pair{"greedy", "--temperature 0"}, {"beam", "--beams 3"}}) {
      std::vector<int32_t> tokens = to_vector<int32_t>(flatten(expected[name]));
      std::string text = tokenizer.decode(tokens), prompt = text.substr(0, 4);
      Outcome o = run_plumb("sample " + directory + " --prompt " + prompt + " --tokens 6 " + option);
      CHECK(o.err == "");
      CHECK(o.out == text + "\n");
    }
  }
}

TEST_CASE("sample: a run that is not sampled is said to be measured") {
  plumb_test::Scratch scratch;
  std::string run = scratch.path("run");
  REQUIRE(run_plumb("train classifier --data digits --model mlp --hidden 4 --batch 4 --steps 1 --out " + run).code == 0);
  CHECK(run_plumb("sample " + run).err ==
        "plumb: sample: " + run + " is a run of train classifier, which writes no text; plumb eval measures it\n");
}

TEST_CASE("sample: bad requests are named") {
  plumb_test::Scratch scratch;
  CHECK(run_plumb("sample " + scratch.path("nothing")).err ==
        "plumb: sample: run: " + scratch.path("nothing") + " is not a run directory (it has no config.json)\n");
  CHECK(run_plumb("sample " + scratch.path("nothing") + " --beams -1").err == "plumb: sample: --beams must not be negative, it is -1\n");
}
