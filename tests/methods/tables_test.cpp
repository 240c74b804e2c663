// Common tables: found by their places, several a family, beside the shelf and not on it.
#include "methods/tables.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <set>

#include "engine/core/error.h"

using namespace plumb;
using namespace plumb::methods;

TEST_CASE("tables: a common table stands beside the shelf, not on it") {
  const Method& table = find_table("semi_supervised");
  CHECK(table.slug == "semi_supervised_table");
  CHECK(name_of_table(table) == "semi_supervised");
  CHECK(folder_of(table) == "semi_supervised/table_semi_supervised");
  CHECK(folder_of(find_method("shrinkmatch")) == "semi_supervised/shrinkmatch");
  CHECK_THROWS_AS(find_method("semi_supervised_table"), ConfigError);
  for (const Method& m : shelf()) {  // else a method would be taken for a table
    CAPTURE(m.slug);
    CHECK_FALSE(m.slug.starts_with("table_"));
    CHECK_FALSE(m.slug.ends_with("_table"));
  }
}

TEST_CASE("tables: a family may have several, each known by its own name, and none belongs to one method") {
  std::set<std::string_view> names;
  for (const Method& t : tables()) {
    CAPTURE(t.slug);
    CHECK(names.insert(name_of_table(t)).second);
    CHECK(&find_table(name_of_table(t)) == &t);
    CHECK(folder_of(t) == std::string(t.family) + "/table_" + std::string(name_of_table(t)));
    CHECK(t.experiment().method.empty());
  }
  CHECK(names.contains("semi_supervised"));
}

TEST_CASE("tables: an unknown name is an error that names all") {
  std::string message = "there is no common table \"astrology\"; there are ";
  for (const Method& t : tables()) message += (&t == &tables()[0] ? "" : ", ") + std::string(name_of_table(t));
  CHECK_THROWS_WITH_AS(find_table("astrology"), message.c_str(), ConfigError);
  CHECK_THROWS_AS(find_table("semi_supervised_table"), ConfigError);
  CHECK_THROWS_AS(find_table(""), ConfigError);
}
