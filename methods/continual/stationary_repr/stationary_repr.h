// Stationary representations (Biondi et al., CVPR 2024): features that stay comparable while the network behind them is trained on or
// replaced.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "engine/autograd/grad_mode.h"
#include "methods/common/continual_baselines.h"
#include "methods/common/rehearsal.h"
#include "methods/common/teacher.h"
#include "methods/continual/stationary_repr/simplex.h"
#include "models/nn/linear.h"
#include "ops/loss.h"

namespace plumb::methods::stationary_repr {

/// What examples of one's own class count in the sum over the batch.
enum class SameClass : uint8_t {
  left_out,  ///< nothing
  as_zero,   ///< e⁰ each, oneself too, as in the published code
};

struct HocOptions {
  double mu = 10;
  SameClass same = SameClass::left_out;
};

/// Higher-order compatibility of new features z [B, d] with the previous model's z' of the same examples, in decoupled contrastive form:
///   (1/B) Σ_i [ −s_ii + log Σ_{j: y_j ≠ y_i} e^{s_ij} ],     s_ij = μ ⟨z'_i / ‖z'_i‖, z_j / ‖z_j‖⟩                              (eq. 4)
/// A row without another class in the batch has −s_ii alone. labels i64 [B]; no gradient to z'. Throws ShapeError where sizes differ,
/// ValueError for a feature vector of length 0 or a μ that is not positive.
Tensor higher_order_compatibility(const Tensor& features, const Tensor& previous, const Tensor& labels, const HocOptions& options = {});

/// λ cross_entropy(classifier(z), rows) + (1 − λ) higher_order_compatibility(z, z', rows)                                          (eq. 3)
/// `rows` are the classifier's rows of the examples. With λ = 1 the previous features are not read and may be undefined. Throws ValueError
/// for λ outside [0, 1].
Tensor compatible_loss(const FixedClassifier& classifier, const Tensor& features, const Tensor& previous, const Tensor& rows, double lambda,
                       const HocOptions& options = {});

enum class Head : uint8_t { simplex, learnable };
/// What holds the features to those of before the task.
enum class Tie : uint8_t {
  none,
  contrast,  ///< λ CE + (1 − λ) HOC
  distance,  ///< CE + weight · mean squared difference
};

struct CompatibleOptions {
  Head head = Head::simplex;
  int64_t slots = 1024;  ///< K, classes that the simplex has room for
  Tie tie = Tie::contrast;
  double lambda = 0.1;
  HocOptions hoc = {};
  double distance_weight = 1;
  bool keep_head =
      false;  ///< at a replacement the model's own head stays, and with it where learned classes lie; else it comes with the network
  int64_t per_class = 20;  ///< stored examples of each class
  bool tie_first = true;   ///< the first task is held to the start, too: where the start is pre-trained
  /// Throws ValueError for a λ outside [0, 1] or a negative weight.
  void check() const;
};

/// d-Simplex-HOC in the trainer of continual learning, and with other options its baselines (experience replay is a learnable head without
/// tie). Every batch is joined by as many stored examples. Where a replacement is given for a task, the network becomes it first, and the
/// task's training is held to it. The features are model.features(x), or, if their width (the head's) is not K − 1, a
/// linear map of them without bias that belongs to the method. The simplex does not train the model's own head.
template <typename Model>
class CompatibleTraining : public ContinualMethod<Model> {
 public:
  using Replacement = std::function<const Model*(size_t task)>;
  explicit CompatibleTraining(const CompatibleOptions& options, Replacement replacement = {})
      : options_((options.check(), options)), replacement_(std::move(replacement)), memory_(options.per_class) {
    if (options.head == Head::simplex) classifier_.emplace(options.slots);
  }

  std::vector<Tensor> trained(Model& model, const TaskContext&) override {
    if (!classifier_) return model.parameters();
    std::vector<Tensor> all;
    for (nn::NamedTensor& p : backbone_parameters(model)) all.push_back(p.tensor);
    if (projection_) all.push_back(projection_->weight);
    return all;
  }

  void begin_task(Model& model, const TaskContext& context) override {
    if (classifier_) classifier_->check_room(0, context.stream.outputs());
    if (const Model* other = replacement_ ? replacement_(context.number) : nullptr) take_place(model, *other);
    make_projection(model);
    previous_.reset();
    if (options_.tie != Tie::none && (context.number > 0 || options_.tie_first))
      previous_.emplace(Previous{FrozenSnapshot<Model>(model), projection_});
  }

  Tensor loss(Model& model, const ContinualExamples& batch, const TaskContext& context) override {
    ContinualExamples both = memory_.empty() ? batch : join({batch, memory_.sample(batch.size(), context.generator)});
    Tensor features = model.features(both.x), z = projected(features, projection_), before;
    if (previous_) before = previous_->embed(both.x);
    Tensor class_loss = classifier_ ? cross_entropy((*classifier_)(z), classifier_->local_rows(both.labels))
                                    : competing_cross_entropy(model.head(features), both, context);
    if (!before.defined()) return class_loss;
    if (options_.tie == Tie::distance) return class_loss + feature_distillation(z, before) * options_.distance_weight;
    return class_loss * options_.lambda + higher_order_compatibility(z, before, both.labels, options_.hoc) * (1 - options_.lambda);
  }

  void end_task(Model&, const TaskContext& context) override { memory_.add(context.task().train, context.generator); }

  Tensor logits(Model& model, const Tensor& x, size_t) override {
    make_projection(model);
    return classifier_ ? classifier_->local_logits(embed(model, x)) : model(x);
  }

  /// What galleries and queries hold, once a task was begun or logits were asked for.
  Tensor embed(const Model& model, const Tensor& x) const { return projected(model.features(x), projection_); }
  const RehearsalMemory& memory() const { return memory_; }
  const std::optional<FixedClassifier>& classifier() const { return classifier_; }

 private:
  void make_projection(const Model& model) {
    int64_t width = model.head.weight.size(1);
    if (classifier_ && !projection_ && width != classifier_->width())
      projection_.emplace(width, classifier_->width(), nn::LinearOptions{.bias = false});
  }
  static Tensor projected(const Tensor& features, const std::optional<nn::Linear>& projection) {
    return projection ? (*projection)(features) : features;
  }
  void take_place(Model& model, const Model& other) const {
    StateDict state = other.state();
    if (options_.keep_head) std::erase_if(state, [](const auto& entry) { return entry.first.starts_with("head."); });
    model.load_state(state, false);
  }

  struct Previous {
    FrozenSnapshot<Model> model;
    std::optional<nn::Linear> projection;  // a copy
    Tensor embed(const Tensor& x) const {
      NoGrad no_grad;
      return projected(model.model().features(x), projection);
    }
  };
  CompatibleOptions options_;
  Replacement replacement_;
  RehearsalMemory memory_;
  std::optional<FixedClassifier> classifier_;
  std::optional<nn::Linear> projection_;
  std::optional<Previous> previous_;
};

}  // namespace plumb::methods::stationary_repr
