// config.json of a run: its kind, the kind's own fields, and beside them the training settings.
#pragma once
#include <string>
#include <vector>

#include "engine/io/json_fields.h"
#include "tools/train/settings.h"

namespace plumb::tools {

/// `fields` is the run's list of fields, as in engine/io/json_fields.h; `training` is added after them.
template <typename Run, typename Fields>
JsonObject run_json(const std::string& kind, const Run& run, Fields&& fields) {
  JsonObject json;
  json.set("kind", kind);
  set_fields(json, run, fields);
  run.training.set(json);
  return json;
}

/// Reads what run_json wrote; returns the whole object for what a kind keeps beside its list. Throws ConfigError if `text` is of a run of
/// another kind, or if one of the kind's fields is missing.
template <typename Run, typename Fields>
JsonObject read_run(const std::string& kind, const std::string& text, Run& run, Fields&& fields) {
  auto json = JsonObject::parse(text, "config.json");
  std::string found;
  json.read("kind", found);
  require(found == kind, "the run is one of train " + found + ", not of train " + kind);
  fields(run, [&](const char* name, const auto&) { require(json.contains(name), std::string("config.json: ") + name + " is missing"); });
  read_fields(json, run, fields);
  run.training.read(json);
  return json;
}

/// Throws ConfigError unless `image` of a stored run is what it must be: channels, height and width.
inline void require_image_sizes(const std::vector<int64_t>& image) {
  bool sizes = image.size() == 3;
  for (int64_t size : image) sizes = sizes && size >= 1 && size <= 1 << 20;
  require(sizes, "config.json: image must be three sizes: channels, height and width");
}

}  // namespace plumb::tools
