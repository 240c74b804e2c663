// Machine unlearning: a model trained on S is to become one that was trained without the forget set F. The task, and ways to fine-tune.
//
// A model is anything that gives logits; with an axis in front ([P, n, C], mlp::MlpPopulation) P models unlearn at once, each as if alone:
// losses are means over examples and sums over what stands before them.
#pragma once
#include <cstdint>
#include <functional>
#include <vector>

#include "engine/core/generator.h"
#include "engine/core/tensor.h"

namespace plumb::methods {

/// The training set and which of its examples are to be forgotten.
struct UnlearningTask {
  Tensor x, labels;                     ///< [n, ..], i64 [n]
  std::vector<int64_t> forget, retain;  ///< places, ascending as given

  /// `retain` empty: all that are not in F. Throws ShapeError unless x and labels have one length; ValueError where the forget set is
  /// empty, is everything, repeats an example, or meets the retain set; IndexError for a place outside [0, n).
  UnlearningTask(Tensor x, Tensor labels, std::vector<int64_t> forget, std::vector<int64_t> retain = {});
  int64_t size() const { return labels.numel(); }
};

/// What is fine-tuned, in place.
struct UnlearningModel {
  std::function<Tensor(const Tensor& x)> logits;  ///< [b, ..] → [.., b, C]
  std::vector<Tensor> parameters;
};

/// The loss of each example, [.., b], of logits [.., b, C] and labels i64 [b].
using ExampleLoss = std::function<Tensor(const Tensor& logits, const Tensor& labels)>;

struct UnlearningOptions {
  double lr = 0.01, momentum = 0, weight_decay = 0;  ///< SGD
  int64_t epochs = 10;
  int64_t batch = 0;          ///< examples a step; 0: all at once, so that an epoch is a step
  int64_t retain_sample = 0;  ///< examples of R, drawn anew for each epoch; 0: all. Ascent does not read it
  int64_t ascent_epochs = 3;  ///< the first so many of ascent_descent and scrub begin with an epoch of ascent on F
  double temperature = 4, cross_entropy_weight = 0.99, kl_weight = 0.1;  ///< scrub
  std::vector<int64_t> decay_after = {3, 5, 9};                          ///< scrub: the rate is divided by 10 after these epochs
  ExampleLoss loss = {};                                                 ///< undefined: cross-entropy
  Generator* generator = nullptr;                                        ///< of batches and samples; the thread's own if null
  /// Called after epoch 1, 2, … with the gradients of single examples that were computed a model so far: its cost.
  std::function<void(int64_t epoch, int64_t gradients)> after_epoch = {};
  void check() const;  ///< throws ValueError naming what is out of range
};

// Each returns its cost: how many gradients of single examples were computed a model.

/// Goes on with the loss on R.
int64_t retain_finetune(const UnlearningModel& model, const UnlearningTask& task, const UnlearningOptions& options);
/// Makes the loss on F larger.
int64_t gradient_ascent(const UnlearningModel& model, const UnlearningTask& task, const UnlearningOptions& options);
/// Each epoch: ascent on F (the first ascent_epochs of them), then descent on R.
int64_t ascent_descent(const UnlearningModel& model, const UnlearningTask& task, const UnlearningOptions& options);
/// SCRUB (Kurmanji et al., NeurIPS 2023): ascent makes T² KL(teacher ‖ student) at temperature T larger on F; descent lowers
/// 0.99 CE + 0.1 T² KL on R. The teacher is the model as it was; it is the student that moves.
int64_t scrub(const UnlearningModel& model, const UnlearningTask& task, const UnlearningOptions& options);
/// Minimises matching_loss on F and R' (retain_sample of R, drawn anew for each epoch): targets [.., n, C] for all n examples of the task,
/// of the models' own leading dimensions. Throws ShapeError for targets of other examples.
int64_t oracle_matching(const UnlearningModel& model, const UnlearningTask& task, const Tensor& targets, const UnlearningOptions& options);

/// mean_x ‖f_x − h_x‖² over examples, summed over leading dimensions: logits and targets [.., b, C]; no gradient through the targets.
/// Throws ShapeError for unequal shapes.
Tensor matching_loss(const Tensor& logits, const Tensor& targets);
/// T² KL(softmax(teacher / T) ‖ softmax(student / T)) an example: [.., b, C] → [.., b]; the teacher is a constant.
Tensor distillation_kl(const Tensor& student, const Tensor& teacher, double temperature);

}  // namespace plumb::methods
