// Continual learning without stored data: distillation of predictions or features, L2 and EWC to earlier weights, and their combinations
// (Smith, Tian, Halbe, Hsu & Kira, A Closer Look at Rehearsal-Free Continual Learning, CVPR Workshops 2023).
#pragma once
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "engine/autograd/grad_mode.h"
#include "methods/common/anchor.h"
#include "methods/common/continual_baselines.h"
#include "methods/common/continual_trainer.h"
#include "methods/common/teacher.h"
#include "ops/pointwise.h"

namespace plumb::methods::rehearsal_free {

/// scale · mean over batch and classes [begin, end) of the binary cross-entropy of σ(z_c), the target 1 for the label and 0 for the others:
/// with begin = s the local loss, with begin = 0 the global one, which pushes old outputs down. logits [B, C], labels i64 [B] in the range.
/// Throws ValueError for a range that is empty or not among the outputs, IndexError for a label outside it.
Tensor multilabel_loss(const Tensor& logits, const Tensor& labels, int64_t begin, int64_t end, double scale = 5);

/// PredKD, "LwF.MC": as multilabel_loss over [0, end), but with σ(teacher's z_c) as the targets of old classes c < s. The teacher [B, C'],
/// s ≤ C' ≤ C, gets no gradient; it may be undefined in the first task, where s = 0. Throws ValueError for a teacher without old classes
/// or old classes without a teacher, ShapeError for one with more outputs than the student or fewer than s.
Tensor multilabel_lwf_loss(const Tensor& logits, const Tensor& teacher, const Tensor& labels, int64_t s, int64_t end, double scale = 5);

/// Of what the Fisher diagonal of EWC is made here: the multilabel loss over the task's own classes.
struct MultilabelFisherOptions {
  FisherLabels labels = FisherLabels::given;  ///< or pseudo (the largest output), or sampled (each output by its own σ(z_c))
  FisherUnit unit = FisherUnit::batch;        ///< batch: B g² for the gradient g of a batch's mean loss; sample: g² of each example
  int64_t batch = 64;
  double scale = 5;                ///< enters the diagonal squared
  int64_t examples = 0;            ///< the first so many of those given; 0: all
  double largest = 0;              ///< importances above are cut to it, so that a stiff penalty cannot diverge; 0: none are
  Generator* generator = nullptr;  ///< of sampled labels
};
/// F = (1/Q) Σ_q B_q g_q², g_q the gradient of multilabel_loss on batch q of B_q examples (1 for FisherUnit::sample), f the model's logits.
/// Throws ValueError for expected labels, which no sum over classes gives here, and as estimate_fisher does.
FisherDiagonal multilabel_fisher(const TensorFunction& model, std::vector<nn::NamedTensor> parameters, const ContinualExamples& examples,
                                 ClassRange range, const MultilabelFisherOptions& options = {});

/// The loss of a batch that a regulariser is added to. [0, s) are the old classes, [s, e) the task's.
enum class Classification : uint8_t {
  predkd,             ///< multilabel_lwf_loss
  local_bce,          ///< multilabel_loss on [s, e)
  global_bce,         ///< multilabel_loss on [0, e)
  softmax,            ///< cross-entropy on [0, e)
  softmax_distilled,  ///< that + knowledge_distillation on [0, s)
  local_softmax,      ///< cross-entropy on [s, e): FT++
};
enum class Regulariser : uint8_t {
  none,
  features,     ///< FeatKD: weight · feature_distillation, from the first task on (to the starting weights)
  l2,           ///< weight · Σ_j (θ_j − a_j)², a the weights of before the first task, then of after each; from the first task on
  l2_later,     ///< the same from the second task on
  ewc,          ///< ½ weight · Σ_j F_j (θ_j − a_j)², F summed over the tasks, from the second task on
  l2_then_ewc,  ///< L2 with `l2_weight` in the first task, EWC afterwards
  freeze,       ///< the backbone is not trained: the limit of an infinite weight
};

struct RehearsalFreeOptions {
  Classification classification = Classification::predkd;
  Regulariser regulariser = Regulariser::l2;
  double weight = 0.05;     ///< of the regulariser; the released code's are 0.05 (L2), 10 (EWC) and 5 (FeatKD)
  double l2_weight = 0.05;  ///< of the first task under l2_then_ewc
  double scale = 5;         ///< of the multilabel losses
  double temperature = 2;   ///< of softmax_distilled
  MultilabelFisherOptions fisher = {};
  /// Which parameters L2 and EWC hold; none: all but the head's, which is never held. Say, those of attention.
  std::function<bool(const std::string& name)> held = {};
  bool freeze_others = false;  ///< parameters that are neither held nor the head's are not trained
};
/// Throws ValueError for a negative weight, a scale or temperature that is not positive.
void check(const RehearsalFreeOptions& options);

/// The classification loss from what the networks gave. `teacher` is undefined before the second task.
Tensor classification_loss(const RehearsalFreeOptions& options, const Tensor& logits, const Tensor& teacher, const Tensor& labels,
                           ClassRange own);

/// The method for the continual trainer. Streams of classes or tasks.
template <typename Model>
class RehearsalFree : public ContinualMethod<Model> {
 public:
  explicit RehearsalFree(RehearsalFreeOptions options = {}) : o_(std::move(options)) { check(o_); }

