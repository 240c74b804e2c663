// Training a language model on preference pairs, with the model as it was at the beginning for a reference.
#pragma once
#include "engine/core/generator.h"
#include "models/optim/adam.h"
#include "models/preference/losses.h"
#include "models/preference/pairs.h"

namespace plumb::preference {

struct TrainingOptions {
  LossOptions loss;
  int64_t epochs = 1;
  size_t batch = 32;  ///< pairs
  optim::AdamWOptions adam{.lr = 1e-6, .weight_decay = 0.01};
  double warmup = 0.1;  ///< share of the steps in which the learning rate rises; it then falls by cosine to 0
  double clip = 1;      ///< norm of all gradients together
  /// Throws ValueError for sizes below 1, a warm-up outside [0, 1) or clip ≤ 0, and as the parts do.
  void check() const;
};

/// Log-probabilities of both answers of each pair, in the order of the pairs.
struct StoredLogProbs {
  std::vector<double> chosen, rejected;
};
/// What a frozen reference says of the pairs: computed once, in evaluation mode.
template <typename Model>
StoredLogProbs stored_log_probs(Model& model, const std::vector<Pair>& pairs) {
  std::vector<Answer> chosen, rejected;
  for (const Pair& p : pairs) chosen.push_back({p.question, p.chosen}), rejected.push_back({p.question, p.rejected});
  return {log_probs(model, chosen), log_probs(model, rejected)};
}

/// One batch: chosen answers, then rejected ones, as one [2 n, T]; the reference's log-probabilities and confidences of its pairs.
struct PairBatch {
  AnswerBatch answers;
  PairLogProbs reference;
  Tensor confidence;
};
PairBatch pair_batch(const std::vector<Pair>& pairs, const StoredLogProbs& reference, const std::vector<int64_t>& places,
                     Device device = {});

/// The order of an epoch's pairs and the learning rate's factor: n pairs in ⌈n / batch⌉ steps an epoch.
std::vector<std::vector<int64_t>> epoch_batches(size_t pairs, size_t batch, Generator& generator);
double learning_rate_factor(const TrainingOptions& options, int64_t step, int64_t steps);

/// Splits log-probabilities [2 n] and lengths of a batch into those of the chosen and of the rejected answers.
PairLogProbs split_pairs(const Tensor& log_prob, const Tensor& mask);

/// The policy's side of a batch: one forward pass over both answers of every pair.
template <typename Model>
PairLogProbs policy_log_probs(Model& model, const AnswerBatch& answers) {
  return split_pairs(sequence_log_prob(model(answers.tokens), answers.target, answers.mask), answers.mask);
}

/// Clips the gradients and steps.
void descend(optim::Optimizer& optimizer, const Tensor& loss, const TrainingOptions& options, int64_t step, int64_t steps);

/// Trains `model` in place and returns the mean loss of the last epoch. The reference is the model as it comes in. Throws ValueError if
/// there are no pairs or the loss is not finite, and as options.check().
template <typename Model>
double train_on_pairs(Model& model, const std::vector<Pair>& pairs, const TrainingOptions& options,
                      Generator& generator = default_generator()) {
  options.check();
  if (pairs.empty()) throw ValueError("preference: there are no preference pairs to train on");
  Device device = model.parameters().front().device();
  StoredLogProbs reference = stored_log_probs(model, pairs);
  optim::AdamW adam(model.parameters(), options.adam);
  auto steps_an_epoch = static_cast<int64_t>((pairs.size() + options.batch - 1) / options.batch);
  int64_t step = 0, steps = options.epochs * steps_an_epoch;
  double total = 0;
  for (int64_t epoch = 0; epoch < options.epochs; ++epoch) {
    total = 0;
    for (const auto& places : epoch_batches(pairs.size(), options.batch, generator)) {
      PairBatch batch = pair_batch(pairs, reference, places, device);
      Tensor loss = preference_loss(policy_log_probs(model, batch.answers), batch.reference, options.loss, batch.confidence);
      descend(adam, loss, options, step++, steps);
      total += loss.item() * static_cast<double>(places.size());
    }
  }
  return total / static_cast<double>(pairs.size());
}

}  // namespace plumb::preference
