// THOR: Taming Sparsely Activated Transformer with Stochastic Experts (Zuo et al., ICLR 2022): experts without a gate. In training one
// expert a layer is drawn at random for the whole batch; two such passes are held together by a divergence, so that each expert teaches
// the others and any of them can be drawn at inference.
//
//   moe::MoeGpt model(thor::configuration(gpt, /*experts=*/4));
//   moe::ExpertParameters parameters(model);      // an expert that was not drawn is not moved
//   optim::Adam adam(parameters.all(), {.lr = 2e-3});
//   thor::Loss loss = thor::training_loss(model, batch.tokens, batch.target, {}, {.alpha = 5});
//   adam.zero_grad();   loss.mean().backward();   parameters.hand_out(loss.routings);   adam.step();
//   thor::DrawnLoss validation = thor::evaluate(model, windows, {.draw = thor::Draw::sequence, .draws = 5});
#pragma once
#include <cstdint>
#include <vector>

#include "engine/data/tokens.h"
#include "models/moe/gpt.h"

namespace plumb::methods::thor {

/// A GPT whose blocks 0, 2, 4, … have `experts` feed-forward networks of the dense width in place of one, drawn for each batch. With one
/// expert it is the dense GPT. Throws ConfigError for experts < 1 and as MoeGptConfig::check.
moe::MoeGptConfig configuration(const transformer::GptConfig& gpt, int64_t experts);

struct LossOptions {
  double alpha = 5;        ///< of the consistency
  double smoothing = 0.1;  ///< ε of label_smoothed_cross_entropy
};

/// Sums over the tokens that count, as published; training takes mean().
struct Loss {
  Tensor total;                        ///< LS(z₁, y) + LS(z₂, y) + α CR
  Tensor first, second;                ///< LS of each pass
  Tensor consistency;                  ///< CR
  int64_t tokens = 0;                  ///< how many count
  std::vector<moe::Routing> routings;  ///< of training_loss: those of the first pass, then of the second

  /// total / tokens.
  Tensor mean() const;
};

/// CR = Σ_tokens ½ [KL(p₁ ‖ p₂) + KL(p₂ ‖ p₁)]: logits z₁, z₂ [.., V] of two passes, target [..], mask as in methods/common/token_losses.h,
/// which says what is thrown. Both passes get gradients from all terms. Also the loss of R-Drop (Liang et al., NeurIPS 2021) where the
/// passes differ by dropout alone. Throws ValueError for a negative α.
Loss consistency_loss(const Tensor& logits1, const Tensor& logits2, const Tensor& target, const Tensor& mask = {},
                      const LossOptions& options = {});

/// consistency_loss of two passes of tokens [B, T] through the model, each with experts and dropout of its own.
Loss training_loss(const moe::MoeGpt& model, const Tensor& tokens, const Tensor& target, const Tensor& mask = {},
                   const LossOptions& options = {});

/// What expert e of the layer makes of x [.., width]. Throws IndexError for an e outside the layer's experts.
Tensor expert_output(const moe::MoeFeedForward& layer, const Tensor& x, int64_t expert);

/// Which experts an inference draws: one for each token and layer, one for each sequence and layer, one for each batch and layer (as in
/// training), or all, averaged (N times the work).
enum class Draw : uint8_t { token, sequence, batch, average };

/// While alive, the layers that draw their experts draw them so; routers with a gate or a table stay as they are.
class DrawnExperts {
 public:
  DrawnExperts(moe::MoeGpt& model, Draw draw);
  ~DrawnExperts();
  DrawnExperts(const DrawnExperts&) = delete;
  DrawnExperts& operator=(const DrawnExperts&) = delete;

 private:
  struct Before {
    moe::Router* router;
    moe::RouterKind kind;
    int64_t top_k;
  };
  std::vector<Before> before_;
};

struct EvaluationOptions {
  Draw draw = Draw::sequence;
  int64_t draws = 5;
  uint64_t seed = 0;  ///< of the draws; the default generator is given back as it was
};

struct DrawnLoss {
  double mean = 0;          ///< of the draws' losses, in nats a token
  double deviation = 0;     ///< sample standard deviation over the draws; 0 for one
  double disagreement = 0;  ///< symmetric KL a token between one draw and the next, the mean; 0 for one
};
/// Cross-entropy over a text, the mean over its targets, again and again with other experts. The model is put in evaluation mode
/// meanwhile. Throws ValueError for draws < 1.
DrawnLoss evaluate(moe::MoeGpt& model, const data::ConsecutiveWindows& text, const EvaluationOptions& options = {});

}  // namespace plumb::methods::thor
