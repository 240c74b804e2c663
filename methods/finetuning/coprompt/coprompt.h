// CoPrompt: Consistency-guided Prompt Learning for Vision-Language Models (Roy, Etemad; ICLR 2024, arXiv 2306.01195). Prompts of both
// towers of a frozen CLIP and small adapters on its outputs learn from a few images a class, while the tuned embeddings are held near the
// frozen ones of other views: another augmentation of the image, a description of the class.
//
//   PromptLearner learner(clip, {.tokens = 2, .depth = 3}, clip.text_model.embed(first_words));   clip.requires_grad_(false);
//   Tensor t = learner.encode_text(clip, class_texts), u = learner.encode_image(clip, view1);
//   coprompt_loss(u, t, scale, label, clip.encode_image(view2), bank of descriptions, lambda).backward();
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "models/contrastive/prompted_clip.h"

namespace plumb::methods::coprompt {

/// α relu(W₂ relu(W₁ x)) + (1 − α) x, without biases, width / ratio wide in between: x [.., width]. W start uniform, not as 0, since the
/// last relu would pass no gradient. Throws ValueError unless ratio divides width and 0 ≤ α ≤ 1.
class ResidualAdapter : public nn::Module {
 public:
  ResidualAdapter(int64_t width, double mix, int64_t ratio = 4);
  Tensor operator()(const Tensor& x) const;
  /// α max(pre, 0) + (1 − α) x for what the second layer gave before its relu.
  static Tensor mixed(const Tensor& pre, const Tensor& x, double mix);

  nn::Linear down, up;

 private:
  double mix_;
};

struct PromptOptions {
  int64_t tokens = 2;  ///< M
  int64_t depth = 3;   ///< J: blocks that have prompts of their own
  bool vision = true;  ///< prompts of the image tower, made from the text's
  bool adapters = true;
  double image_mix = 0.1, text_mix = 0.2;  ///< α of the adapters
  int64_t reduction = 4;

  /// CoOp: one text context (Zhou et al. 2022). MaPLe: prompts of both towers (Khattak et al., CVPR 2023).
  static PromptOptions coop(int64_t tokens) { return {.tokens = tokens, .depth = 1, .vision = false, .adapters = false}; }
  static PromptOptions maple(int64_t tokens, int64_t depth) { return {.tokens = tokens, .depth = depth, .adapters = false}; }
};

/// What is trained: text prompts P_j [M, d_t], their couplings V_j = P_j W_j + b_j [M, d_v], and two adapters. Frozen CLIPs are arguments,
/// not members, so that a learner's parameters are its own:
///   M d_t J + J (d_t d_v + d_v) + 2 (2 e² / ratio) numbers.
/// Without prompts (tokens = 0) only the adapters are left.
class PromptLearner : public nn::Module {
 public:
  /// P_0 starts as `context` [M, d_t] (the embeddings of the template's first words), undefined: N(0, 0.02²), as the others do. Throws
  /// ValueError for a depth below 1 or above the tower's, ShapeError for another context.
  PromptLearner(const contrastive::PromptedClipConfig& clip, const PromptOptions& options, const Tensor& context = {});
  contrastive::Prompts text_prompts() const;
  contrastive::Prompts vision_prompts() const;
  /// Tuned embeddings, adapted and not yet of length 1: [K, e] and [B, e].
  Tensor encode_text(const contrastive::PromptedClip& clip, const contrastive::Texts& texts) const;
  Tensor encode_image(const contrastive::PromptedClip& clip, const Tensor& images) const;
  const PromptOptions& options() const { return options_; }

 private:
  PromptOptions options_;
  nn::Parameter prompts_;  // [J, M, d_t]
  nn::ModuleList<nn::Linear> couplings_;
  std::optional<ResidualAdapter> image_adapter_, text_adapter_;
};

enum class Distance : uint8_t { cosine, squared, absolute };
/// 1 − mean cos(a_i, b_i), in [0, 2], rows a, b [n, e], of any lengths; or the mean squared or absolute difference of their directions. No
/// gradient goes to b. Throws ShapeError unless the shapes are equal and of rank 2.
Tensor consistency(const Tensor& a, const Tensor& b, Distance distance = Distance::cosine);

/// s cos(u_b, t_c): u [B, e], t [K, e] → [B, K].
Tensor scores(const Tensor& u, const Tensor& t, double scale);

struct ConsistencyOptions {
  double lambda = 1;
  bool text = true, image = true;  ///< which of the two terms count
  Distance distance = Distance::cosine;
};
/// CE(scores(u, t, s), label) + λ (consistency(t, t̄) + consistency(u, ū)). With λ = 0 the frozen embeddings may be undefined.
Tensor coprompt_loss(const Tensor& u, const Tensor& t, double scale, const Tensor& label, const Tensor& frozen_u, const Tensor& frozen_t,
                     const ConsistencyOptions& options = {});

/// The frozen embeddings of every class's descriptions, [N, K, e], N the most that a class has; shorter lists begin anew.
/// descriptions[c][i]: the words of description i of class c. A step draws one row of N for all classes. Throws ValueError naming a class
/// without any.
Tensor description_bank(const contrastive::PromptedClip& clip, const std::vector<std::vector<std::vector<int64_t>>>& descriptions);

/// 2 a b / (a + b); 0 if both are 0.
double harmonic_mean(double a, double b);

/// Throws ValueError naming a class that is in both, or IndexError for one outside [0, classes).
void check_split(const std::vector<int64_t>& base, const std::vector<int64_t>& novel, int64_t classes);

}  // namespace plumb::methods::coprompt