  std::vector<Tensor> trained(Model& model, const TaskContext&) override {
    if (o_.regulariser != Regulariser::freeze && !o_.freeze_others) return model.parameters();
    std::vector<Tensor> out;
    for (nn::NamedTensor& p : model.named_parameters())
      if (p.name.starts_with("head.") || (o_.freeze_others && o_.held && o_.held(p.name))) out.push_back(p.tensor);
    return out;
  }

  void begin_task(Model& model, const TaskContext& context) override {
    bool later = context.old().size() > 0;
    bool distilled = o_.classification == Classification::predkd || o_.classification == Classification::softmax_distilled;
    teacher_.reset();
    if (o_.regulariser == Regulariser::features || (distilled && later)) teacher_.emplace(model);
    if (!ewc_) ewc_.emplace(held_parameters(model), EwcOptions{.strength = elastic() ? o_.weight : 0, .online = true, .decay = 1});
    // The weights as they are: before the first task the start, afterwards those after the latest task.
    double l2 = later ? (o_.regulariser == Regulariser::l2 || o_.regulariser == Regulariser::l2_later ? o_.weight : 0)
                      : (o_.regulariser == Regulariser::l2            ? o_.weight
                         : o_.regulariser == Regulariser::l2_then_ewc ? o_.l2_weight
                                                                      : 0);
    anchor_ = l2 > 0 ? QuadraticAnchor::to_current(held_parameters(model), l2) : QuadraticAnchor();
  }

  Tensor loss(Model& model, const ContinualExamples& batch, const TaskContext& context) override {
    Tensor features = features_of(model, batch.x), logits = model.head(features), teacher_features, teacher_logits;
    if (teacher_) {
      NoGrad off;
      teacher_features = teacher_->model().features(batch.x);
      teacher_logits = teacher_->model().head(teacher_features);
    }
    Tensor loss = classification_loss(o_, logits, context.old().size() > 0 ? teacher_logits : Tensor(), batch.labels, context.own());
    if (o_.regulariser == Regulariser::features && o_.weight > 0)
      loss = loss + feature_distillation(features, teacher_features) * o_.weight;
    if (anchor_.weight() > 0) loss = loss + anchor_.penalty();
    if (elastic() && o_.weight > 0 && !ewc_->anchors().empty()) loss = loss + ewc_->penalty();
    return loss;
  }

  void end_task(Model& model, const TaskContext& context) override {
    teacher_.reset();
    if (!elastic()) return;
    MultilabelFisherOptions fisher = o_.fisher;
    fisher.scale = o_.scale;
    fisher.generator = &context.generator;
    model.eval();
    auto logits = [&](const std::vector<Tensor>& x) { return std::vector<Tensor>{model(x[0])}; };
    ewc_->consolidate(multilabel_fisher(logits, held_parameters(model), context.task().train, context.own(), fisher));
  }

  /// What EWC holds on to so far: none, or one anchor at the latest weights.
  const Ewc& ewc() const { return *ewc_; }

 private:
  bool elastic() const { return o_.regulariser == Regulariser::ewc || o_.regulariser == Regulariser::l2_then_ewc; }
  std::vector<nn::NamedTensor> held_parameters(const Model& model) const {
    std::vector<nn::NamedTensor> out;
    for (nn::NamedTensor& p : backbone_parameters(model))
      if (!o_.held || o_.held(p.name)) out.push_back(std::move(p));
    return out;
  }
  Tensor features_of(Model& model, const Tensor& x) const {
    if (o_.regulariser != Regulariser::freeze) return model.features(x);
    NoGrad off;  // a frozen backbone needs no gradient
    return model.features(x);
  }

  RehearsalFreeOptions o_;
  std::optional<FrozenSnapshot<Model>> teacher_;
  QuadraticAnchor anchor_;
  std::optional<Ewc> ewc_;
};

}  // namespace plumb::methods::rehearsal_free
