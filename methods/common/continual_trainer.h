// The trainer of continual learning: one training loop for every task of a stream, into which a method puts its loss and what it does
// before and after a task. Fine-tuning, joint training, LwF, EWC and replay, the baselines of all methods: continual_baselines.h.
#pragma once
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "methods/common/continual.h"
#include "models/nn/norm.h"
#include "models/optim/adam.h"
#include "models/optim/schedule.h"
#include "models/optim/sgd.h"

namespace plumb::methods {

/// The task that a method is at.
struct TaskContext {
  const ContinualStream& stream;
  size_t number;                          ///< from 0
  Generator& generator;                   ///< for what the method draws; the order of the batches does not depend on it
  optim::Optimizer* optimizer = nullptr;  ///< the task's, from its first batch on
  int64_t step = 0, steps = 0;            ///< steps made, the one that ends included, of how many in this task

  const ContinualTask& task() const { return stream.at(number); }
  ClassRange own() const { return task().classes; }
  /// Outputs of earlier tasks, [0, s); empty in the first.
  ClassRange old() const { return stream.old(number); }
  /// Outputs among which this task's examples compete at a test: [0, e) in class streams, own() in task streams, all in domain streams.
  ClassRange competing() const { return stream.judged(number, number); }
};

/// Mean cross-entropy of a batch, each example among the outputs it competes with at a test: local_cross_entropy over
/// context.competing() where all are of one range, ranged_cross_entropy where a task stream's batch has examples of several tasks.
Tensor competing_cross_entropy(const Tensor& logits, const ContinualExamples& batch, const TaskContext& context);

/// What a method adds to the trainer, for networks with `Tensor features(x)`, a linear `head` and `Tensor operator()(x)`, all const. As it
/// is: fine-tuning.
template <typename Model>
class ContinualMethod {
 public:
  virtual ~ContinualMethod() = default;
  /// What is trained on: the task's examples.
  virtual ContinualExamples examples(const TaskContext& context) { return context.task().train; }
  /// Every task is trained from the start of the first, not from the end of the one before.
  virtual bool starts_over() const { return false; }
  /// What the optimiser, a new one each task, is given.
  virtual std::vector<Tensor> trained(Model& model, const TaskContext& context) {
    (void)context;
    return model.parameters();
  }
  /// Before the optimiser is made.
  virtual void begin_task(Model& model, const TaskContext& context) { (void)model, (void)context; }
  /// The loss of a batch, a scalar of the graph.
  virtual Tensor loss(Model& model, const ContinualExamples& batch, const TaskContext& context) {
    return competing_cross_entropy(model(batch.x), batch, context);
  }
  /// With the batch's gradients, before and after the optimiser uses them.
  virtual void before_step(Model& model, const TaskContext& context) { (void)model, (void)context; }
  virtual void after_step(Model& model, const TaskContext& context) { (void)model, (void)context; }
  /// With the network as it was left, for importances, memories, a second stage.
  virtual void end_task(Model& model, const TaskContext& context) { (void)model, (void)context; }
  /// Logits [n, outputs] at a test; a method of task streams may look at the task's number.
  virtual Tensor logits(Model& model, const Tensor& x, size_t task) {
    (void)task;
    return model(x);
  }
};

struct ContinualTrainOptions {
  int64_t epochs = 4, batch = 64;
  optim::SgdOptions sgd = {.lr = 0.05, .momentum = 0.9, .weight_decay = 2e-4};
  std::optional<optim::AdamOptions> adam = {};                   ///< in place of SGD
  bool decay_vectors = true;                                     ///< weight decay on biases and norms too, all parameters of rank 1
  std::function<optim::Schedule(int64_t steps)> schedule = {};   ///< of the rate within a task of so many steps; none: constant
  double clip = 0;                                               ///< the longest a step's gradient may be over all that is trained; 0: any
  bool freeze_norms = true;                                      ///< batch norms in evaluation mode: the statistics they came with stay
  uint64_t seed = 0;                                             ///< of batches and of what methods draw
  std::function<void(size_t task, double share)> progress = {};  ///< after each epoch
};

/// Weights of convolutions and linear layers normal with variance 2 / fan_in (1 / fan_in for the head), biases 0: the start of a network
/// whose norms are frozen from the beginning, and so are none.
void start_without_norms(nn::Module& model, Generator& generator = default_generator());

namespace detail {
/// The optimiser of one task.
std::unique_ptr<optim::Optimizer> continual_optimizer(std::vector<Tensor> parameters, const ContinualTrainOptions& options);
/// The batches of one epoch: all places in random order, the last batch with what is left.
std::vector<Tensor> epoch_batches(int64_t examples, int64_t batch, Generator& order);
/// Throws ValueError for less than one epoch or example a batch, or a negative clip.
void check(const ContinualTrainOptions& options);
}  // namespace detail

/// A learner by gradient descent. Batches depend on seed, task and epoch alone, so that methods with one seed see the same.
template <typename Model>
class ContinualTrainer : public ContinualLearner {
 public:
  /// A copy of `start` learns. Without a method: fine-tuning.
  explicit ContinualTrainer(const Model& start, ContinualTrainOptions options = {}, std::unique_ptr<ContinualMethod<Model>> method = {})
      : start_(start),
        model_(start),
        options_(std::move(options)),
        method_(std::move(method)),
        draws_(data::mix(options_.seed, 0x64726177)) {
    detail::check(options_);
    if (!method_) method_ = std::make_unique<ContinualMethod<Model>>();
  }

  void learn(const ContinualStream& stream, size_t t) override {
    stream.at(t);  // or there are no classes left
    if (method_->starts_over()) model_ = start_;
    TaskContext context{stream, t, draws_};
    training_mode();
    method_->begin_task(model_, context);
    ContinualExamples examples = method_->examples(context);
    auto optimizer = detail::continual_optimizer(method_->trained(model_, context), options_);
    context.optimizer = optimizer.get();
    context.steps = options_.epochs * ((examples.size() + options_.batch - 1) / options_.batch);
    optim::Schedule rate = options_.schedule ? options_.schedule(context.steps) : optim::Schedule();
    Generator order(data::mix(data::mix(options_.seed, 0x6f72646572), t));
    for (int64_t epoch = 0; epoch < options_.epochs; ++epoch) {
      for (const Tensor& places : detail::epoch_batches(examples.size(), options_.batch, order)) {
        if (rate) optimizer->set_lr_scale(rate(context.step));
        optimizer->zero_grad();
        method_->loss(model_, examples.at(places), context).backward();
        method_->before_step(model_, context);
        optimizer->step();
        ++context.step;
        method_->after_step(model_, context);
      }
      if (options_.progress) options_.progress(t, static_cast<double>(epoch + 1) / static_cast<double>(options_.epochs));
    }
    method_->end_task(model_, context);
  }

  Tensor logits(const Tensor& x, size_t task) override {
    model_.eval();
    return method_->logits(model_, x, task);
  }

  Model& model() { return model_; }
  ContinualMethod<Model>& method() { return *method_; }

 private:
  void training_mode() {
    model_.train();
    if (!options_.freeze_norms) return;
    model_.apply([](nn::Module& m) {
      if (auto* norm = dynamic_cast<nn::BatchNorm*>(&m)) norm->eval();
    });
  }

  Model start_, model_;
  ContinualTrainOptions options_;
  std::unique_ptr<ContinualMethod<Model>> method_;
  Generator draws_;
};

}  // namespace plumb::methods
