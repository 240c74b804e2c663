// Reading them.
#include "models/transformer/internal/sentence_files.h"

#include "engine/core/error.h"
#include "engine/io/file.h"
#include "engine/io/internal/relative_path.h"
#include "engine/io/json_object.h"

namespace plumb::transformer::detail {
namespace {

JsonObject read_object(const std::string& path) { return JsonObject::parse(read_nonempty_file(path), "sentence_encoder: " + path); }

// Null and a missing entry are `otherwise`.
template <typename T>
T value_or(const JsonObject& json, const std::string& name, T otherwise) {
  if (json.contains(name)) json.read(name, otherwise);
  return otherwise;
}

std::vector<JsonObject> objects_of(const std::string& list, const std::string& what) {
  std::vector<JsonObject> objects;
  try {
    JsonObject::parse("{\"list\":" + list + "}", what).read("list", objects);
  } catch (const ConfigError&) { throw ConfigError(what + ": is no JSON list of objects, or nested more than 64 deep"); }
  return objects;
}

Pooling read_pooling(const std::string& path) {
  JsonObject json = read_object(path);
  std::string found;
  for (const char* mode : {"cls_token", "mean_tokens", "max_tokens", "mean_sqrt_len_tokens", "weightedmean_tokens", "lasttoken"})
    if (value_or(json, std::string("pooling_mode_") + mode, false)) found += (found.empty() ? "" : " and ") + std::string(mode);
  if (found == "mean_tokens") return Pooling::mean;
  if (found == "cls_token") return Pooling::first;
  if (found == "max_tokens") return Pooling::max;
  throw ConfigError(json.what() + ": pools by " + (found.empty() ? "nothing" : found) +
                    "; known are mean_tokens, cls_token or max_tokens alone");
}

void read_modules(const std::string& directory, SentenceFiles& files) {
  std::string path = directory + "/modules.json", what = "sentence_encoder: " + path;
  std::string list = read_nonempty_file(path);
  files.normalize = false;
  for (const JsonObject& module : objects_of(list, what)) {
    std::string type = value_or<std::string>(module, "type", ""), kind = type.substr(type.rfind('.') + 1);
    if (kind == "Transformer") continue;
    if (kind == "Pooling") {
      std::string folder = value_or<std::string>(module, "path", "1_Pooling");
      if (!stays_below(folder)) throw ConfigError(what + ": the module's path \"" + folder + "\" is not below the directory");
      files.pooling = read_pooling(directory + "/" + folder + "/config.json");
    }
    else if (kind == "Normalize") files.normalize = true;
    else throw ConfigError(what + ": the module " + type + " is not known; only Transformer, Pooling and Normalize are");
  }
}

int64_t read_max_length(const JsonObject& json) {
  int64_t length = 0;
  json.read("max_seq_length", length);
  if (length < 2)
    throw ConfigError(json.what() + ": max_seq_length is " + std::to_string(length) + ", which leaves no room for the two markers");
  return length;
}

}  // namespace

SentenceFiles read_sentence_files(const std::string& directory) {
  SentenceFiles files;
  if (path_exists(directory + "/modules.json")) read_modules(directory, files);
  if (std::string path = directory + "/sentence_bert_config.json"; path_exists(path))
    if (JsonObject json = read_object(path); json.contains("max_seq_length")) files.max_length = read_max_length(json);
  if (std::string path = directory + "/tokenizer_config.json"; path_exists(path) && !path_exists(directory + "/tokenizer.json")) {
    JsonObject json = read_object(path);
    files.words.lower_case = value_or(json, "do_lower_case", true);
    files.words.strip_accents = value_or(json, "strip_accents", files.words.lower_case);
    files.words.split_ideographs = value_or(json, "tokenize_chinese_chars", true);
  }
  return files;
}

}  // namespace plumb::transformer::detail
