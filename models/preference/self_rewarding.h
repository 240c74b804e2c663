// Self-rewarding rounds (Yuan et al., ICML 2024): a language model answers prompts, ranks its own answers by how much more likely it finds
// them than it did before (DPO's implicit reward), and is trained on the best against the worst.
//
//   SelfRewarding rounds(pretrained, tuned);                                     // M0, M1
//   for (int t = 0; t < 3; ++t) rounds.round(prompts, constant_confidence(1), options, generator);
//   rounds.current();                                                            // M4
#pragma once

#include "models/preference/sampling.h"
#include "models/preference/training.h"

namespace plumb::preference {

/// What the current model's likelihood of an answer is compared with to reward it: the model of the round before, or M0 in all rounds. With
/// M_{t−1} each round rewards what the last one changed, mistakes too; with M0 it rewards all that was learned. In the first round both are
/// M0.
enum class RewardReference { previous, pretrained };

struct RoundOptions {
  int64_t answers = 5;  ///< drawn for each prompt
  RewardReference reference = RewardReference::previous;
  AnswerOptions sampling{.sampling = {.temperature = 0.8, .top_p = 0.95}};
  LengthLimits limits;
  TrainingOptions training;
};

struct RoundReport {
  std::vector<Judged> judged;
  std::vector<Pair> pairs;
  double mean_confidence = 0, loss = 0;
};

/// A judge from outside, in the place of the model's own: a score for each of a prompt's answers.
using Reward = std::function<std::vector<double>(const Tokens& prompt, const std::vector<Tokens>& answers)>;

/// `answers` answers to each prompt, drawn from `model`: out[i] are those of prompt i. Throws ValueError for fewer than 2 answers and as
/// sample_answers.
std::vector<std::vector<Tokens>> several_answers(const transformer::CausalDecoder& model, const std::vector<Tokens>& prompts,
                                                 int64_t answers, const AnswerOptions& options, Generator& generator);
/// The scores of all answers, prompt by prompt, as one list for each prompt.
std::vector<std::vector<double>> by_prompt(const std::vector<double>& scores, int64_t answers);
/// a_i − b_i. Throws ValueError for lengths that differ.
std::vector<double> differences(const std::vector<double>& a, const std::vector<double>& b);

/// `Model`: a module that copies as a value, maps tokens [B, T] to logits, and is a CausalDecoder (Gpt, Llama).
template <typename Model>
class SelfRewarding {
 public:
  /// M0 and M1.
  SelfRewarding(const Model& pretrained, const Model& tuned) : pretrained_(pretrained), past_{pretrained}, current_(tuned) {}

  Model& current() { return current_; }
  /// M_{t−1}, which is what the current model is compared with.
  Model& previous() { return past_.back(); }

  /// Answers to every prompt (Judged::prompt is its place) with both judges' scores:
  ///   current:   r_t(y) = log M_t(y|x) − log M_{t−1}(y|x), or the reward if one is given
  ///   previous:  r_{t−1}(y) = log M_{t−1}(y|x) − log M_{t−2}(y|x); where there is no M_{t−2}, log M_{t−1}(y|x) / |y|
  /// With RewardReference::pretrained M0 stands for M_{t−1} in the first and for M_{t−2} in the second.
  std::vector<Judged> judge(const std::vector<Tokens>& prompts, const RoundOptions& options, Generator& generator,
                            const Reward& reward = {}) {
    std::vector<std::vector<Tokens>> answers;
    {
      Evaluating<Model> evaluating(current_);
      answers = several_answers(current_, prompts, options.answers, options.sampling, generator);
    }
    std::vector<Answer> flat;
    for (size_t i = 0; i < prompts.size(); ++i)
      for (const Tokens& y : answers[i]) flat.push_back({prompts[i], y});
    bool against_pretrained = options.reference == RewardReference::pretrained;
    Model& older = against_pretrained ? pretrained_ : past_.front();
    std::vector<double> before = log_probs(past_.back(), flat);
    auto now =
        by_prompt(differences(log_probs(current_, flat), against_pretrained ? log_probs(pretrained_, flat) : before), options.answers);
    auto then =
        by_prompt(past_.size() > 1 ? differences(before, log_probs(older, flat)) : log_probs(past_.back(), flat, true), options.answers);
    std::vector<Judged> out;
    for (size_t i = 0; i < prompts.size(); ++i)
      out.push_back({static_cast<int64_t>(i), prompts[i], answers[i], reward ? reward(prompts[i], answers[i]) : now[i], then[i]});
    return out;
  }

  /// M_{t+1} from M_t: judge, choose pairs, train with M_t for reference. Throws ValueError if no pair is left, as train_on_pairs.
  RoundReport round(const std::vector<Tokens>& prompts, const LabelConfidence& confidence, const RoundOptions& options,
                    Generator& generator, const Reward& reward = {}) {
    RoundReport report;
    report.judged = judge(prompts, options, generator, reward);
    report.pairs = make_pairs(report.judged, confidence, options.limits);
    Model next = current_;
    report.loss = train_on_pairs(next, report.pairs, options.training, generator);
    for (const Pair& p : report.pairs) report.mean_confidence += p.confidence / static_cast<double>(report.pairs.size());
    past_.push_back(std::move(current_));
    if (past_.size() > 2) past_.erase(past_.begin());
    current_ = std::move(next);
    return report;
  }

 private:
  Model pretrained_;         // M0
  std::vector<Model> past_;  // M_{t−2} once there is one, and M_{t−1}
  Model current_;
};

}  // namespace plumb::preference
