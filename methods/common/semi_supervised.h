// Few labels, many images without: the data, their batches of weak and strong views, and the trainer that all semi-supervised methods
// and their baselines share. A method says what the loss of a batch is; everything else is the same for all.
#pragma once
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/autograd/grad_mode.h"
#include "engine/data/dataset.h"
#include "methods/common/pseudo_labels.h"
#include "models/augment/rand_augment.h"
#include "models/nn/module.h"
#include "models/optim/adam.h"
#include "models/optim/ema.h"
#include "models/optim/schedule.h"
#include "models/optim/sgd.h"

namespace plumb::methods {

/// Images f32 [n, C, H, W] and labels i64 [n].
struct SemiData {
  Tensor labelled, labels;
  Tensor unlabelled, truth;  ///< the truth is for measuring only
  Tensor test, test_labels;
  int64_t classes = 0;
};
/// Draws `per_class` labelled examples of every class from `train`; the others are unlabelled, or all of them (with_labelled).
/// Throws ValueError if a class has fewer, or per_class < 1.
SemiData semi_split(const data::Dataset& train, const data::Dataset& test, int64_t per_class, Generator& generator,
                    bool with_labelled = false);

/// A step's examples.
struct SemiBatch {
  Tensor labelled, labels, labelled_index;  ///< [B, ..], weak view; [B]; place among the labelled
  Tensor weak;                              ///< [μB, ..]
  std::vector<Tensor> strong;               ///< views of the same images, each [μB, ..]
  Tensor unlabelled_index, truth;           ///< [μB]; place among the unlabelled
};

struct SemiBatchOptions {
  int64_t batch = 16;                       ///< labelled examples, B
  int64_t ratio = 7;                        ///< unlabelled ones for each, μ; 0: none
  int strong_views = 1;
  augment::View weak = augment::shift_view();
  augment::View strong = augment::rand_augment_view(augment::small_digits_policy(), augment::shift_view());
  bool strong_labelled = false;             ///< the strong view for labelled examples too
  uint64_t seed = 0;
};

/// Endless batches: labelled and unlabelled examples each in random order, again and again without gaps. They depend on data, options and
/// the number of calls alone, so that variants with one seed see the same; labelled ones do not depend on the ratio.
class SemiBatcher {
 public:
  /// Throws ValueError for a batch < 1, a ratio or number of views < 0.
  SemiBatcher(const SemiData& data, SemiBatchOptions options);
  SemiBatch next();

