// `plumb embed` as a user runs it.
#include <doctest/doctest.h>

#include <cmath>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "engine/io/npy.h"
#include "tests/tools/run_command.h"

namespace {

std::string model() {
  const char* source = std::getenv("PLUMB_SOURCE");
  return std::string(source ? source : ".") + "/tests/reference/sentence_encoder";
}

}  // namespace

TEST_CASE("embed: a line of JSON a text, of length 1; --file and --out") {
  Outcome o = run_plumb("embed --model " + model() + " 'The tide' 'a \"lamp\"'");
  CHECK(o.err == "");
  REQUIRE(o.code == 0);
  std::string first = o.out.substr(0, o.out.find('\n')), second = o.out.substr(first.size() + 1);
  auto line = nlohmann::json::parse(second);
  CHECK(line["text"] == "a \"lamp\"");
  REQUIRE(line["embedding"].size() == 12);
  double square = 0;
  for (double v : line["embedding"]) square += v * v;
  CHECK(square == doctest::Approx(1).epsilon(1e-5));
  plumb_test::Scratch scratch;
  std::string file = scratch.put("texts", "The tide\na \"lamp\"\n"), out = scratch.path("out.npy");
  REQUIRE(run_plumb("embed --model " + model() + " --file " + file + " --out " + out).code == 0);
  plumb::Tensor saved = plumb::load_npy(out);
  REQUIRE(saved.shape() == plumb::Shape{2, 12});
  CHECK(plumb::to_vector<double>(saved)[12] == doctest::Approx(line["embedding"][0].get<double>()).epsilon(1e-6));
}

TEST_CASE("embed: what is missing is said") {
  Outcome o = run_plumb("embed --model /nowhere text");
  CHECK(o.code == 2);
  CHECK(o.err.starts_with("plumb: embed: "));
  CHECK(o.err.find("/nowhere") != std::string::npos);
  CHECK(run_plumb("embed --model " + model()).err == "plumb: embed: give a text or --file\n");
}
