// Directories that are there whole or not at all, and what is copied into them.
#include "tools/whole_directory.h"

#include <doctest/doctest.h>

#include <filesystem>

#include "engine/core/error.h"
#include "engine/io/file.h"
#include "tests/scratch.h"

using namespace plumb;
using namespace plumb::tools;
using plumb_test::Scratch;
namespace fs = std::filesystem;

TEST_CASE("make_whole_directory: it appears when all of it is there") {
  Scratch scratch;
  std::string path = scratch.path("deep/out/");
  make_whole_directory(path, [&](const std::string& directory) {
    fs::create_directories(directory);
    write_file_atomic(directory + "/a", "1");
    CHECK_FALSE(path_exists(path));
  });
  CHECK(scratch.get("deep/out/a") == "1");
  CHECK(std::distance(fs::directory_iterator(scratch.path("deep")), fs::directory_iterator()) == 1);
}

TEST_CASE("make_whole_directory: what fails half-way leaves nothing, and what is there is not touched") {
  Scratch scratch;
  std::string out = scratch.path("out");
  auto half = [&](const std::string& directory) {
    fs::create_directories(directory);
    write_file_atomic(directory + "/a", "1");
    throw IoError("the disk is full");
  };
  CHECK_THROWS_WITH_AS(make_whole_directory(out, half), "the disk is full", IoError);
  CHECK(fs::is_empty(scratch.path()));
  scratch.put("out/mine", "x");
  CHECK_THROWS_WITH_AS(make_whole_directory(out, half), (out + " exists already; choose another --out").c_str(), ConfigError);
  CHECK(scratch.get("out/mine") == "x");
  CHECK_THROWS_WITH_AS(make_whole_directory("", half), "the name of the directory to make is empty; give --out one", ConfigError);
}

TEST_CASE("copy_if_there: a link that leads out of the directory is refused; within it, and into a cache's blobs, it is followed") {
  Scratch scratch;
  scratch.put("secret", "s");
  scratch.put("hub/blobs/b", "blob");
  scratch.put("hub/snapshots/1/own", std::string("\x1f\x8b own", 6));
  std::string from = scratch.path("hub/snapshots/1"), to = scratch.path("to");
  fs::create_symlink(scratch.path("secret"), from + "/stolen");
  fs::create_symlink("../../blobs/b", from + "/blob");
  fs::create_symlink("own", from + "/alias");
  CHECK_THROWS_AS(copy_if_there("stolen", from, to), IoError);
  CHECK_FALSE(path_exists(to + "/stolen"));
  for (const char* name : {"blob", "alias", "missing"}) copy_if_there(name, from, to);
  CHECK(scratch.get("to/blob") == "blob");
  CHECK(scratch.get("to/alias") == std::string("\x1f\x8b own", 6));
  CHECK_FALSE(path_exists(to + "/missing"));
}
