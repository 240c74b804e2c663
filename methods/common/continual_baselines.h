// What every continual method is compared with: joint training, LwF, EWC and replay; ContinualMethod itself is fine-tuning.
#pragma once
#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include "methods/common/anchor.h"
#include "methods/common/continual_losses.h"
#include "methods/common/continual_trainer.h"
#include "methods/common/rehearsal.h"
#include "methods/common/teacher.h"
#include "ops/pointwise.h"
#include "ops/shape.h"

namespace plumb::methods {

/// All parameters but those of the child called "head".
std::vector<nn::NamedTensor> backbone_parameters(const nn::Module& model);

/// Every task from scratch, on the training examples of all tasks so far: the upper bound.
template <typename Model>
class JointTraining : public ContinualMethod<Model> {
 public:
  ContinualExamples examples(const TaskContext& context) override {
    std::vector<ContinualExamples> parts;
    for (size_t t = 0; t <= context.number; ++t) parts.push_back(context.stream.at(t).train);
    return join(parts);
  }
  bool starts_over() const override { return true; }
};

/// A learner that is asked once, when the last task has come, and answers as it started before: joint training where only its end is looked
/// at costs no more than the other methods.
class LearnsAtTheEnd : public ContinualLearner {
 public:
  explicit LearnsAtTheEnd(std::unique_ptr<ContinualLearner> inner) : inner_(std::move(inner)) {}
  void learn(const ContinualStream& stream, size_t t) override {
    stream.at(t);
    if (t + 1 == stream.size()) inner_->learn(stream, t);
  }
  Tensor logits(const Tensor& x, size_t task) override { return inner_->logits(x, task); }

 private:
  std::unique_ptr<ContinualLearner> inner_;
};

/// The distillation term of Lwf: over [0, s), or the mean over the earlier tasks' own outputs in a task stream.
Tensor old_distillation(const Tensor& logits, const Tensor& teacher, const TaskContext& context, double temperature);

struct LwfOptions {
  double weight = 1, temperature = 2;
};
/// Learning without forgetting (Li & Hoiem, ECCV 2016): cross-entropy among the outputs that compete + weight · knowledge_distillation on
/// the old ones from the network of before the task. In task streams each earlier task's outputs are distilled by themselves, and the mean
/// over tasks counts.
template <typename Model>
class Lwf : public ContinualMethod<Model> {
 public:
  explicit Lwf(LwfOptions options = {}) : options_(options) {}
  void begin_task(Model& model, const TaskContext& context) override {
    teacher_.reset();
    if (context.old().size() > 0) teacher_.emplace(model);
  }
  Tensor loss(Model& model, const ContinualExamples& batch, const TaskContext& context) override {
    Tensor logits = model(batch.x), loss = competing_cross_entropy(logits, batch, context);
    if (!teacher_) return loss;
    return loss + old_distillation(logits, (*teacher_)(batch.x), context, options_.temperature) * options_.weight;
  }

 private:
  LwfOptions options_;
  std::optional<FrozenSnapshot<Model>> teacher_;
};

struct ElasticOptions {
  EwcOptions ewc = {.strength = 10};
  FisherLabels labels = FisherLabels::sampled;  ///< of the Fisher diagonal, by each example's gradient
  int64_t examples = 200;                       ///< of the task, for the Fisher diagonal; fewer if it has fewer
  bool head = true;                             ///< the head is held too, not the backbone alone
};
/// Elastic weight consolidation (Kirkpatrick et al., PNAS 2017): cross-entropy among the outputs that compete + Ewc::penalty.
template <typename Model>
class ElasticWeights : public ContinualMethod<Model> {
 public:
  explicit ElasticWeights(ElasticOptions options = {}) : options_(options) {}
  void begin_task(Model& model, const TaskContext&) override {
    if (!ewc_) ewc_.emplace(held(model), options_.ewc);
  }
  Tensor loss(Model& model, const ContinualExamples& batch, const TaskContext& context) override {
    return competing_cross_entropy(model(batch.x), batch, context) + ewc_->penalty();
  }
  void end_task(Model& model, const TaskContext& context) override {
    ContinualExamples some = random_examples(context.task().train, options_.examples, context.generator);
    ClassRange range = context.competing();
    auto among = [&](const std::vector<Tensor>& x) { return std::vector<Tensor>{narrow(model(x[0]), 1, range.begin, range.size())}; };
    ewc_->consolidate(
        estimate_fisher(among, held(model), some.x, some.labels - range.begin,
                        {.labels = options_.labels, .unit = FisherUnit::sample, .batch = 1, .generator = &context.generator}));
  }
  /// `count` of the examples, in random order; all of them if there are fewer.
  static ContinualExamples random_examples(const ContinualExamples& examples, int64_t count, Generator& generator) {
    return examples.at(detail::epoch_batches(examples.size(), std::min(count, examples.size()), generator)[0]);
  }

 private:
  std::vector<nn::NamedTensor> held(const Model& model) const {
    return options_.head ? model.named_parameters() : backbone_parameters(model);
  }
  ElasticOptions options_;
  std::optional<Ewc> ewc_;  // handles to the trainer's network, whose tensors stay the same from task to task
};

/// Experience replay (Chaudhry et al., 2019): every batch is joined by as many examples of a memory, and the loss is the mean over both.
template <typename Model>
class Replay : public ContinualMethod<Model> {
 public:
  explicit Replay(int64_t per_class = 20) : memory_(per_class) {}
  Tensor loss(Model& model, const ContinualExamples& batch, const TaskContext& context) override {
    if (memory_.empty()) return ContinualMethod<Model>::loss(model, batch, context);
    ContinualExamples both = join({batch, memory_.sample(batch.size(), context.generator)});
    return competing_cross_entropy(model(both.x), both, context);
  }
  void end_task(Model&, const TaskContext& context) override { memory_.add(context.task().train, context.generator); }
  const RehearsalMemory& memory() const { return memory_; }

 private:
  RehearsalMemory memory_;
};

}  // namespace plumb::methods
