// The one loop of data mixing: rounds of training in proportions that a policy chooses. Stratified and static mixtures, Skill-It, DoReMi,
// DoGE, data mixing laws and Aioli are policies; they differ in what they look at and in nothing else.
#pragma once
#include "models/data_mixing/learner.h"

namespace plumb::data_mixing {

struct LoopOptions {
  int64_t steps = 600;  ///< all of them, those that a policy makes within a round included
  int64_t round = 100;  ///< steps between two choices
  Shares prior;         ///< proportions of the first prior_steps
  int64_t prior_steps = 0;
};

/// What a policy sees when it is asked.
struct RoundStart {
  int64_t number = 0;
  int64_t steps = 0;  ///< left in this round
  Shares losses;      ///< of validation, now
};

class MixingPolicy {
 public:
  virtual ~MixingPolicy() = default;
  /// Throws ValueError for options that do not go with the run.
  virtual void check(const Learner&, const LoopOptions&) const {}
  /// Runs of its own before training, on fresh learners. Returns how many steps they made.
  virtual int64_t prepare(const Learner&) { return 0; }
  /// The proportions of what is left of this round; may train the learner for fewer than round.steps steps.
  virtual Shares proportions(Learner& learner, const RoundStart& round) = 0;
};

struct RoundRecord {
  int64_t from = 0, mixed_from = 0, to = 0;  ///< steps: the round's begin, where the policy was done, its end
  Shares proportions;
  Shares before, mixed_before, after;  ///< validation losses at these three
};

struct MixingRun {
  std::vector<RoundRecord> rounds;
  int64_t outside = 0;  ///< steps of the policy's runs before training
};

using RoundWatch = std::function<void(const RoundRecord&)>;

/// Trains `learner`, which has made no steps, for options.steps steps exactly. Throws ValueError for fewer than two groups, a learner
/// planned for another number of steps, rounds that do not divide the steps after the prior's, a prior or a policy's proportions that are
/// no mixture (data::check_mixture), a policy that used up its round, and as the policy's check().
MixingRun train_mixed(Learner& learner, MixingPolicy& policy, const LoopOptions& options, const RoundWatch& watch = {});

/// mean_i exp(loss_i): not exp of the mean.
double average_perplexity(const Shares& losses);

/// p_j exp(η gain_j) / Σ. Throws ValueError as data::check_mixture, for another number of gains, one that is not finite, or η not finite.
Shares exponentiated_gradient_step(const Shares& p, const Shares& gain, double eta);

}  // namespace plumb::data_mixing
