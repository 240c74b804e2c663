// What `plumb train clip`, `eval` and `finetune` share: a run's settings, its images with captions, its model, and how it is measured.
#pragma once
#include <string>
#include <vector>

#include "engine/data/captioned_images.h"
#include "engine/io/tokenizer.h"
#include "models/contrastive/prompted_clip.h"
#include "tools/train/settings.h"

namespace plumb::tools {

/// The name of the data that the library carries: two digits side by side.
inline constexpr const char* kDigitPairsData = "digit-pairs";

struct ClipAugment {
  int64_t crop = 1;    ///< pixels that a training image is moved by at the most
  double zoom = 0.1;   ///< and enlarged or reduced by
  double noise = 0.05; ///< deviation of what is added
};

/// Everything that config.json of a clip run holds.
struct ClipRun {
  std::string data = kDigitPairsData;  ///< or the absolute path of a CSV file
  std::string data_sha256;
  int64_t vocab = 4000, min_count = 1;  ///< words of the captions
  contrastive::PromptedClipConfig model{.context = 16, .layers = 3};
  ClipAugment augment;
  TrainingSettings training;

  ClipRun();
  std::string to_json() const;
  static ClipRun from_json(const std::string& json);
  /// Throws ConfigError naming the option that is out of range.
  void check() const;
};

/// Parts to train on, to validate and to test: of a CSV file 80, 10 and 10 % of its rows, the same at every seed. Digit pairs are 4,000,
/// 500 and 500 images, the first drawn from the digits' training part and captioned in every way, the others from its test part.
struct CaptionedParts {
  data::CaptionedImages train, validation, test;
  Shape image;         ///< [C, H, W]
  std::string sha256;  ///< of the captions and the images' files
};
/// Throws IoError as data::captioned_images, ConfigError for a set of fewer than 10 rows.
CaptionedParts load_captioned(const std::string& data, int64_t channels);
/// load_captioned for a run that goes on. Throws ConfigError unless the hash is `sha256`.
CaptionedParts same_captioned(const std::string& data, int64_t channels, const std::string& sha256);
/// `data` as a run keeps it.
std::string lasting_captioned_name(const std::string& data);

/// A dual encoder with its words.
class ClipModel {
 public:
  /// Weights drawn from the default generator.
  ClipModel(const contrastive::PromptedClipConfig& config, Tokenizer tokenizer) : tokenizer_(std::move(tokenizer)), clip_(config) {}
  contrastive::PromptedClip& module() { return clip_; }
  const contrastive::PromptedClip& module() const { return clip_; }

  /// Throws ValueError naming a caption that is longer than the context.
  contrastive::Texts texts(const std::vector<std::string>& captions) const;
  /// Unit vectors [B, width].
  Tensor image_features(const Tensor& images) const;
  Tensor text_features(const std::vector<std::string>& captions) const;
  /// Scaled cosines [B, texts] of images and texts.
  Tensor logits(const Tensor& images, const std::vector<std::string>& captions) const;

 private:
  Tokenizer tokenizer_;
  contrastive::PromptedClip clip_;
};

/// Words of the captions of the images to train on, as many as `run` says: of the others none is looked at.
Tokenizer caption_tokenizer(const ClipRun& run, const data::CaptionedImages& train);
/// The model of a finished run, in evaluation mode.
ClipModel load_clip(const train::RunDirectory& directory);

/// The captions of a batch's images.
std::vector<std::string> captions_of(const data::CaptionedImages& set, const data::Batch& batch);

struct RetrievalScores {
  double loss = 0;                 ///< cross-entropy of each image's own caption among all different captions of the set
  double recall_1 = 0, recall_5 = 0;  ///< share of images whose own caption is the nearest, or among the nearest five
  int64_t captions = 0;            ///< how many different ones there are
};
RetrievalScores measure(const ClipModel& model, const data::CaptionedImages& set);
/// The same by name: "val_loss", "val_recall_1" and "val_recall_5" for the prefix "val_".
train::Measures measures_of(const ClipModel& model, const data::CaptionedImages& set, const std::string& prefix);

}  // namespace plumb::tools
