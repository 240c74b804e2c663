// tar archives, made here block by block.
#include <doctest/doctest.h>

#include "engine/core/error.h"
#include "engine/io/tar.h"
#include "tests/engine/io/tar_entry.h"

using namespace plumb;
using plumb_test::tar_entry;

TEST_CASE("tar: regular files are found with their contents, folders are not") {
  std::string archive = tar_entry("set/", "", '5') + tar_entry("set/a.bin", "content") + tar_entry("set/empty", "") +
                        tar_entry("b", std::string(1000, 'b')) + std::string(1024, '\0');
  auto members = tar_members(archive, "t");
  REQUIRE(members.size() == 3);
  CHECK(members[0].first == "set/a.bin");
  CHECK(members[0].second == "content");
  CHECK(members[1].second.empty());
  CHECK(members[2].second == std::string(1000, 'b'));
}

TEST_CASE("tar: damaged archives are refused") {
  std::string archive = tar_entry("a.bin", "content") + std::string(1024, '\0');
  CHECK(tar_members(archive, "t").size() == 1);
  CHECK_THROWS_WITH_AS(tar_members(archive.substr(0, 515), "t"), "t: the archive ends too early; fetch it again", IoError);
  CHECK_THROWS_WITH_AS(tar_members(std::string(1024, 'x'), "t"), "t: not a tar archive", IoError);
}
