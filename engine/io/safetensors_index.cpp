// Reading it with nlohmann's library: such a file may have more names than a JsonObject takes.
#include "engine/io/safetensors_index.h"

#include <filesystem>
#include <nlohmann/json.hpp>

#include "engine/io/file.h"
#include "engine/io/internal/json_limits.h"
#include "engine/io/internal/relative_path.h"

namespace plumb {

std::map<std::string, std::string> load_safetensors_index(const std::string& path) {
  std::string text = read_nonempty_file(path);
  if (json_extent(text).depth > kDeepestJson)
    throw_io_error("safetensors", path, "is nested more than " + std::to_string(kDeepestJson) + " deep");
  auto json = nlohmann::json::parse(text, nullptr, false);
  if (!json.is_object() || !json.contains("weight_map") || !json["weight_map"].is_object())
    throw_io_error("safetensors", path, "has no \"weight_map\"");
  std::map<std::string, std::string> file_of;
  for (const auto& [name, file] : json["weight_map"].items()) {
    if (!file.is_string() || !stays_below(file.get<std::string>()))
      throw_io_error("safetensors", path, "\"" + name + "\" lies in " + file.dump() + ", which is no file below the index's directory");
    file_of[name] = (std::filesystem::path(path).parent_path() / file.get<std::string>()).string();
  }
  if (file_of.empty()) throw_io_error("safetensors", path, "\"weight_map\" names no tensors");
  return file_of;
}

}  // namespace plumb
