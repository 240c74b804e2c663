// A run: a directory with config.json, metrics.jsonl, histograms.jsonl, event files, samples/, checkpoints/, the final model and
// report.html.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "engine/io/safetensors.h"

namespace plumb::train {

/// All state of a run at one step: tensors (model.*, optimizer.*) and plain values (step, random generator, …) as text.
struct Checkpoint {
  int64_t step = 0;
  StateDict tensors;
  FileMetadata values;
};

class RunDirectory {
 public:
  /// Makes the directory and writes config.json. Throws ConfigError unless may_begin_at(path), IoError if it cannot be made; then nothing
  /// is left behind.
  static RunDirectory create(const std::string& path, const std::string& config_json);
  /// Throws IoError if `path` is no run directory, or was written by a newer version of the format.
  static RunDirectory open(const std::string& path);

  const std::string& path() const { return path_; }
  std::string file(const std::string& name) const { return path_ + "/" + name; }
  /// The text of config.json.
  std::string config() const;

  /// Writes checkpoints/step-N.safetensors: to a temporary file, synced, renamed; then removes all but the newest two. Throws IoError.
  void save(const Checkpoint& checkpoint) const;
  /// The newest checkpoint, or nothing before the first. Throws IoError if it, or checkpoints/, cannot be read.
  std::optional<Checkpoint> latest() const;
  /// checkpoints/best.safetensors: the weights of the best evaluation so far.
  void save_best(const StateDict& model) const;
  StateDict load_best() const;
  /// Writes samples/step-N.png: images [n, C, H, W] in [0, 1] on a grid, and what they show. Throws IoError, and as image_grid.
  void save_samples(int64_t step, const Tensor& images, const std::string& title) const;
  std::string samples_path(int64_t step) const;
  /// Steps of the pictures in samples/, in order.
  std::vector<int64_t> sample_steps() const;
  /// What the pictures show; "Samples" where that was not said.
  std::string samples_title() const;
  /// samples/step-N.txt: what the model wrote.
  void save_text(int64_t step, const std::string& text) const;
  std::string text_path(int64_t step) const;
  std::vector<int64_t> text_steps() const;
  bool finished() const;
  /// Writes model.safetensors, which marks the run as finished.
  void save_model(const StateDict& model) const;
  /// The tensors of the finished model, or those of the newest checkpoint's model (the averaged ones if it has them). A model stored
  /// in few bits (models/quantize/stored.h) comes as the numbers that its codes stand for. Throws IoError if
  /// there is neither.
  StateDict load_model() const;

 private:
  explicit RunDirectory(std::string path) : path_(std::move(path)) {}
  std::string path_;
};

/// The entries of `state` whose names begin with `prefix`, without it; and the other way round.
StateDict without_prefix(const StateDict& state, const std::string& prefix);
StateDict with_prefix(const StateDict& state, const std::string& prefix);

}  // namespace plumb::train
