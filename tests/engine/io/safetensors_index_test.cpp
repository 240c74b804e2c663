// The index of a model in several files.
#include "engine/io/safetensors_index.h"

#include <doctest/doctest.h>

#include "engine/core/error.h"
#include "tests/scratch.h"

using namespace plumb;
using Files = std::map<std::string, std::string>;

TEST_CASE("safetensors index: every tensor with its file, beside the index or below") {
  plumb_test::Scratch scratch;
  std::string index = scratch.put("model.safetensors.index.json",
                                  R"({"metadata": {"total_size": 8}, "weight_map": {"b": "2.safetensors", "a": "more/1.safetensors"}})");
  CHECK(load_safetensors_index(index) == Files{{"a", scratch.path("more/1.safetensors")}, {"b", scratch.path("2.safetensors")}});
}

TEST_CASE("safetensors index: what is none, or names files elsewhere, is said so") {
  plumb_test::Scratch scratch;
  auto message = [&](const std::string& text) -> std::string {
    std::string index = scratch.put("index.json", text), before = "safetensors: " + index + ": ";
    try {
      load_safetensors_index(index);
    } catch (const IoError& error) {
      std::string said = error.what();
      return said.starts_with(before) ? said.substr(before.size()) : said;
    }
    return "";
  };
  for (const char* none : {"[]", "{", "{}", R"({"weight_map": 3})"}) CHECK(message(none) == "has no \"weight_map\"");
  CHECK(message(R"({"weight_map": {}})") == "\"weight_map\" names no tensors");
  CHECK(message(R"({"weight_map": {"a": "1.safetensors", "b": "../2.safetensors"}})") ==
        "\"b\" lies in \"../2.safetensors\", which is no file below the index's directory");
  CHECK(message(R"({"weight_map": {"a": "/etc/passwd"}})") ==
        "\"a\" lies in \"/etc/passwd\", which is no file below the index's directory");
  CHECK(message(R"({"weight_map": {"a": 7}})") == "\"a\" lies in 7, which is no file below the index's directory");
  CHECK(message(R"({"weight_map": )" + std::string(100, '[') + std::string(100, ']') + "}") == "is nested more than 64 deep");
  CHECK_THROWS_AS(load_safetensors_index(scratch.path("none.json")), IoError);
}
