// Where a result cannot be written, that is said before the work is done.
#include "tools/output_file.h"

#include <doctest/doctest.h>

#include <filesystem>

#include "engine/core/error.h"
#include "engine/io/file.h"
#include "tests/tools/people_table.h"
#include "tests/tools/run_command.h"

using namespace plumb;

TEST_CASE("output file: a missing directory is named, a file that can be written is left as it is, and devices are not asked") {
  plumb_test::Scratch scratch;
  std::string missing = scratch.path("nowhere/x.png"), old = scratch.put("old.png", "old");
  CHECK_THROWS_WITH_AS(tools::check_can_write(missing), ("write: " + missing + ": its directory does not exist; make it first").c_str(),
                       IoError);
  CHECK_THROWS_AS(tools::check_can_write(scratch.path()), IoError);
  tools::check_can_write(old);
  tools::check_can_write(scratch.path("new.png"));
  tools::check_can_write("/dev/null");
  CHECK(read_file(old) == "old");
  CHECK(std::distance(std::filesystem::directory_iterator(scratch.path()), {}) == 1);
}

TEST_CASE("output file: commands say where they cannot write before they work") {
  plumb_test::Scratch scratch;
  std::string series = "y\n";
  for (int i = 0; i < 60; ++i) series += std::to_string(i % 7) + "\n";
  std::string unet = scratch.path("unet"), forecast = scratch.path("forecast"), people = scratch.put("people.csv", people_table(80)),
              tabular = scratch.path("tabular");
  REQUIRE(run_plumb(
              "train unet --data digits --width 8 --multipliers 1 2 --attention 1 --groups 4 --batch 4 --sample-steps 1 --steps 1 --out " +
              unet)
              .code == 0);
  REQUIRE(run_plumb("train forecast --order 2 --batch 4 --steps 1 --data " + scratch.put("y.csv", series) + " --out " + forecast).code ==
          0);
  REQUIRE(run_plumb("train tabular --target earns --batch 8 --steps 1 --data " + people + " --out " + tabular).code == 0);
  std::string nowhere = scratch.path("nowhere");
  for (const std::string& command :
       {"sample " + unet + " --steps 100000 --count 100000 --out " + nowhere + "/x.png",
        "trace gpt --steps 100000 --out " + nowhere + "/x.json", "graph gpt --svg " + nowhere + "/x.svg",
        "predict " + forecast + " --out " + nowhere + "/x.csv",
        "audit " + tabular + " --data " + people + " --protected sex --resamples 100000000 --out " + nowhere + "/x.html",
        "bench kernels --seconds 1000 --html " + nowhere + "/x.html"}) {
    Outcome o = run_plumb(command);
    CHECK_MESSAGE(o.code == 2, command);
    CHECK_MESSAGE(o.err.find(nowhere) != std::string::npos, o.err);
    CHECK_MESSAGE(o.err.find("its directory does not exist; make it first\n") != std::string::npos, o.err);
    CHECK(o.out == "");
  }
  Outcome judged = run_plumb("sample " + unet + " --count 8 --judge " + nowhere + " --out " + scratch.path("x.png"));
  CHECK(judged.code == 2);
  CHECK(!path_exists(scratch.path("x.png")));
}

TEST_CASE("output file: an audit's page may go to a device, beside which no numbers are written; a full one is an error") {
  plumb_test::Scratch scratch;
  std::string people = scratch.put("people.csv", people_table(200)), run = scratch.path("run");
  REQUIRE(run_plumb("train tabular --target earns --batch 16 --steps 30 --data " + people + " --out " + run).code == 0);
  std::string audit = "audit " + run + " --data " + people + " --protected sex --resamples 10 --permutations 9 --out ";
  Outcome nothing = run_plumb(audit + "/dev/null");
  CHECK_MESSAGE(nothing.code == 0, nothing.err);
  CHECK(nothing.out.find("/dev/null: the page\n") != std::string::npos);
  CHECK(!path_exists("/dev/null.json"));
  Outcome full = run_plumb(audit + "/dev/full");
  CHECK(full.code == 2);
  CHECK_MESSAGE(full.err.find("/dev/full: the disk is full") != std::string::npos, full.err);
}
