// Structures written and read by one list of their fields.
#include "engine/io/json_fields.h"

#include <doctest/doctest.h>

using namespace plumb;

namespace {

enum class Colour { red, green };
const std::vector<std::string>& words_of(Colour) {
  static const std::vector<std::string> words{"red", "green"};
  return words;
}

struct Inner {
  int64_t size = 1;
  static constexpr auto fields = [](auto& c, auto&& f) { f("size", c.size); };
  std::string to_json() const { return fields_to_json(*this, fields); }
  static Inner from_json(const std::string& text) { return fields_from_json<Inner>("inner", text, fields); }
  void check() const {
    if (size < 1) throw ConfigError("inner: size must be at least 1");
  }
};

struct Outer {
  std::string name = "a";
  std::vector<double> values;
  Colour colour = Colour::red;
  Inner inner;
};
constexpr auto fields = [](auto& c, auto&& f) { f("name", c.name), f("values", c.values), f("colour", c.colour), f("inner", c.inner); };

Outer read(const std::string& text) { return fields_from_json<Outer>("outer", text, fields); }

}  // namespace

TEST_CASE("json fields: are written in the order of the list, structures within as objects, enumerations as words") {
  Outer o{"b", {0.5, 2}, Colour::green, {3}};
  CHECK(fields_to_json(o, fields) == R"({"name":"b","values":[0.5,2.0],"colour":"green","inner":{"size":3}})");
}

TEST_CASE("json fields: what was written is read back") {
  Outer o = read(fields_to_json(Outer{"b", {0.1}, Colour::green, {3}}, fields));
  CHECK(o.name == "b");
  CHECK(o.values == std::vector{0.1});
  CHECK(o.colour == Colour::green);
  CHECK(o.inner.size == 3);
}

TEST_CASE("json fields: what is missing keeps its default") {
  Outer o = read(R"({"colour": "green"})");
  CHECK(o.name == "a");
  CHECK(o.colour == Colour::green);
  CHECK(o.inner.size == 1);
}

TEST_CASE("json fields: wrong values are named") {
  CHECK_THROWS_WITH_AS(read(R"({"name": 3})"), "outer: name must be a string, it is 3", ConfigError);
  CHECK_THROWS_WITH_AS(read(R"({"colour": "blue"})"), "outer: colour cannot be \"blue\"", ConfigError);
  CHECK_THROWS_WITH_AS(read(R"({"inner": 3})"), "outer: inner must be an object, it is 3", ConfigError);
  CHECK_THROWS_WITH_AS(read(R"({"inner": {"size": 0}})"), "inner: size must be at least 1", ConfigError);
  CHECK_THROWS_WITH_AS(read("3"), "outer: not a JSON object", ConfigError);
}

TEST_CASE("json object: lists its values as text, those of objects within under joined names") {
  auto json = JsonObject::parse(R"({"a": "x", "b": {"c": [1, 2], "d": null}})", "test");
  using Pairs = std::vector<std::pair<std::string, std::string>>;
  CHECK(json.listing() == Pairs{{"a", "x"}, {"b.c", "[1,2]"}, {"b.d", "null"}});
}
