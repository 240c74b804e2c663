// ShrinkMatch (Yang, Zhao, Qi, Qiao, Shi, Zhao, ICCV 2023): unlabelled examples below the confidence threshold are used all the same. Their
// confusion classes, the runners-up, are taken out of the class space until the largest class, renormalised over what is left, reaches the
// threshold; the strong view is trained in that smaller space, through an auxiliary head.
//   L = CE(labelled) + λ_u (L_u + ρ L_shrink),   ρ the running share of certain examples
#pragma once
#include "methods/common/pseudo_labels.h"
#include "methods/common/semi_supervised.h"
#include "models/nn/linear.h"
#include "models/nn/norm.h"

namespace plumb::methods::shrinkmatch {

/// Which classes each row keeps. Integers and constants: nothing here has a gradient.
struct ShrinkPlan {
  Tensor keep;             ///< bool [N, K]
  Tensor top;              ///< i64 [N], the largest class (the first of equal ones)
  Tensor weight;           ///< [N]: max_k p of an uncertain row that reached the threshold, else 0
  Tensor first_kept_rank;  ///< i64 [N]: ranks 1 … c − 1 are taken out; 1 where nothing is
  Tensor reached;          ///< bool [N]
  Tensor certain;          ///< bool [N]: max_k p ≥ θ
};

/// For every row with max p < θ, classes sorted by p (equal ones in order), ranks 1 … c − 1 are removed for the first c = 2 … K − 1 with
///   p_(0) / (p_(0) + Σ_{r ≥ c} p_(r)) ≥ θ,  or for c = K − 1 if there is none.
/// Certain rows, and every row if K = 2, keep all classes with weight 0. probabilities [N, K].
/// Throws ValueError for θ outside (0, 1] or rows that do not sum to 1 within 1e-4, ShapeError for another rank.
ShrinkPlan shrink_plan(const Tensor& probabilities, double threshold);

/// The control: no class is removed; every uncertain row counts with weight max p and its largest class.
ShrinkPlan full_space_plan(const Tensor& probabilities, double threshold);

/// Σ_j w_j (−log softmax(logits_j over the kept classes)_target_j) / denominator. The gradient into removed classes is exactly 0.
/// Throws ShapeError for sizes that differ.
Tensor subset_cross_entropy(const Tensor& logits, const Tensor& keep, const Tensor& target, const Tensor& weight, double denominator);

struct ShrinkMatchOptions {
  double threshold = 0.95;
  double lambda = 1;                        ///< λ_u
  bool hard = true;                         ///< targets of L_u: the largest class, or the probabilities
  bool sample_weight = true;                ///< principle 1: w_j = max p_j; else 1
  bool progress_weight = true;              ///< principle 2: ρ; else 1
  double progress_decay = 0.999;            ///< of ρ
  bool shrink = true;                       ///< false: the control in the full class space
  bool auxiliary = true;                    ///< false: L_shrink on the main head
  Alignment alignment = Alignment::none;
};

struct ShrinkMatchTerms {
  Tensor total, supervised, certain, shrink;  ///< scalars; shrink without ρ
  double certain_ratio = 0;                   ///< of this batch
  double mean_removed = 0;                    ///< classes taken out of an uncertain row that is used; 0 if there is none
  double progress = 0;                        ///< ρ
  Tensor weight;                              ///< [N] of every unlabelled row: 1 if certain, w_j else
  Tensor uncertain_weight;                    ///< [N]: w_j, 0 for certain rows
};

/// The objective from logits: labelled [B, K] with labels [B]; strong [N, K] of the main head; auxiliary [N, K] of the strong views;
/// probabilities [N, K] of the weak views, aligned if they are to be, taken as constants. Moves ρ.
ShrinkMatchTerms shrinkmatch_loss(const Tensor& labelled, const Tensor& labels, const Tensor& probabilities, const Tensor& strong,
                                  const Tensor& auxiliary, ScalarEma& progress, const ShrinkMatchOptions& options);

/// Linear(D, D/4) – batch norm – leaky ReLU (0.1) – Linear(D/4, D/4) – batch norm – leaky ReLU – Linear(D/4, K).
struct AuxHead : nn::Module {
  nn::Linear fc1;
  nn::BatchNorm bn1;
  nn::Linear fc2;
  nn::BatchNorm bn2;
  nn::Linear fc3;

  /// Throws ValueError for features < 4.
  AuxHead(int64_t features, int64_t classes);
  AuxHead(Module* parent, std::string name, int64_t features, int64_t classes) : AuxHead(features, classes) {
    join(parent, std::move(name));
  }
  Tensor operator()(const Tensor& features) const;
};

/// The loss of a step for train_semi_supervised: Model has features(images), head(features), auxiliary(features). One forward pass over all
/// views; the auxiliary head sees the strong ones only.
class ShrinkMatch {
 public:
  ShrinkMatch(const ShrinkMatchOptions& options, int64_t classes)
      : options_(options), aligner_(make_aligner(options.alignment, classes)), progress_(options.progress_decay) {}
  template <typename Model>
  SemiStep operator()(Model& model, const SemiBatch& batch, int64_t) {
    Tensor features = model.features(all_views(batch));
    SemiParts logits = split_views(model.head(features), batch);
    Tensor strong = split_views(features, batch).strong.at(0);
    return step(logits, options_.auxiliary ? model.auxiliary(strong) : logits.strong.at(0), batch);
  }
  SemiStep step(const SemiParts& logits, const Tensor& auxiliary, const SemiBatch& batch);
  /// Of the last step.
  const ShrinkMatchTerms& terms() const { return terms_; }

 private:
  ShrinkMatchOptions options_;
  std::vector<DistributionAligner> aligner_;
  ScalarEma progress_;
  ShrinkMatchTerms terms_;
};

}  // namespace plumb::methods::shrinkmatch
