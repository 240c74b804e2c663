// Phasic content fusing diffusion with directional distribution consistency (Hu et al., ICCV 2023): a diffusion model of a large source
// domain moved to a target domain of which at most ten images are known.
#pragma once
#include <functional>
#include <vector>

#include "methods/generative/phasic_diffusion/network.h"
#include "models/optim/optimizer.h"

namespace plumb::methods::phasic_diffusion {

// -- losses: images are [B, C, H, W] in [0, 1], features [B, D] ------------------------------------------------

/// w = mean of the target's features − mean of the source's, [D], no gradient. Throws ValueError for no target or no source.
Tensor domain_direction(const Tensor& target_features, const Tensor& source_features);
/// Directional distribution consistency: mean over D of (E(y) − (E(a) + w))², [B]; the gradient goes to E(y) alone. Throws ShapeError for
/// shapes that do not fit.
Tensor ddc_loss(const Tensor& translated, const Tensor& source, const Tensor& direction);
/// G = F Fᵀ/(C H W), F the map [C, H W]: [B, C, H, W] → [B, C, C].
Tensor gram_matrix(const Tensor& map);
/// mean over the shots of Σ_layers ‖G(y) − G(b)‖²_F, [B]: one map a layer, of the B translations and of the k shots.
Tensor gram_style_loss(const std::vector<Tensor>& translated, const std::vector<Tensor>& shots);
/// KL between how samples of a batch resemble each other in the source model and in the adapted one (Ojha et al., CVPR 2021; Zhu et al.
/// 2022 for diffusion): p_i = softmax over j ≠ i of cos(x_i, x_j), the mean over i of KL(p_i of the source ‖ p_i of the adapted). [B, ..]
/// each, the source's without a gradient. Throws ValueError for fewer than three samples.
Tensor pairwise_similarity_loss(const Tensor& adapted, const Tensor& source);

/// α(t) = base^(t/T).
double phase_weight(double t, double steps, double base = 20);

/// mean over the image of |ε_θ(x_t, t, c) − ε|, [B], for images in [−1, 1], t i64 [B], fresh ε.
Tensor noise_losses(const PhasicUnet& model, const Tensor& images, const Tensor& t, const Tensor& content = {},
                    Generator& generator = default_generator());

// -- training ----------------------------------------------------------------------------------------------

/// One step's loss of stage 2: content = the image itself, t uniform over all times, a scalar. Only `model.fusion` should be trained.
Tensor fusion_loss(const PhasicUnet& model, const Tensor& images, Generator& generator = default_generator());

/// Frozen features of images in [0, 1], differentiable in the images.
struct ImageEncoder {
  std::function<Tensor(const Tensor& images)> features;                   ///< E: [B, D]
  std::function<std::vector<Tensor>(const Tensor& images)> style_maps{};  ///< of L_style; may be empty where its weight is 0
};

/// As released: even iterations learn content and style at large t, odd ones detail at small t. Or the one weighted sum of the paper's
/// text.
enum class Phases : uint8_t { alternating, blended };

struct AdaptOptions {
  Phases phases = Phases::alternating;
  int64_t detail_end = 300;       ///< T_s: detail has t below it, content and style t from it …
  int64_t content_end = 800;      ///< … to below this one
  double base = 20, power = 0.9;  ///< weights base^(t/T) and base^power − base^(t/T)
  double detail_share = 0.2;
  double ddc = 1, style = 1;  ///< weights of L_ddc and L_style
  double blend = 1;           ///< exponent of w(t) = 1 − (t/T)^blend in the blended form
  /// Throws ValueError naming what is out of range, for a schedule of `steps` times.
  void check(int64_t steps) const;
};

/// Stage 3. Alternating, with l(b, t) = noise_losses without content and α(t) = base^(t/T):
///   even   t from [T_s, content_end):  x₀ estimated in one step from a_t with content a, clamped; y = (x₀ + 1)/2;
///          backward of mean α(t) (ddc L_ddc(y) + style L_style(y)) + mean (base^power − α(t)) l(b, t), then the optimiser's step
///   odd    t from [0, T_s):            backward of detail_share · mean (base^power − α(t)) l(b, t); its gradient joins the next step
/// Blended: t uniform, mean m(t)(1 − w(t))(ddc L_ddc + style L_style) + w(t) l(b, t), a step at every iteration.
class PhasicAdaptation {
 public:
  /// `shots` [k, C, H, W] in [0, 1], `direction` by domain_direction. The model is used, not copied. Throws ValueError for no shots or as
  /// AdaptOptions::check.
  PhasicAdaptation(PhasicUnet& model, ImageEncoder encoder, Tensor shots, Tensor direction, const AdaptOptions& options);
  /// `source` [B, ..] in [0, 1]; the targets are drawn from the shots. Returns the iteration's loss.
  double step(int64_t iteration, const Tensor& source, optim::Optimizer& optimizer, Generator& generator = default_generator());
  /// α(t)-weighted L_ddc + L_style of a batch at times t i64 [B], [B] without the weight.
  Tensor content_losses(const Tensor& source, const Tensor& t, Generator& generator = default_generator()) const;

 private:
  Tensor targets(int64_t n, Generator& generator) const;
  Tensor weights(const Tensor& t, double (PhasicAdaptation::*weight)(double) const) const;
  double content_weight(double t) const;
  double detail_weight(double t) const;
  double blended_content(double t) const;
  double blended_detail(double t) const;

  PhasicUnet& model_;
  ImageEncoder encoder_;
  Tensor shots_, direction_;
  std::vector<Tensor> shot_maps_;
  AdaptOptions options_;
};

}  // namespace plumb::methods::phasic_diffusion
