// FEAMOE (Sharma, Henderson & Ghosh, IJCAI 2023): a mixture of linear experts that learns from a stream of batches, gains an expert when
// the stream changes, and loses those that nothing is sent to.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "methods/common/drift_monitor.h"
#include "methods/fairness/feamoe/objective.h"
#include "models/optim/adam.h"

namespace plumb::methods::feamoe {

/// Rows x [B, inputs] with labels y [B] and groups a [B], 0 or 1.
struct Batch {
  Tensor x, y, a;
};
/// The rows of all batches, one after another. Throws ValueError for none.
Batch joined(const std::vector<Batch>& batches);

/// What is watched for drift, each by a monitor of its own. A drift in fairness may leave the accuracy as it is, and the other way round.
struct Watched {
  bool loss = true;                 ///< likelihood + fairness terms
  bool error = false;               ///< share of wrong decisions
  bool demographic_parity = false;  ///< |gap| of mean q between the groups
  bool equalised_odds = false;      ///< the larger of the gaps of mean q at y = 0 and at y = 1
  bool recourse = false;            ///< |gap| of the rejected rows' mean distance
};

struct FeamoeOptions {
  int64_t inputs = 0;
  int64_t experts = 1;        ///< at the start
  int64_t max_experts = 6;    ///< equal to `experts`: a mixture of fixed size
  int64_t window = 4;         ///< batches that are learned from, the newest included
  int64_t iterations = 25;    ///< Adam steps a batch
  double lr = 0.03;
  double min_share = 0.01;    ///< experts with a smaller mean gate share over the window go; 0: none
  double deviation = 0.05;    ///< of a new expert from the mean of the others, and of its gate from 0
  bool freeze_old = false;    ///< after growing, older experts learn at a tenth of the rate
  ObjectiveOptions objective = {};
  DriftOptions drift = {};
  Watched watched = {};

  /// Throws ConfigError or ValueError naming what is out of range.
  void check() const;
};

/// What a batch did.
struct LearnReport {
  double loss = 0;      ///< likelihood + fairness terms before learning
  std::string fired;    ///< the statistic that asked for an expert ("loss", "error", "demographic parity", …); empty: none
  int64_t pruned = 0;   ///< experts removed
  int64_t experts = 0;  ///< now
};

class Feamoe {
 public:
  explicit Feamoe(const FeamoeOptions& options);

  /// Takes one more batch: drift test with the model as it is; an expert more if it fires and there is room, the monitors and the window
  /// then start anew; Adam on the window; pruning. Call predict first: what counts is what was predicted before learning.
  /// New experts' weights come from the default generator. Moments of Adam start anew when experts come or go.
  LearnReport learn(const Batch& batch);

  const MixtureOfLinearExperts& model() const { return model_; }
  const FeamoeOptions& options() const { return options_; }

 private:
  struct Watch {
    std::string name;
    DriftMonitor monitor;
  };
  std::vector<double> statistics(const Batch& batch, double loss) const;
  std::string drift(const std::vector<double>& statistics);
  void train();
  void make_optimizer();

  FeamoeOptions options_;
  MixtureOfLinearExperts model_;
  std::vector<Watch> watches_;
  std::vector<Batch> window_;
  std::optional<optim::Adam> adam_;
  int64_t slow_ = 0;  // experts that learn at a tenth of the rate: those before the newest
};

struct OfflineOptions {
  int64_t max_experts = 6;
  int64_t most_steps = 2000;    ///< of Adam over all rows, for each number of experts
  int64_t check_every = 50;     ///< steps after which the training loss is looked at
  double converged = 1e-4;      ///< relative fall of the training loss over check_every steps that ends the training
  double improvement = 1e-3;    ///< relative fall of the validation loss that an expert must bring
  double lr = 0.03;
  double deviation = 0.05;
  ObjectiveOptions objective = {};
};

struct OfflineFit {
  MixtureOfLinearExperts model;
  std::vector<double> validation_loss;  ///< with 1, 2, … experts; the last may be the one that brought too little
};

/// Without a stream: one expert is trained to convergence, then experts are added as long as each lowers the validation loss
/// (likelihood + fairness terms) enough. The model returned is the last that did. Throws ConfigError for max_experts, most_steps or
/// check_every below 1.
OfflineFit fit_offline(const Batch& train, const Batch& validation, const OfflineOptions& options = {});

}  // namespace plumb::methods::feamoe
