// What `plumb train ssl` and `eval` share: a run's settings, its images, its network, and the loss of each semi-supervised method.
#pragma once
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "methods/common/image_views.h"
#include "methods/common/pooled_cnn.h"
#include "methods/semi_supervised/shrinkmatch/shrinkmatch.h"
#include "methods/semi_supervised/simmatchv2/simmatchv2.h"
#include "models/resnet/wide_resnet.h"
#include "tools/train/settings.h"

namespace plumb::tools {

/// Everything that config.json of a run of `train ssl` holds.
struct SslRun {
  std::string method = "fixmatch";          ///< one of ssl_method_names()
  std::string labelled, unlabelled, test;   ///< absolute paths of folders; the last two may be empty
  std::string data_sha256;                  ///< of the files' hashes
  std::string model = "cnn";                ///< cnn (PooledCnn) or wide-resnet
  int64_t width = 16, features = 64;        ///< of the cnn
  int64_t depth = 16, widen = 2;            ///< of the wide-resnet
  methods::ImageKind views = methods::ImageKind::photos;
  int64_t ratio = 7;                        ///< unlabelled images for each labelled one
  double threshold = -1;                    ///< of confidence; −1: the method's own
  double weight = 1;                        ///< of what the unlabelled images add to the loss
  double validation = 0;                    ///< share of the labelled images that is held back
  std::vector<double> mean, std;            ///< of each channel of the training images, which the network sees shifted and scaled by them
  std::vector<int64_t> image;               ///< [C, H, W]
  std::vector<std::string> class_names;
  TrainingSettings training;

  SslRun();
  std::string to_json() const;
  static SslRun from_json(const std::string& json);
  /// Throws ConfigError naming the option that is out of range.
  void check() const;
  int64_t classes() const { return static_cast<int64_t>(class_names.size()); }
  bool uses_unlabelled() const { return method != "supervised"; }
};

/// "uda, shrinkmatch, …", for help and errors.
std::string ssl_method_names();
/// The method's own threshold: 0.95, of UDA and SimMatchV2 0.8.
double own_threshold(const std::string& method);

/// The images of a run. Image [3, H, W] f32 in [0, 1], label i64.
struct SslImages {
  data::Dataset labelled, unlabelled, test;  ///< the last two without examples where the run has none
  bool has_unlabelled = false, has_test = false;
  std::vector<std::string> class_names;
  Shape shape;
  std::string sha256;
};
/// Reads the folders of `run`: labelled and test of class folders, unlabelled of images. Throws IoError naming a folder that is missing or
/// empty, a file that is damaged or of another size; ConfigError for a class without images, one class, or parts that do not fit together.
SslImages load_ssl_images(const SslRun& run);

/// The backbone and the heads that the run's method needs.
class SslNetwork : public nn::Module {
 public:
  /// Weights from the default generator.
  explicit SslNetwork(const SslRun& run);
  /// images [B, C, H, W] in [0, 1] → what the heads read, [B, features].
  Tensor features(const Tensor& images) const;
  Tensor head(const Tensor& features) const;
  Tensor operator()(const Tensor& images) const { return head(features(images)); }
  /// SimMatchV2's second head: unit vectors [B, d].
  Tensor embedding(const Tensor& features) const { return heads_->embedding(features); }
  /// ShrinkMatch's: logits [B, classes].
  Tensor auxiliary(const Tensor& features) const { return (*auxiliary_)(features); }

 private:
  std::optional<methods::PooledCnn> cnn_;
  std::optional<resnet::WideResNet> wide_;
  std::optional<methods::shrinkmatch::AuxHead> auxiliary_;
  std::optional<methods::simmatchv2::TwoHeads> heads_;
  Tensor scale_, shift_;  // [1, C, 1, 1]
};

/// The network that is trained and all that its method remembers from step to step, so that a checkpoint holds it.
class SslModel : public nn::Module {
 public:
  /// `labelled`: how many labelled images there are to train on.
  SslModel(const SslRun& run, int64_t labelled);
  SslNetwork student;

  /// A step's batch, and its place in training. `all_labelled` gives the labelled images' labels and, in batches, images.
  struct Step {
    int64_t step = 0, index = 0, count = 1;  ///< part `index` of `count` of the step
    const data::Dataset& labelled;
  };
  Tensor loss(const SslRun& run, const methods::SemiBatch& batch, const Step& at);

 private:
  Tensor shrinkmatch_loss(const SslRun& run, const methods::SemiBatch& batch, bool first);
  Tensor simmatch_loss(const SslRun& run, const methods::SemiBatch& batch, const Step& at);

  std::optional<SslNetwork> teacher_;                          // of SimMatchV2
  nn::Buffer progress_;                                        // ρ of ShrinkMatch
  nn::Buffer bank_, queue_, queue_probabilities_, mean_;       // of SimMatchV2
};

}  // namespace plumb::tools
