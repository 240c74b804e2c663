// What `plumb finetune` starts from and `plumb merge` writes: a finished run, or a directory of Hugging Face's library.
#pragma once
#include <memory>
#include <string>

#include "engine/io/tokenizer.h"
#include "tools/clip_model.h"
#include "tools/image_classifier.h"
#include "tools/language_model.h"

namespace plumb::tools {

/// A model that can be fine-tuned, by the directory that it lies in.
class Base {
 public:
  /// Throws ConfigError for a run of a kind that is not fine-tuned, IoError if `path` is neither a run nor a pretrained directory.
  static Base open(const std::string& path);

  const std::string& path() const { return path_; }
  /// "gpt", "moe", "classifier", "vit", "clip" of runs; the library's "gpt2", "llama", "vit", … for its directories.
  const std::string& kind() const { return kind_; }
  /// Whether it predicts text.
  bool is_text() const;
  /// Whether it is a dual encoder of images and captions; what is neither classifies images.
  bool is_dual() const { return kind_ == "clip"; }

  /// The model with its weights, in evaluation mode, each time anew. Throws as the run's or the library's loading does.
  std::unique_ptr<LanguageModel> language_model() const;
  Tokenizer tokenizer() const;
  /// Of a pretrained vision transformer what a run of it would hold.
  ClassifierRun classifier_run() const;
  std::unique_ptr<ImageClassifier> classifier() const;
  std::unique_ptr<ClipModel> dual_encoder() const;

  /// Writes the directory `out`, which must not exist: the same model with the weights of `merged` under the names that the loaded module
  /// has. Throws ConfigError if it exists, IoError if it cannot be written.
  void save(const StateDict& merged, const std::string& out) const;

 private:
  std::string path_, kind_;
  bool library_ = false;
};

/// A network of a base, of one of the three sorts.
struct LoadedBase {
  std::unique_ptr<LanguageModel> text;
  std::unique_ptr<ImageClassifier> images;
  std::unique_ptr<ClipModel> dual;
  nn::Module& module() { return text ? text->module() : dual ? dual->module() : images->module(); }
};
LoadedBase load(const Base& base);

/// The SHA-256 of all names, shapes and elements of a module's state, on the CPU: what an adapter knows its base by.
std::string weights_sha256(const nn::Module& module);
/// `state` without the tensors of adapters.
StateDict without_adapters(const StateDict& state);

}  // namespace plumb::tools
