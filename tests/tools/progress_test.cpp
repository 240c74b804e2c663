// Bars of `plumb embed`, `sample` and `audit`: on a terminal alone.
#include <doctest/doctest.h>

#include "engine/io/tokenizer.h"
#include "tests/pseudo_terminal.h"
#include "tests/tools/people_table.h"
#include "tests/tools/run_command.h"

namespace {

const char* kFull = " [========================] ";

std::string reference(const std::string& model) {
  const char* source = std::getenv("PLUMB_SOURCE");
  return std::string(source ? source : ".") + "/tests/reference/" + model;
}

struct Seen {
  std::string out, terminal;
};

// The command with its standard error on a terminal, and, for comparison, both outputs in files, where there must be no bar.
Seen seen(const std::string& arguments) {
  plumb_test::PseudoTerminal terminal;
  Outcome on = run_plumb(arguments + " 2>" + terminal.path), off = run_plumb(arguments);
  Seen s{on.out, terminal.text()};
  CHECK_MESSAGE(on.code == 0, s.terminal);
  CHECK(off.code == 0);
  CHECK(on.out == off.out);
  CHECK(off.err.find('[') == std::string::npos);
  return s;
}

bool shows(const Seen& s, const std::string& bar) { return s.terminal.find("\r\x1b[K" + bar) != std::string::npos; }

}  // namespace

TEST_CASE("progress: embed counts texts") {
  Seen s = seen("embed --model " + reference("sentence_encoder") + " --batch 2 one two three");
  CHECK(shows(s, std::string("embed") + kFull + "3/3  texts  0:00 left\r\n"));
}

TEST_CASE("progress: sample counts tokens, of text that does not go to the terminal and of beams") {
  plumb_test::Scratch scratch;
  std::string directory = scratch.path("gpt2");
  REQUIRE(run_shell("cp -r " + reference("gpt2") + " " + directory).code == 0);
  plumb::Tokenizer::characters("abcdefghijklmnopqrstuvwxyzABCDEFGHIJK").save(directory + "/tokenizer.json");
  std::string ask = "sample " + directory + " --prompt abcd --tokens 6";
  CHECK(shows(seen(ask), std::string("sample") + kFull + "6/6  tokens  0:00 left\r\n"));
  CHECK(shows(seen(ask + " --beams 2"), std::string("sample") + kFull + "6/6  tokens  0:00 left\r\n"));

  plumb_test::PseudoTerminal both;
  REQUIRE(run_plumb(ask + " >" + both.path + " 2>&1").code == 0);
  CHECK(both.text() == run_plumb(ask).out.substr(0, 10) + "\r\n");
}

TEST_CASE("progress: audit counts resamples and permutations, those of a trade-off that cannot be drawn too") {
  plumb_test::Scratch scratch;
  std::string data = scratch.put("people.csv", people_table(200)), run = scratch.path("run");
  REQUIRE(run_plumb("train tabular --model logistic --data " + data + " --target earns --batch 64 --steps 10 --out " + run).code == 0);
  Seen s = seen("audit " + run + " --data " + data + " --protected sex --resamples 4 --permutations 3");
  CHECK(shows(s, std::string("audit") + kFull + "15/15  resamples  0:00 left\r\n"));
}

TEST_CASE("progress: sample counts the steps of a U-Net's images, and images of a model that draws at once") {
  plumb_test::Scratch scratch;
  std::string unet = scratch.path("unet"), vae = scratch.path("vae"), picture = " --out " + scratch.path("picture.png");
  REQUIRE(run_plumb(
              "train unet --data digits --width 8 --multipliers 1 2 --attention 1 --groups 4 --batch 8 --steps 1 --sample-steps 1 --out " +
              unet)
              .code == 0);
  REQUIRE(run_plumb("train vae --data digits --batch 8 --steps 1 --out " + vae).code == 0);
  CHECK(shows(seen("sample " + unet + " --count 101 --steps 2" + picture), std::string("sample") + kFull + "4/4  steps  0:00 left\r\n"));
  CHECK(shows(seen("sample " + vae + " --count 9" + picture), std::string("sample") + kFull + "9/9  images  0:00 left\r\n"));
}
