// Files of tensors by path.
#include "tools/inspect/stored_tensors.h"

#include <fmt/format.h>
#include <fnmatch.h>

#include <algorithm>
#include <filesystem>
#include <set>
#include <tuple>

#include "engine/core/error.h"
#include "engine/io/file.h"
#include "engine/io/safetensors_index.h"

namespace plumb::tools {
namespace {

namespace fs = std::filesystem;

// The files checkpoints/NAME.safetensors, steps in order, then others (best.safetensors).
std::vector<std::string> checkpoints_in(const std::string& directory) {
  std::vector<std::string> found;
  std::error_code none;
  for (const auto& entry : fs::directory_iterator(directory + "/checkpoints", none))
    if (entry.path().extension() == ".safetensors") found.push_back(entry.path().string());
  auto key = [](const std::string& path) {
    std::string name = fs::path(path).filename().string();
    return std::tuple(!name.starts_with("step-"), name.size(), name);
  };
  std::ranges::sort(found, {}, key);
  return found;
}

std::vector<std::string> steps_among(const std::vector<std::string>& checkpoints) {
  std::vector<std::string> steps;
  for (const std::string& path : checkpoints)
    if (fs::path(path).filename().string().starts_with("step-")) steps.push_back(path);
  return steps;
}

// The number in step-00000100.safetensors.
std::string step_of(const std::string& path) {
  std::string digits = fs::path(path).stem().string().substr(5);
  digits.erase(0, std::min(digits.find_first_not_of('0'), digits.size() - 1));
  return digits;
}

std::string checkpoint_of(const std::string& directory, const std::vector<std::string>& steps, int64_t step) {
  std::vector<std::string> known;
  for (const std::string& path : steps) {
    if (step_of(path) == std::to_string(step)) return path;
    known.push_back(step_of(path));
  }
  throw IoError(fmt::format("{}: there is no checkpoint of step {}; {}", directory, step,
                            known.empty() ? "it has none" : fmt::format("those kept are {}", fmt::join(known, ", "))));
}

// The pieces of a model that is stored in several files, each once.
std::vector<std::string> pieces(const std::string& index) {
  std::set<std::string> files;
  for (const auto& [tensor, file] : load_safetensors_index(index)) files.insert(file);
  return {files.begin(), files.end()};
}

std::vector<std::string> files_of_directory(const std::string& directory, const std::vector<std::string>& checkpoints,
                                            std::optional<int64_t> step) {
  std::vector<std::string> steps = steps_among(checkpoints);
  if (step) return {checkpoint_of(directory, steps, *step)};
  std::string model = directory + "/model.safetensors", index = model + ".index.json";
  if (path_exists(model)) return {model};
  if (path_exists(index)) return pieces(index);
  if (!steps.empty()) return {steps.back()};
  throw IoError(
      directory +
      ": holds no tensors: there is no model.safetensors, no model.safetensors.index.json and no checkpoints/step-N.safetensors in it");
}

}  // namespace

StoredTensors load_stored(const std::string& path, std::optional<int64_t> step) {
  StoredTensors stored;
  std::error_code none;
  if (fs::is_directory(path, none)) {
    std::string directory = path;
    while (directory.size() > 1 && directory.ends_with('/')) directory.pop_back();
    std::vector<std::string> checkpoints = checkpoints_in(directory);
    stored.files = files_of_directory(directory, checkpoints, step);
    for (const std::string& other : checkpoints)
      if (other != stored.files.front()) stored.others.push_back(other);
  } else {
    if (step) throw ConfigError("--step chooses a checkpoint of a run directory; " + path + " is a file: leave --step out");
    stored.files = {path};
  }
  for (const std::string& file : stored.files) {
    for (auto& [name, tensor] : load_safetensors(file))
      if (!stored.tensors.emplace(name, tensor).second)
        throw IoError(file + ": holds " + name + ", which another piece of the model holds as well");
    stored.metadata.merge(load_safetensors_metadata(file));
  }
  return stored;
}

StateDict matching(const StateDict& tensors, const std::vector<std::string>& patterns) {
  if (patterns.empty()) return tensors;
  StateDict found;
  for (const std::string& pattern : patterns) {
    bool glob = pattern.find_first_of("*?[") != std::string::npos, any = false;
    for (const auto& [name, tensor] : tensors) {
      if (glob ? fnmatch(pattern.c_str(), name.c_str(), 0) != 0 : name.find(pattern) == std::string::npos) continue;
      found.emplace(name, tensor);
      any = true;
    }
    if (any) continue;
    std::string first = tensors.empty() ? "there are none" : fmt::format("the first of {} is {}", tensors.size(), tensors.begin()->first);
    throw ConfigError(fmt::format("--name {}: no tensor's name {} it; {}", pattern, glob ? "matches" : "contains", first));
  }
  return found;
}

}  // namespace plumb::tools
