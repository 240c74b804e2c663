// Small pretrained models, by the commands that a user would give.
#include "tools/data/pretrained.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "engine/core/error.h"
#include "engine/io/file.h"
#include "models/train/beginning.h"
#include "models/train/run_directory.h"
#include "tools/commands.h"

namespace plumb::tools {
namespace {

namespace fs = std::filesystem;

// All C++ sources below `directory`, in the order of their names, hidden folders and builds left out.
std::vector<std::string> source_files(const std::string& directory) {
  std::vector<std::string> files;
  std::error_code error;
  for (auto it = fs::recursive_directory_iterator(directory, error); !error && it != fs::recursive_directory_iterator();
       it.increment(error)) {
    std::string name = it->path().filename().string(), end = it->path().extension().string();
    if (it->is_directory() && (name.starts_with(".") || name.starts_with("build"))) it.disable_recursion_pending();
    if (it->is_regular_file() && (end == ".h" || end == ".cpp" || end == ".cu")) files.push_back(it->path().string());
  }
  std::ranges::sort(files);
  return files;
}

// MNIST where it was fetched, else the digits that are always there.
std::string images_in(const std::string& data) { return path_exists(data + "/mnist") ? data + "/mnist" : "digits"; }

int plumb(std::vector<std::string> arguments) {
  std::vector<const char*> words{"plumb"};
  for (const std::string& a : arguments) words.push_back(a.c_str());
  return run(static_cast<int>(words.size()), words.data());
}

int make_one(const PretrainedModel& model, const PretrainedOptions& o) {
  std::string path = o.directory + "/" + model.name, kind = model.arguments[0];
  if (!train::may_begin_at(path)) {
    if (train::RunDirectory::open(path).finished()) {
      fmt::print("{}: there already\n", path);
      return 0;
    }
    return plumb({"train", kind, "--resume", path});
  }
  std::vector<std::string> arguments{"train"};
  arguments.insert(arguments.end(), model.arguments.begin(), model.arguments.end());
  if (model.name == "gpt-sources") {
    std::vector<std::string> files = source_files(o.sources);
    if (files.empty()) throw ConfigError("--sources " + o.sources + " has no C++ sources");
    arguments.push_back("--data");
    arguments.insert(arguments.end(), files.begin(), files.end());
  }
  arguments.insert(arguments.end(), {"--out", path});
  if (o.steps > 0) arguments.insert(arguments.end(), {"--steps", std::to_string(o.steps)});
  int code = plumb(arguments);
  if (code == 0) fmt::print("{}: {}\n", path, model.about);
  return code;
}

}  // namespace

std::vector<PretrainedModel> pretrained_models(const PretrainedOptions& o) {
  std::vector<std::string> gpt{"gpt", "--layers", "4", "--heads", "4", "--width", "128", "--context", "64"}, shakespeare = gpt,
                                                                                                             sources = gpt;
  shakespeare.insert(shakespeare.end(), {"--tokenizer", "char", "--data", o.data + "/text/tinyshakespeare.txt"});
  sources.insert(sources.end(), {"--tokenizer", "bpe", "--vocab", "1024"});
  return {{"gpt-shakespeare", "a GPT of characters, on Shakespeare's plays", shakespeare},
          {"gpt-sources", "a GPT of byte pairs, on C++ sources", sources},
          {"image-encoder",
           "a resnet of 8 layers, on MNIST or the carried digits",
           {"classifier", "--model", "resnet", "--depth", "8", "--width", "16", "--data", images_in(o.data)}},
          {"dual-encoder", "a CLIP of two small transformers, on pairs of digits and their captions", {"clip"}}};
}

int make_pretrained(const PretrainedOptions& o) {
  std::vector<PretrainedModel> models = pretrained_models(o), wanted;
  if (o.list) {
    for (const PretrainedModel& m : models) fmt::print("{:<16} {}\n", m.name, m.about);
    return 0;
  }
  if (o.steps < 0) throw ConfigError(fmt::format("--steps must not be negative, it is {}", o.steps));
  for (const std::string& name : o.names) {
    auto found = std::ranges::find(models, name, &PretrainedModel::name);
    if (found == models.end())
      throw ConfigError("there is no pretrained model " + name +
                        "; known are gpt-shakespeare, gpt-sources, image-encoder and dual-encoder");
    wanted.push_back(*found);
  }
  for (const PretrainedModel& m : o.names.empty() ? models : wanted)
    if (int code = make_one(m, o); code != 0) return code;
  return 0;
}

}  // namespace plumb::tools
