// SimMatch (Zheng, You, Huang, Wang, Qian, Xu, CVPR 2022), SimMatchV2's predecessor and baseline: similarities to the labelled examples
// carry labels into pseudo-labels and pseudo-labels into similarities.
//   q = softmax(z' Lᵀ / t) over the bank L of labelled examples;   p̂ = s p + (1 − s) Σ_i q_i onehot(y_i);   q̂_i = q_i p_{y_i} / Σ
//   L = CE(labelled) + λ_u 1[max p̂ ≥ τ] CE(strong, p̂) + λ_in CE(softmax(z Lᵀ / t), q̂)
#pragma once
#include "methods/semi_supervised/simmatchv2/graph.h"
#include "methods/semi_supervised/simmatchv2/momentum_teacher.h"

namespace plumb::methods::simmatchv2 {

struct SimMatchOptions {
  double threshold = 0.7;
  double temperature = 0.1;
  double smooth = 0.9;    ///< s, what remains of p; 1: pseudo-labels do not hear of similarities
  double unlabelled = 1;  ///< λ_u
  double instance = 1;    ///< λ_in
  bool align = true;
  double align_decay = 0.9;
  TeacherOptions teacher = {};
  uint64_t seed = 0;
  /// Throws ValueError for a negative λ, smooth or threshold outside [0, 1], a temperature ≤ 0.
  void check() const;
};

/// Both from the teacher's similarities q [N, N_l], its p [N, C] and the labelled examples' labels, one-hot [N_l, C].
struct MatchedTargets {
  Tensor probabilities;  ///< p̂ [N, C]
  Tensor instances;      ///< q̂ [N, N_l]
};
MatchedTargets match_targets(const Tensor& q, const Tensor& p, const Tensor& one_hot, double smooth);

struct SimMatchTerms {
  Tensor total, supervised, unlabelled, instance;  ///< scalars, without their λ
  Tensor smoothed, mask;                           ///< p̂ [N, C]; [N]
};

/// As SimMatchV2Objective.
class SimMatchObjective {
 public:
  SimMatchObjective(const SimMatchOptions& options, const Tensor& labels, int64_t classes, const Tensor& labelled_z);
  SimMatchTerms operator()(const TwoViewOutputs& out, const Tensor& labels, const Tensor& labelled_index);

 private:
  SimMatchOptions options_;
  Tensor one_hot_;
  std::vector<DistributionAligner> aligner_;
  IndexedBank bank_;
};
SemiStep semi_step(const SimMatchTerms& terms);

/// The loss of a step for train_semi_supervised, as SimMatchV2.
template <typename Model>
class SimMatch {
 public:
  SimMatch(const SimMatchOptions& options, const SemiData& data)
      : options_(options), images_(data.labelled), labels_(data.labels), classes_(data.classes), teacher_(options.teacher) {
    options.check();
  }
  SemiStep operator()(Model& model, const SemiBatch& batch, int64_t) {
    teacher_.follow(model);
    if (!objective_) objective_.emplace(options_, labels_, classes_, teacher_.embed(images_));
    return semi_step((*objective_)(teacher_.outputs(model, batch), batch.labels, batch.labelled_index));
  }

 private:
  SimMatchOptions options_;
  Tensor images_, labels_;
  int64_t classes_;
  MomentumTeacher<Model> teacher_;
  std::optional<SimMatchObjective> objective_;
};

}  // namespace plumb::methods::simmatchv2
