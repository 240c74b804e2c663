// JsonObject: what is set reads back exactly, and what does not fit is refused with its name.
#include "engine/io/json_object.h"

#include <doctest/doctest.h>

#include <limits>

#include "engine/core/error.h"

using namespace plumb;

TEST_CASE("json object: every kind of value reads back exactly, in the order it was set") {
  JsonObject inner, json;
  inner.set("heads", int64_t{3});
  json.set("width", int64_t{-9007199254740993});
  json.set("seed", std::numeric_limits<uint64_t>::max());
  json.set("lr", 0.1);
  json.set("bias", true);
  json.set("norm", "batch");
  json.set("model", inner);
  json.set("sizes", std::vector<int64_t>{1, 2});
  json.set("names", std::vector<std::string>{"a", "ü"});
  json.set("parts", std::vector<JsonObject>{inner, inner});
  CHECK(json.names() == std::vector<std::string>{"width", "seed", "lr", "bias", "norm", "model", "sizes", "names", "parts"});

  JsonObject back = JsonObject::parse(json.text(2), "run");
  int64_t width = 0, heads = 0;
  uint64_t seed = 0;
  double lr = 0;
  bool bias = false;
  std::string norm;
  JsonObject model;
  std::vector<int64_t> sizes;
  std::vector<std::string> names;
  std::vector<JsonObject> parts;
  back.read("width", width);
  back.read("seed", seed);
  back.read("lr", lr);
  back.read("bias", bias);
  back.read("norm", norm);
  back.read("model", model);
  back.read("sizes", sizes);
  back.read("names", names);
  back.read("parts", parts);
  model.read("heads", heads);
  CHECK(width == -9007199254740993);
  CHECK(seed == std::numeric_limits<uint64_t>::max());
  CHECK(lr == 0.1);
  CHECK(bias);
  CHECK(norm == "batch");
  CHECK(heads == 3);
  CHECK(sizes == std::vector<int64_t>{1, 2});
  CHECK(names == std::vector<std::string>{"a", "ü"});
  REQUIRE(parts.size() == 2);
  CHECK(parts[1].text() == R"({"heads":3})");
}

TEST_CASE("json object: a missing name leaves the value; whole numbers read as floating ones") {
  JsonObject json = JsonObject::parse(R"({"dropout": 0, "norm": null})", "gpt");
  int64_t width = 128;
  double dropout = 0.5;
  json.read("width", width);
  json.read("dropout", dropout);
  CHECK(width == 128);
  CHECK(dropout == 0);
  CHECK(json.contains("dropout"));
  CHECK_FALSE(json.contains("norm"));
  CHECK_FALSE(json.contains("width"));
}

TEST_CASE("json object: copies are independent") {
  JsonObject a;
  a.set("x", int64_t{1});
  JsonObject b = a;
  b.set("x", int64_t{2});
  CHECK(a.text() == R"({"x":1})");
  CHECK(b.text() == R"({"x":2})");
}

TEST_CASE("json object: what does not fit is refused with the object's name, the value's and what it is") {
  CHECK_THROWS_WITH_AS(JsonObject::parse("[1]", "gpt"), "gpt: not a JSON object", ConfigError);
  CHECK_THROWS_WITH_AS(JsonObject::parse("{\"a\":", "gpt"), "gpt: not a JSON object", ConfigError);
  JsonObject json = JsonObject::parse(
      R"({"width": 1.5, "bias": 1, "big": 3000000000, "seed": -1, "huge": 18446744073709551615, "sizes": [1, "x"]})", "gpt");
  int64_t width = 7;
  int small = 0;
  uint64_t seed = 0;
  bool bias = false;
  std::vector<int64_t> sizes;
  CHECK_THROWS_WITH_AS(json.read("width", width), "gpt: width must be a whole number, it is 1.5", ConfigError);
  CHECK(width == 7);
  CHECK_THROWS_WITH_AS(json.read("bias", bias), "gpt: bias must be true or false, it is 1", ConfigError);
  CHECK_THROWS_WITH_AS(json.read("big", small), "gpt: big must be a whole number, it is 3000000000", ConfigError);
  CHECK_THROWS_WITH_AS(json.read("seed", seed), "gpt: seed must be a whole number, 0 or above, it is -1", ConfigError);
  CHECK_THROWS_WITH_AS(json.read("huge", width), "gpt: huge must be a whole number, it is 18446744073709551615", ConfigError);
  CHECK_THROWS_WITH_AS(json.read("sizes", sizes), "gpt: sizes[1] must be a whole number, it is \"x\"", ConfigError);
}

TEST_CASE("json object: text that is not UTF-8 is named") {
  JsonObject json, inner;
  json.set("names", std::vector<std::string>{"a", "\xff"});
  CHECK_THROWS_WITH_AS(json.text(), "names[1] is not UTF-8, which JSON cannot hold; rename the file or convert its text to UTF-8",
                       ConfigError);
  inner.set("path", "caf\xe9");
  JsonObject outer = JsonObject::parse(R"({"é": "ü"})", "run");
  CHECK(outer.text() == R"({"é":"ü"})");
  CHECK_THROWS_WITH_AS(outer.set("file", inner), "path is not UTF-8, which JSON cannot hold; rename the file or convert its text to UTF-8",
                       ConfigError);
  outer.set("title", "caf\xe9");
  CHECK_THROWS_WITH_AS(outer.text(), "run: title is not UTF-8, which JSON cannot hold; rename the file or convert its text to UTF-8",
                       ConfigError);
}
