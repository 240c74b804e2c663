// What `plumb train classifier` and `eval` share: a run's settings, its model, and how it is measured.
#pragma once
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "methods/common/staged_network.h"
#include "models/mlp/mlp.h"
#include "models/resnet/resnet.h"
#include "models/resnet/wide_resnet.h"
#include "models/train/trainer.h"
#include "models/transformer/vision.h"
#include "tools/classifier_recipe.h"
#include "tools/labelled_images.h"
#include "tools/train/settings.h"

namespace plumb::tools {

/// How training images are changed: every entry 0 leaves them as they are.
struct AugmentSettings {
  int64_t crop = 0, cutout = 0;
  bool flip = false;
  double rotate = 0, shift = 0, zoom = 0, shear = 0, jitter = 0, mixup = 0, cutmix = 0;

  std::string to_json() const;
  static AugmentSettings from_json(const std::string& json);
};

/// Everything that config.json of a classifier run holds, or of a vit run, which is one with another network and other defaults.
struct ClassifierRun {
  std::string kind = "classifier";  ///< or "vit"
  std::vector<std::string> data;  ///< absolute paths, or "digits"
  std::string data_sha256;        ///< of the files' hashes
  std::string model = "resnet";   ///< mlp, resnet or wide-resnet; vit in a vit run
  mlp::MlpConfig mlp;
  resnet::ResNetConfig resnet;
  resnet::WideResNetConfig wide_resnet;
  transformer::VisionConfig vit;
  AugmentSettings augment;
  double validation = 0.1;        ///< share of the training part that is held back to choose settings by; 0: none
  double label_smoothing = 0;
  Recipe recipe;                  ///< what else it is trained by
  bool test = true;               ///< measure on the test part in the end
  std::vector<double> mean, std;  ///< of each channel of the training images, which the network sees shifted and scaled by them
  std::vector<int64_t> image;     ///< [C, H, W] of the images
  std::vector<std::string> class_names;
  TrainingSettings training;

  ClassifierRun();
  /// The defaults of `train vit`.
  static ClassifierRun for_vit();
  std::string to_json() const;
  static ClassifierRun from_json(const std::string& json);
  /// Throws ConfigError naming the option that is out of range.
  void check() const;
  int64_t classes() const;

 private:
  void check_recipe() const;
};

/// A network and how it is called.
class ImageClassifier {
 public:
  /// Weights drawn from the default generator.
  explicit ImageClassifier(const ClassifierRun& run);
  nn::Module& module() { return *network_; }
  /// images [B, C, H, W] in [0, 1] → logits [B, classes].
  Tensor operator()(const Tensor& images) const;
  /// What its last layer reads, [B, features]; the logits of a network that does not give that.
  Tensor features(const Tensor& images) const;
  /// Features → logits; of a network that does not give features itself.
  Tensor head(const Tensor& features) const { return head_(features); }
  /// The same as one or two stages, which refer to this.
  methods::StagedNetwork staged() const;
  /// The network's state as a run without --reparam has it: weights that are computed from others, as they are now, under their layers'
  /// names.
  StateDict plain_state() const;

 private:
  Tensor normalised(const Tensor& images) const;

  std::unique_ptr<nn::Module> network_;
  std::function<Tensor(const Tensor&)> logits_, features_, head_;
  bool has_head_ = false;
  Tensor scale_, shift_;  // [1, C, 1, 1]
};

/// What of a run's model.safetensors belongs to the network: not what its loss remembers ("memory.…") or trained beside it ("mix.…").
StateDict network_weights(const StateDict& state);

struct Scores {
  double loss = 0, accuracy = 0;
  std::vector<int64_t> worst;  ///< places of the wrong answers with the largest losses, largest first
};
/// The mean cross-entropy and the share of right answers over `images`; at most `worst` of the wrong ones. `classifier` maps images
/// [B, C, H, W] in [0, 1] to logits [B, classes].
Scores measure(const std::function<Tensor(const Tensor&)>& classifier, const data::Dataset& images, int64_t worst = 0);
inline Scores measure(const ImageClassifier& classifier, const data::Dataset& images, int64_t worst = 0) {
  return measure([&](const Tensor& x) { return classifier(x); }, images, worst);
}

/// Mean and standard deviation of each channel over `images`.
void channel_statistics(const data::Dataset& images, std::vector<double>& mean, std::vector<double>& std);

}  // namespace plumb::tools
