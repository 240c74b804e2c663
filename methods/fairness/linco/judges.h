// Simulated judges: one model for each group, alike in everything but the cases that they learn from.
#pragma once
#include <functional>
#include <string>
#include <vector>

#include "engine/core/generator.h"
#include "methods/fairness/linco/linco.h"

namespace plumb::methods::linco {

/// Cases with features x [N, d] (without the attribute), the group 0 … K − 1 of each, and what was decided.
struct JudgmentDataset {
  Tensor x;
  std::vector<int64_t> group;
  std::vector<double> months;  ///< ≥ 0
};

/// The same as judges learn it: t [N] f32, log(1 + months), or 0 and 1 for a decision.
struct Cases {
  Tensor x, t;
  std::vector<int64_t> group;
  int64_t size() const { return static_cast<int64_t>(group.size()); }
  int64_t groups() const;
};
/// Throws ShapeError for lengths that differ, ValueError as log_terms.
Cases log_cases(const JudgmentDataset& data);
Cases select_cases(const Cases& cases, const std::vector<int64_t>& places);
/// As many cases of each group, the most there are of the smallest, drawn from the generator: what judges are compared on.
Cases balanced(const Cases& cases, Generator& generator);

/// x [n, d] → judgments [n].
using Judge = std::function<Tensor(const Tensor& x)>;
/// Learns a judge from x [n, d] and t [n]; everything random follows from `seed`, initial weights too, and the default generator is left
/// alone.
using JudgeTrainer = std::function<Judge(const Tensor& x, const Tensor& t, uint64_t seed)>;

/// argmin ‖x w + b − t‖² + penalty ‖w‖², exactly.
JudgeTrainer ridge_judges(double penalty = 1);
struct MlpJudgeOptions {
  std::vector<int64_t> hidden{64, 64};
  int64_t steps = 150, batch = 128;
  double lr = 3e-3;
  bool decisions = false;  ///< t is 0 or 1: judgments are probabilities, learned by cross-entropy; else squared errors
};
/// A perceptron by Adam on batches drawn with replacement.
JudgeTrainer mlp_judges(const MlpJudgeOptions& options = {});

struct PanelOptions {
  int64_t seeds = 3;       ///< judges a group, whose judgments are averaged
  bool equalise = true;    ///< as many cases for each judge, those of the smallest group
  bool same_start = true;  ///< all groups' judges number s begin with the same weights
  uint64_t seed = 0;
};

class JudgePanel {
 public:
  explicit JudgePanel(std::vector<std::vector<Judge>> judges) : judges_(std::move(judges)) {}
  /// J [n, K], each group's mean over its seeds, f64.
  Tensor judge(const Tensor& x) const;
  size_t groups() const { return judges_.size(); }
  const std::vector<std::vector<Judge>>& judges() const { return judges_; }  ///< [group][seed]

 private:
  std::vector<std::vector<Judge>> judges_;
};

/// One judge a group and seed. Throws ValueError for a group with fewer than 2 cases (an empty one too), naming it, or seeds < 1.
JudgePanel train_judges(const Cases& cases, const JudgeTrainer& trainer, const PanelOptions& options = {});

struct LincoReport {
  double linco = 0;
  double null_mean = 0, null_std = 0;  ///< over permutations of the groups among the cases that are learned from
  double excess = 0, p_value = 1;
  std::vector<double> nulls;
  std::vector<double> per_seed;          ///< LInCo of the judges number s alone, before judgments are averaged
  std::vector<double> per_judge_error;   ///< mean |M_k − t| on the group's own cases to judge: LInCo of unequal judges means little
  std::vector<double> per_judge_months;  ///< the same as terms, mean |e^M_k − e^t|; empty for decisions
  SeverityBins per_bin;                  ///< severity: the judges' mean
};
struct AuditOptions {
  PanelOptions panel = {};
  int64_t permutations = 5;  ///< a test at 5 % needs 19
  bool decisions = false;    ///< judgments are probabilities of 1: Jensen–Shannon disagreement
  int64_t bins = 5;
  std::function<void(double)> progress = {};
};
/// Trains judges on `train`, has all of them judge all of `evaluation`, and again with the groups of `train` dealt out anew. Throws as
/// train_judges; ValueError where evaluation has other groups or none, permutations < 1.
LincoReport measure_consistency(const Cases& train, const Cases& evaluation, const JudgeTrainer& trainer, const AuditOptions& options = {});

}  // namespace plumb::methods::linco
