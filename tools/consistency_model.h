// What `plumb train consistency`, `eval` and `sample` share: a run's settings, its networks, and images drawn in a few steps.
#pragma once
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "models/diffusion/precondition.h"
#include "models/unet/unet.h"
#include "tools/progress_bar.h"
#include "tools/train/settings.h"

namespace plumb::tools {

/// Everything that config.json of a run of `train consistency` holds.
struct ConsistencyRun {
  std::string method = "ict";     ///< of tools/consistency_methods.h
  std::vector<std::string> data;  ///< absolute paths, or "digits"
  std::string data_sha256;        ///< of the files' hashes
  std::string teacher;            ///< absolute path of a run of `train unet`, for methods that distil; else empty
  std::string teacher_sha256;     ///< of its weights
  unet::UnetConfig network;       ///< the teacher's where there is one
  double guidance = 1;            ///< of the teacher
  double sigma_data = 0.5, sigma_min = 0.002, sigma_max = 80, rho = 7;
  int64_t s0 = 10, s1 = 160;      ///< intervals of the noise grid at first and at last
  std::vector<double> grid = {};  ///< ascending noise levels in the place of Karras' grids; empty: those
  int64_t solver_steps = 8;       ///< ctm: the most steps of the teacher's ODE that a jump is compared with
  double gamma = 0;               ///< ctm: noise put back between sampling steps, 0 none to 1 all
  double class_dropout = 0.1;     ///< share of training images shown without their class
  double validation = 0.05;       ///< share of the training part that is held back
  int64_t sample_steps = 2;       ///< of pictures in training, and the default of `plumb sample`
  std::vector<int64_t> image;     ///< [C, H, W]
  std::vector<std::string> class_names;
  TrainingSettings training;

  ConsistencyRun();
  std::string to_json() const;
  static ConsistencyRun from_json(const std::string& json);
  /// Throws ConfigError naming the option that is out of range.
  void check() const;
};

/// A U-Net as few-step methods call it: at a level, and for some with the level at which a jump is to end (through weights that start as
/// 0). Classes are told beforehand.
class FewStepNetwork : public nn::Module {
 public:
  FewStepNetwork(nn::Module* parent, std::string name, const unet::UnetConfig& config, bool second_time);
  /// x [B, C, H, W], c_noise [B] of the level and, for a network with a second time, of the end → [B, C, H, W].
  Tensor operator()(const Tensor& x, const Tensor& noise, const Tensor& end = {}) const;
  /// The classes [B] of the calls from now on, of this network and of all copies of it; −1: none.
  void show(Tensor labels) const { *labels_ = std::move(labels); }
  unet::Unet& unet() { return unet_; }
  /// Of the last convolution.
  Tensor last_weight() const;

 private:
  unet::Unet unet_;
  std::optional<nn::Linear> end_;
  std::shared_ptr<Tensor> labels_;  // shared by copies
};

/// The network that is trained, and where the method has one, an average of it that gives the targets.
class ConsistencyModel : public nn::Module {
 public:
  /// Weights from the default generator, or of the teacher.
  explicit ConsistencyModel(const ConsistencyRun& run);
  FewStepNetwork student;
  std::optional<FewStepNetwork> target;
};

/// How images are drawn.
struct FewStepSampling {
  int64_t steps = 2;
  std::vector<double> levels = {};  ///< noise levels of the steps, from high to low; empty: `steps` of a Karras grid
  double gamma = 0;                 ///< of ctm
};
/// The noise levels of the steps. Throws ConfigError unless steps ≥ 1 and levels descend between σ_max and σ_min.
std::vector<double> levels_of(const ConsistencyRun& run, const FewStepSampling& sampling);
/// One image for each label (−1: no class) → [n, C, H, W] in [0, 1]; `batch` images at a time, which is how `progress` counts them.
Tensor sample(const ConsistencyModel& model, const ConsistencyRun& run, const Tensor& labels, const FewStepSampling& sampling,
              Generator& generator, int64_t batch = 100, const ProgressFunction& progress = {});

/// The teacher of a run as a denoiser of images in [−1, 1] of given classes; it keeps what it needs alive. Empty if the run has none.
/// Throws ConfigError if it has changed since the run began.
using Teacher = std::function<diffusion::Denoiser(const Tensor& labels)>;
Teacher load_teacher(const ConsistencyRun& run);
/// Takes the architecture, σ_data and the hash of the teacher at `path` into the run. Throws ConfigError for a run of another kind, one
/// that is not finished, or one of other images than `image` or with other classes.
void adopt_teacher(ConsistencyRun& run, const std::string& path, const std::vector<int64_t>& image, int64_t classes);

/// The run's model with its trained weights, in evaluation mode.
ConsistencyModel load_consistency(const train::RunDirectory& directory, const ConsistencyRun& run);

}  // namespace plumb::tools
