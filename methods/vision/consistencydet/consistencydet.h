// ConsistencyDet (Jiang et al. 2024): detection as the denoising of boxes, with the noise of consistency models. True boxes are noised to
// two neighbouring levels of one grid by one noise, and the same decoder has to find the objects from both; from pure noise it then finds
// them in one step, and more steps refine.
//   x = 2b − 1 for boxes b (centre, sides) as shares of the image,   x_a = x + σ_i e,   x_b = x + σ_(i+1) e,   L = L_det(a) + L_det(b)
// The network is detection::Detector with start = "noise"; its times are places in the grid of levels.
#pragma once
#include <vector>

#include "engine/core/generator.h"
#include "models/detection/detector.h"
#include "models/diffusion/precondition.h"

namespace plumb::methods::consistencydet {

/// Karras' levels and what goes with them.
struct NoiseLevels {
  std::vector<double> sigmas;  ///< falling
  double sigma_data = 0.5;

  /// `count` levels between σ_max and σ_min. Throws as diffusion::karras_sigmas.
  static NoiseLevels karras(int64_t count = 40, double sigma_min = 0.002, double sigma_max = 40, double rho = 7, double sigma_data = 0.5);
  /// Throws ValueError unless there are two levels at least, positive and falling, and σ_data > 0.
  void check() const;
  /// c_in = ½ / √(σ² + σ_d²), c_skip = σ_d² / ((σ − σ_min)² + σ_d²), c_out = 2 (σ − σ_min) σ_d / √(σ² + σ_d²): the scalings of consistency
  /// models (diffusion::ConsistencyPrecondition) with a factor ½ and a factor 2.
  diffusion::Scalings scalings(double sigma) const;
  /// The place of the level nearest to σ in log σ.
  int64_t nearest(double sigma) const;
};

/// What the decoder's boxes mean.
enum class BoxForm : uint8_t {
  direct,   ///< they are the answer (the released code)
  skipped,  ///< they are F in f = c_skip x + c_out F, in the units of x (the paper's text)
};

/// (c x + 1) / 2, one c an image, with sides of at least a thousandth of the image: x [B, P, 4] → corners in pixels.
Tensor input_boxes(const Tensor& x, const std::vector<double>& c_in, int64_t height, int64_t width);
/// x + (x − clean) / σ · (next − σ): one Euler step of the probability flow towards the clean boxes.
Tensor euler_step(const Tensor& x, const Tensor& clean, double sigma, double next);

/// A batch's boxes at two neighbouring levels.
struct NoisedBoxes {
  Tensor clean, first, second;  ///< [B, P, 4]: x, x_a, x_b
  std::vector<int64_t> place;   ///< i of each image; the second level is i + 1
};
/// True boxes as shares of the image, filled up to P with N(0, 1) / 6 + ½ (sides at least 1e-4); of more than P a random choice; without
/// any, the whole image first. One level i in 0 … N − 2 and one noise an image; `place` (B numbers) fixes the levels. Throws as
/// detection::check_objects (with any class), ValueError for P < 1 or levels out of order, IndexError for a place outside.
NoisedBoxes noise_boxes(const detection::Objects& truth, int64_t proposals, int64_t height, int64_t width, const NoiseLevels& levels,
                        Generator& generator, const std::vector<int64_t>& place = {});

struct LossOptions {
  NoiseLevels levels = NoiseLevels::karras();
  bool pair = true;  ///< false: the first level alone
  BoxForm form = BoxForm::direct;
  detection::CriterionOptions criterion = {.one_to_one = false};
};
struct ConsistencyLoss {
  Tensor total;
  detection::DetectionLoss first, second;  ///< second: undefined tensors without the pair
};
/// The loss of a batch. Boxes of every stage are clipped to the image before they are matched and judged. Throws ConfigError for a detector
/// that does not start from noise, else as noise_boxes and detection_loss.
ConsistencyLoss consistency_loss(const detection::Detector& model, const Tensor& images, const detection::Objects& truth,
                                 const LossOptions& options, Generator& generator);

struct DetectOptions {
  NoiseLevels levels = NoiseLevels::karras();  ///< of training
  int64_t steps = 1;
  double keep = 0.9;            ///< between steps, boxes with no class above this score are drawn anew
  double overlap = 0.6;         ///< of boxes of one class, above which the weaker goes, with several steps
  double overlap_single = 0.5;  ///< with one
  int64_t proposals = 0;        ///< boxes; 0: as in training
  int64_t most = 100;           ///< reported an image
  bool step_as_time = false;    ///< the time is the number of the step (the released code) instead of the nearest level of training
  BoxForm form = BoxForm::direct;
  uint64_t seed = 0;  ///< of the noise, the same for every image
};
/// σ_max … σ_min on `steps` levels (one step: σ_max alone) and 0 at the end.
std::vector<double> sampling_sigmas(const NoiseLevels& levels, int64_t steps);
/// What is found in each image, starting from N(0, σ_max²). All steps' best P pairs of box and class together, doubles removed, best first.
/// Nothing is recorded. Throws ValueError for less than one step or box.
std::vector<detection::Found> consistency_detect(const detection::Detector& model, const Tensor& images, const DetectOptions& options = {});

}  // namespace plumb::methods::consistencydet