 private:
  struct Order {  // an endless sequence of places
    int64_t size;
    Generator generator;
    std::vector<int64_t> order = {};
    size_t at = 0;
    Tensor take(int64_t count);
  };
  const SemiData& data_;
  SemiBatchOptions options_;
  Order labelled_, unlabelled_;
  Generator labelled_views_, unlabelled_views_;
};

struct SemiTrainOptions {
  int64_t steps = 1500;
  optim::SgdOptions sgd = {.lr = 0.03, .momentum = 0.9, .weight_decay = 5e-4, .nesterov = true};
  bool decay_vectors = false;               ///< weight decay on biases and norms too
  std::optional<optim::AdamOptions> adam = {};  ///< Adam at a constant rate in place of SGD
  optim::Schedule schedule = {};            ///< of the learning rate; empty: cos(7πt / 16T) for SGD, constant for Adam
  double ema = 0.99;                        ///< of the weights that are evaluated
  optim::EmaBuffers buffers = optim::EmaBuffers::copy;
  int64_t evaluate_every = 100;
};

/// What a batch came to. Undefined weights: no unlabelled example was used.
struct SemiStep {
  Tensor loss;
  Tensor weight, label;       ///< [μB]: how much each unlabelled example counted, and as what
  double certain = 0;         ///< share of the unlabelled examples above the threshold
};

/// What is known every `evaluate_every` steps.
struct SemiProgress {
  int64_t step = 0;
  double accuracy = 0;        ///< on the test set, of the averaged weights, in %
  double certain = 0;         ///< means since the last time, in %
  double used = 0;            ///< share of the unlabelled examples with a weight above 0, in %
  double label_accuracy = 0;  ///< of the used ones' labels, in %; NaN if none was used
};

/// Parameters in two groups: those that decay (rank 2 and more) and those that do not (biases, norms).
std::vector<optim::Group<optim::SgdOptions>> decay_groups(const nn::Module& model, optim::SgdOptions options, bool decay_vectors = false);
/// SGD, or Adam, of all of the model's parameters.
std::unique_ptr<optim::Optimizer> make_optimizer(const nn::Module& model, const SemiTrainOptions& options);
/// Share of logits [n, C] whose largest is the label, in %.
double accuracy_percent(const Tensor& logits, const Tensor& labels);

/// Trains `model` (a module from images to logits) for the steps of `options`, and hands back the averaged weights.
/// loss(model, batch, step) → SemiStep; listen(SemiProgress) is called as options say and after the last step.
template <typename Model, typename Loss, typename Listen>
optim::Ema<Model> train_semi_supervised(Model& model, const SemiData& data, SemiBatcher batches, const SemiTrainOptions& options,
                                        Loss&& loss, Listen&& listen) {
  optim::Ema<Model> average(model, {.decay = options.ema, .buffers = options.buffers});
  std::unique_ptr<optim::Optimizer> optimizer = make_optimizer(model, options);
  optim::Schedule schedule = options.schedule ? options.schedule : options.adam ? optim::constant() : optim::cosine_7_16(options.steps);
  UtilisationMeter meter;
  double certain = 0;
  int64_t since = 0;
  model.train();
  for (int64_t step = 0; step < options.steps; ++step) {
    SemiBatch batch = batches.next();
    optimizer->set_lr_scale(schedule(step));
    optimizer->zero_grad();
    SemiStep result = loss(model, batch, step);
    result.loss.backward();
    optimizer->step();
    average.update(model);
    if (result.weight.defined()) meter.add(result.weight, result.label, batch.truth);
    certain += result.certain;
    ++since;
    if ((step + 1) % options.evaluate_every != 0 && step + 1 != options.steps) continue;
    NoGrad no_grad;
    average.model.eval();
    listen(SemiProgress{step + 1, accuracy_percent(average.model(data.test), data.test_labels), 100 * certain / static_cast<double>(since),
                        100 * meter.used(), 100 * meter.accuracy()});
    meter.reset();
    certain = 0;
    since = 0;
  }
  average.model.eval();
  return average;
}

/// The parts of one forward pass over labelled, weak and strong views together, so that batch norm sees all of them: f(images) → [rows,
/// ..].
struct SemiParts {
  Tensor labelled, weak;
  std::vector<Tensor> strong;
};
/// Splits rows that were computed for all_views(batch).
Tensor all_views(const SemiBatch& batch);
SemiParts split_views(const Tensor& rows, const SemiBatch& batch);

// -- the baselines --------------------------------------------------------------------------------------------------------------------

enum class Alignment : uint8_t { none, queue, average };

struct FixMatchOptions {
  double threshold = 0.95;
  bool hard = true;            ///< the largest class as the target; else the probabilities
  double weight = 1;           ///< λ_u
  Alignment alignment = Alignment::none;
  bool flexible = false;       ///< thresholds by class, as FlexMatch
};

/// FixMatch (Sohn et al., NeurIPS 2020): L = CE(labelled) + λ_u / μB · Σ_j 1[max p_j ≥ θ] CE(strong_j, p_j), p the weak views' predictions
/// as constants. With options: distribution alignment, FlexMatch's thresholds.
class FixMatch {
 public:
  FixMatch(const FixMatchOptions& options, const SemiData& data);
  /// From the logits of all views.
  SemiStep operator()(const SemiParts& logits, const SemiBatch& batch);
  template <typename Model>
  SemiStep operator()(Model& model, const SemiBatch& batch, int64_t) {
    return (*this)(split_views(model(all_views(batch)), batch), batch);
  }

 private:
  FixMatchOptions options_;
  std::vector<DistributionAligner> aligner_;  // none or one
  std::vector<FlexThresholds> flexible_;
};

/// softmax of the weak logits as constants, through the aligner if there is one.
Tensor weak_probabilities(const Tensor& logits, std::vector<DistributionAligner>& aligner);
std::vector<DistributionAligner> make_aligner(Alignment alignment, int64_t classes);

/// The labelled examples alone.
struct Supervised {
  SemiStep loss(const Tensor& logits, const SemiBatch& batch) const;
  template <typename Model>
  SemiStep operator()(Model& model, const SemiBatch& batch, int64_t) const {
    return loss(model(batch.labelled), batch);
  }
};

}  // namespace plumb::methods
