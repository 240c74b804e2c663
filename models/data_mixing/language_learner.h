// A language model that is trained on groups of text: the learner of data mixing.
#pragma once
#include <string>

#include "engine/data/mixture.h"
#include "engine/data/tokens.h"
#include "models/data_mixing/learner.h"
#include "models/optim/adam.h"
#include "models/transformer/gpt.h"

namespace plumb::data_mixing {

struct GroupText {
  std::string name;
  data::TokenStream train, validation, test;
};
using GroupTexts = std::vector<GroupText>;

/// The mean loss a token, in nats, over at most `windows` windows of the model's context, evenly spaced over the text and always the same;
/// in evaluation mode, outside the graph. Throws ConfigError for a text shorter than a window and its next token.
double text_loss(const transformer::Gpt& model, const data::TokenStream& text, int64_t windows);
/// The same of each group's validation or test part.
Shares per_group_loss(const transformer::Gpt& model, const GroupTexts& texts, int64_t windows, bool test = false);

struct LanguageLearnerOptions {
  int64_t batch = 32, steps = 600;
  int64_t warmup = 50;              ///< steps; at most a quarter of them
  int64_t validation_windows = 32;  ///< of each group
  double clip = 1;
  optim::AdamWOptions adam{.lr = 2e-3, .weight_decay = 0.01};
  uint64_t seed = 0;  ///< of the data's order
};

/// AdamW with warm-up and cosine, gradients clipped. The learning rate of a step depends on its number alone, so steps that a policy makes
/// count as any others. Texts and start are shared between a learner and the fresh ones made of it.
class LanguageLearner : public Learner {
 public:
  /// Throws ValueError for sizes below 1, a clip ≤ 0, no texts, or a vocabulary that does not hold a text's tokens; ConfigError for texts
  /// too short.
  LanguageLearner(std::shared_ptr<const GroupTexts> texts, std::shared_ptr<const transformer::Gpt> start,
                  const LanguageLearnerOptions& options);

  int64_t groups() const override { return static_cast<int64_t>(texts_->size()); }
  int64_t batch() const override { return options_.batch; }
  int64_t steps() const override { return steps_; }
  int64_t planned_steps() const override { return options_.steps; }
  void step(const Shares& p) override;
  void step_exact(const std::vector<int64_t>& counts) override;
  Shares validation_losses() const override;
  std::unique_ptr<Learner> fresh(int64_t steps, uint64_t stream) const override;
  void step_weighted(const Learner* reference, const LossWeights& weights) override;
  void step_aligned(const AlignmentWeights& weights) override;

  const transformer::Gpt& model() const { return model_; }
  /// The learning rate of step number `step`.
  double learning_rate(int64_t step) const;

 private:
  struct Windows {
    Tensor tokens, target;
  };
  Windows windows_of(const std::vector<data::MixturePick>& picks) const;
  std::vector<data::MixturePick> balanced_batch();
  void descend(const Windows& windows);
  void update();

  std::shared_ptr<const GroupTexts> texts_;
  std::shared_ptr<const transformer::Gpt> start_;
  LanguageLearnerOptions options_;
  transformer::Gpt model_;
  optim::AdamW adam_;
  data::MixtureSampler sampler_;
  int64_t steps_ = 0;
};

}  // namespace plumb::data_mixing
