// Run directories on disk.
#include "models/train/run_directory.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <vector>

#include "engine/dist/world.h"
#include "engine/io/file.h"
#include "engine/io/flush.h"
#include "engine/io/image.h"
#include "engine/io/json_object.h"
#include "engine/io/temporary_files.h"
#include "models/quantize/stored.h"
#include "models/train/beginning.h"
#include "models/train/image_grid.h"
#include "models/train/share.h"

namespace plumb::train {
namespace {

namespace fs = std::filesystem;
constexpr int kFormat = 1;  // of run directories; raised when an older program could no longer read them
constexpr size_t kKeptCheckpoints = 2;

// N of the files step-N`ending` in `directory`, smallest first. Throws IoError if it cannot be listed.
std::vector<int64_t> steps_in(const std::string& directory, const std::string& ending) {
  std::vector<int64_t> steps;
  std::error_code error;
  for (fs::directory_iterator entry(directory, error), end; !error && entry != end; entry.increment(error)) {
    long long step = 0;
    int length = 0;
    std::string name = entry->path().filename().string();
    if (std::sscanf(name.c_str(), "step-%lld%n", &step, &length) == 1 && name.substr(static_cast<size_t>(length)) == ending)
      steps.push_back(step);
  }
  if (error) throw IoError("run: " + directory + ": cannot be listed: " + error.message());
  std::sort(steps.begin(), steps.end());
  return steps;
}

// Newest first. That the directory is missing must not look like a run without checkpoints, which would begin anew.
std::vector<int64_t> checkpoint_steps(const std::string& directory) {
  if (!path_exists(directory))
    throw IoError("run: " + directory + " is missing; bring it back, or make it (mkdir) to train from the start");
  std::vector<int64_t> steps = steps_in(directory, ".safetensors");
  std::reverse(steps.begin(), steps.end());
  return steps;
}

Checkpoint read_checkpoint(const std::string& path, int64_t step) {
  Checkpoint checkpoint{step, load_safetensors(path), load_safetensors_metadata(path)};
  std::string& stored = checkpoint.values["step"];
  if (stored != std::to_string(step)) throw IoError("run: " + path + " holds step \"" + stored + "\"; it was renamed or damaged");
  return checkpoint;
}

void make_samples_directory(const std::string& run) {
  std::error_code error;
  fs::create_directories(run + "/samples", error);
  if (error) throw IoError("run: " + run + "/samples: cannot be made: " + error.message());
}

std::string checkpoint_path(const std::string& run, int64_t step) {
  return fmt::format("{}/checkpoints/step-{:08}.safetensors", run, step);
}

}  // namespace

bool may_begin_at(const std::string& path) {
  if (path.empty()) throw ConfigError("the run directory's name is empty; give --out a directory");
  if (!path_exists(path)) return true;
  std::error_code error;
  if (!fs::is_directory(path + "/checkpoints", error) || !fs::is_empty(path + "/checkpoints", error)) return false;
  remove_abandoned_files(path);
  return std::distance(fs::directory_iterator(path, error), fs::directory_iterator()) == 1 && !error;
}

namespace {

void make(const std::string& path, const std::string& config_json) {
  if (!may_begin_at(path)) throw ConfigError(path + " exists already; choose another --out, or go on with it: --resume " + path);
  auto config = JsonObject::parse(config_json, "run");
  config.set("format", kFormat);
  std::error_code error;
  fs::create_directories(path + "/checkpoints", error);
  if (error) throw IoError("run: " + path + ": cannot be made: " + error.message());
  try {
    write_file_atomic(path + "/config.json", config.text(2) + "\n");
    if (int failed = flush_directory_of(fs::canonical(path)))
      throw IoError("run: " + path + ": its directory cannot be flushed to the disk: " + std::strerror(failed));
  } catch (...) {
    fs::remove_all(path, error);
    throw;
  }
}

void write(const std::string& run, const Checkpoint& checkpoint) {
  FileMetadata values = checkpoint.values;
  values["step"] = std::to_string(checkpoint.step);
  save_safetensors(checkpoint_path(run, checkpoint.step), checkpoint.tensors, values);
  std::vector<int64_t> steps = checkpoint_steps(run + "/checkpoints");
  std::error_code ignored;  // an old checkpoint that stays does no harm
  for (size_t i = kKeptCheckpoints; i < steps.size(); ++i) fs::remove(checkpoint_path(run, steps[i]), ignored);
}

}  // namespace

RunDirectory RunDirectory::create(const std::string& path, const std::string& config_json) {
  RunDirectory run(path);
  if (writes_files()) make(path, config_json);
  dist::world().barrier();
  return writes_files() ? run : open(path);
}

RunDirectory RunDirectory::open(const std::string& path) {
  if (path.empty()) throw IoError("run: the name is empty; give a run directory");
  std::string config_path = path + "/config.json";
  if (!path_exists(config_path)) throw IoError("run: " + path + " is not a run directory (it has no config.json)");
  int format = 0;
  try {
    JsonObject::parse(read_file(config_path), config_path).read("format", format);
  } catch (const ConfigError& error) {
    throw IoError(std::string("run: ") + error.what());
  }
  if (format != kFormat) throw IoError(fmt::format("run: {} has format {}, this program reads format {}", path, format, kFormat));
  return RunDirectory(path);
}

std::string RunDirectory::config() const { return read_file(file("config.json")); }

void RunDirectory::save(const Checkpoint& checkpoint) const {
  if (writes_files()) write(path_, checkpoint);
}

void save_in_place_of_first(const RunDirectory& run, const Checkpoint& checkpoint) {
  if (!path_exists(checkpoint_path(run.path(), checkpoint.step))) write(run.path(), checkpoint);
}

std::optional<Checkpoint> RunDirectory::latest() const {
  std::vector<int64_t> steps = checkpoint_steps(file("checkpoints"));
  if (steps.empty()) return {};
  try {
    return read_checkpoint(checkpoint_path(path_, steps[0]), steps[0]);
  } catch (const IoError& error) {
    if (steps.size() == 1) throw;
    throw IoError(fmt::format("{}; without that file the run goes on from step {}", error.what(), steps[1]));
  }
}

void RunDirectory::save_best(const StateDict& model) const {
  if (writes_files()) save_safetensors(file("checkpoints/best.safetensors"), model);
}
StateDict RunDirectory::load_best() const { return load_safetensors(file("checkpoints/best.safetensors")); }

static bool is_directory(const std::string& path) {
  std::error_code ignored;
  return fs::is_directory(path, ignored);
}

std::string RunDirectory::samples_path(int64_t step) const { return fmt::format("{}/samples/step-{:08}.png", path_, step); }
std::vector<int64_t> RunDirectory::sample_steps() const {
  return is_directory(file("samples")) ? steps_in(file("samples"), ".png") : std::vector<int64_t>{};
}
std::string RunDirectory::text_path(int64_t step) const { return fmt::format("{}/samples/step-{:08}.txt", path_, step); }
std::vector<int64_t> RunDirectory::text_steps() const {
  return is_directory(file("samples")) ? steps_in(file("samples"), ".txt") : std::vector<int64_t>{};
}

std::string RunDirectory::samples_title() const {
  std::string path = file("samples/title.txt");
  return path_exists(path) ? read_file(path) : "Samples";
}

void RunDirectory::save_samples(int64_t step, const Tensor& images, const std::string& title) const {
  if (!writes_files()) return;
  make_samples_directory(path_);
  if (!path_exists(file("samples/title.txt"))) write_file_atomic(file("samples/title.txt"), title);
  save_png(samples_path(step), image_grid(images));
}

void RunDirectory::save_text(int64_t step, const std::string& text) const {
  make_samples_directory(path_);
  write_file_atomic(text_path(step), text);
}

bool RunDirectory::finished() const { return path_exists(file("model.safetensors")); }

void RunDirectory::save_model(const StateDict& model) const {
  if (writes_files()) save_safetensors(file("model.safetensors"), model);
}

StateDict RunDirectory::load_model() const {
  if (finished()) return quantize::load_weights(file("model.safetensors"));
  if (auto checkpoint = latest()) {
    StateDict averaged = without_prefix(checkpoint->tensors, "ema.");
    return averaged.empty() ? without_prefix(checkpoint->tensors, "model.") : averaged;
  }
  std::string kind = "gpt";
  JsonObject::parse(config(), "config.json").read("kind", kind);
  std::string command = kind == "finetune" ? kind : "train " + kind;
  throw IoError("run: " + path_ + " has no model yet; go on with it: plumb " + command + " --resume " + path_);
}

StateDict without_prefix(const StateDict& state, const std::string& prefix) {
  StateDict out;
  for (auto& [name, tensor] : state)
    if (name.starts_with(prefix)) out[name.substr(prefix.size())] = tensor;
  return out;
}

StateDict with_prefix(const StateDict& state, const std::string& prefix) {
  StateDict out;
  for (auto& [name, tensor] : state) out[prefix + name] = tensor;
  return out;
}

}  // namespace plumb::train
