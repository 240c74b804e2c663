// OVOR: OnePrompt with Virtual Outlier Regularization for Rehearsal-Free Class-Incremental Learning (Huang, Chen, Hsu, ICLR 2024). A frozen
// transformer, one prompt that every task goes on training, and one head. Stage one trains both on the task's own classes; stage two trains
// the head alone, with virtual outliers (vor.h). No example of an earlier task is kept.
//
//   ovor::PromptedVision network(tower, {.kind = ovor::PromptKind::one}, stream.outputs());
//   ContinualTrainOptions training{.epochs = 8, .adam = optim::AdamOptions{.lr = 2e-3}, .schedule = ovor::stage_one_schedule(8, 4)};
//   ovor::OvorOptions options{.epochs = 8, .head_epochs = 4};
//   ContinualTrainer<ovor::PromptedVision> learner(network, training, std::make_unique<ovor::Ovor<ovor::PromptedVision>>(options));
//   ContinualResult result = run_continual(learner, stream);
#pragma once
#include <memory>

#include "engine/autograd/grad_mode.h"
#include "methods/common/continual_trainer.h"
#include "methods/common/local_logits.h"
#include "methods/continual/ovor/prompts.h"
#include "methods/continual/ovor/vor.h"
#include "models/transformer/vision.h"
#include "ops/join.h"
#include "ops/pointwise.h"

namespace plumb::methods::ovor {

/// A batch's features, and what the choice of prompts adds to the loss (undefined: nothing).
struct PromptedFeatures {
  Tensor features, key_loss;
};

/// z = the class token of a frozen tower with prompts before some blocks' keys and values; logits = head(z), for all classes. Copies share
/// the tower, which is no child: the parameters are prompts and head.
class PromptedVision : public nn::Module {
 public:
  /// Takes a frozen copy of the tower. Throws ValueError for a prompt in a block that the tower does not have.
  PromptedVision(const transformer::VisionTransformer& tower, const PromptOptions& options, int64_t outputs);
  /// z without prompts [B, width], outside the graph.
  Tensor query(const Tensor& images) const;
  /// z [B, width]; without prompts before the first task began. A `query` that is known already saves a pass.
  PromptedFeatures prompted(const Tensor& images, const Tensor& query = {}) const;
  Tensor features(const Tensor& images) const { return prompted(images).features; }
  Tensor operator()(const Tensor& images) const { return head(features(images)); }

  Prompts prompts;
  nn::Linear head;

 private:
  std::shared_ptr<const transformer::VisionTransformer> tower_;
};

struct OvorOptions {
  int64_t epochs = 8;       ///< E1: the trainer's
  int64_t head_epochs = 4;  ///< E2; 0: stage one alone
  bool local = true;        ///< stage one: classes of the task compete among themselves; else with all seen so far
  VorOptions vor = {};
  /// Throws ValueError for epochs < 1 or head_epochs < 0, and as VorOptions::check.
  void check() const;
};

/// For ContinualTrainOptions::schedule: task_schedule(epochs + head_epochs), an epoch after the other.
std::function<optim::Schedule(int64_t steps)> stage_one_schedule(int64_t epochs, int64_t head_epochs);

/// Stage two on stored features: head_epochs times vor_epoch, with the rates that task_schedule has left.
void stage_two(nn::Linear& head, const Tensor& features, const Tensor& labels, ClassRange classes, optim::Optimizer& optimizer,
               const OvorOptions& options, Generator& generator);

/// OVOR for any network with features(x) and a linear head over all classes: with a PromptedVision it is the paper's, with head_epochs = 0
/// OnePrompt or a pool; with another network all of it is trained in stage one.
template <typename Model>
class Ovor : public ContinualMethod<Model> {
 public:
  explicit Ovor(const OvorOptions& options = {}) : options_((options.check(), options)) {}
  void begin_task(Model& model, const TaskContext& context) override {
    if constexpr (requires { model.prompts; }) model.prompts.begin_task(static_cast<int64_t>(context.number), context.generator);
  }
  Tensor loss(Model& model, const ContinualExamples& batch, const TaskContext& context) override {
    ClassRange among = options_.local ? context.own() : context.competing();
    PromptedFeatures out;
    if constexpr (requires { model.prompted(batch.x); })
      out = model.prompted(batch.x);
    else
      out.features = model.features(batch.x);
    Tensor loss = local_cross_entropy(model.head(out.features), batch.labels, among.begin, among.end);
    return out.key_loss.defined() ? loss + out.key_loss : loss;
  }
  void end_task(Model& model, const TaskContext& context) override {
    if (options_.head_epochs == 0) return;
    const ContinualExamples& train = context.task().train;
    stage_two(model.head, features_of(model, train.x), train.labels, context.own(), *context.optimizer, options_, context.generator);
  }
  /// The features of many examples, outside the graph.
  static Tensor features_of(const Model& model, const Tensor& x, int64_t batch = 256) {
    NoGrad off;
    std::vector<Tensor> parts;
    for (const Tensor& part : split(x, batch)) parts.push_back(model.features(part));
    return cat(parts);
  }
  const OvorOptions& options() const { return options_; }

 private:
  OvorOptions options_;
};

}  // namespace plumb::methods::ovor
