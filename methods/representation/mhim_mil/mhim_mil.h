// MHIM-MIL (Tang et al., ICCV 2023): a teacher's attention says which instances of a bag are easy, and the student learns without them.
#pragma once
#include <optional>
#include <string_view>
#include <utility>

#include "engine/autograd/grad_mode.h"
#include "methods/representation/mhim_mil/instance_masker.h"
#include "methods/representation/mhim_mil/instance_merger.h"
#include "models/nn/module.h"
#include "models/optim/adam.h"
#include "models/optim/ema.h"
#include "models/optim/schedule.h"
#include "ops/index.h"
#include "ops/loss.h"
#include "ops/pointwise.h"
#include "ops/shape.h"

namespace plumb::methods::mhim_mil {

/// −Σ_k softmax(target / τ_t)_k log softmax(student / τ_s)_k over the last dimension, the mean over the others; no gradient to the target.
/// d/d student = (softmax(student / τ_s) − softmax(target / τ_t)) / τ_s for each row. Throws ShapeError for two shapes, ValueError unless
/// both temperatures are positive.
Tensor soft_target_ce(const Tensor& student, const Tensor& target, double tau_s = 1, double tau_t = 0.1);

/// A bag [N, inputs] as a batch of one, [1, N, inputs]. Throws ShapeError for another rank, ValueError where there are no instances.
Tensor one_bag(const Tensor& bag);

/// max_c softmax_c(classify(a_n h_n)): how sure the classifier would be of each instance alone, weighted by its attention (the second
/// version's scores, IJCV 2025). attention [N] or [heads, N] (then the heads' mean), instances [N, width] → [N].
template <typename Classify>
Tensor class_aware_scores(const Tensor& attention, const Tensor& instances, Classify&& classify);

/// What instances are judged by.
enum class Scores : uint8_t { attention, class_aware };

struct LossOptions {
  double alpha = 0.1;  ///< weight of the consistency of bag embeddings
  double tau_s = 1, tau_t = 0.1;
  Scores scores = Scores::attention;
};

struct Terms {
  Tensor loss;            ///< classification + α consistency
  Tensor classification;  ///< cross-entropy of the student's logits
  Tensor consistency;     ///< undefined for α = 0
  InstanceSplit split;    ///< what the student did not see, and what it saw
};

/// The loss of one bag [N, inputs] with its label i64 [1]: the teacher reads the whole bag, outside the graph and in the mode it is in
/// (published: training mode, its dropout active); its scores choose what is hidden; the student projects the bag and pools what is left
///   L = CE(head(z_S), y) + α soft_target_ce(z_S, z_T).
/// A Model has instances(x), pooled(h) and classify(z), as mil::Abmil and mil::TransMil have. The student's projection comes first, so that
/// without masks and with α = 0 the step is a plain one, draws and all. Student and teacher may be the same module. `merger`, if there is
/// one, makes the second version's tokens of a part of what is left. Throws as one_bag and InstanceMasker::select.
template <typename Model>
Terms mhim_loss(const Model& student, const Model& teacher, const Tensor& bag, const Tensor& label, const InstanceMasker& masker,
                double progress, const LossOptions& options, Generator& generator, InstanceMerger* merger = nullptr);

/// Weights of matrices Xavier-normal, biases 0: how students and baselines start.
void xavier_start(nn::Module& model);
/// Copies the parameters whose names begin with `prefix` ("projection." of AB-MIL, "_fc1." of TransMIL). Throws ValueError if there is
/// none.
void take_parameters(nn::Module& into, const nn::Module& from, std::string_view prefix);

struct MhimOptions {
  MaskOptions mask = {};
  LossOptions loss = {};
  double momentum = 0.9999;                                      ///< m of the teacher
  bool momentum_rises = false;                                   ///< by cosine to 1 over all steps
  int64_t steps = 1;                                             ///< of the whole training: β_h and m follow it
  optim::AdamOptions adam = {.lr = 2e-4, .weight_decay = 1e-5};  ///< weight decay is Adam's coupled one
  std::optional<MergeOptions> merge = {};                        ///< the second version's tokens
  /// Throws ValueError for a momentum outside [0, 1), fewer than one step, a negative α, or as MaskOptions::check.
  void check() const;
};

/// A student and the teacher that follows it: θ_T ← m θ_T + (1 − m) θ_S after every step. The teacher starts as a trained model and stays
/// in training mode.
template <typename Model>
class MhimTrainer {
 public:
  MhimTrainer(Model student, const Model& trained, const MhimOptions& options);
  /// One bag: loss, backward pass, Adam, teacher. Throws as mhim_loss, and ValueError after the last step.
  Terms step(const Tensor& bag, const Tensor& label, Generator& generator);

  Model& student() { return student_; }
  Model& teacher() { return teacher_.model; }
  optim::Adam& adam() { return *adam_; }
  int64_t steps_done() const { return done_; }
  /// m at step i of the schedule.
  double momentum(int64_t step) const { return options_.momentum_rises ? rising_(step) : options_.momentum; }

 private:
  MhimOptions options_;
  InstanceMasker masker_;
  Model student_;
  optim::Ema<Model> teacher_;
  std::optional<InstanceMerger> merger_;
  optim::Schedule rising_;
  std::optional<optim::Adam> adam_;
  int64_t done_ = 0;
};

namespace detail {
/// max over classes of softmax of logits [N, C].
Tensor largest_probability(const Tensor& logits);
/// One head's row, or the mean over heads, of attention [N] or [heads, N].
Tensor one_row(const Tensor& attention);
void check_step(int64_t done, int64_t steps);
}  // namespace detail

template <typename Classify>
Tensor class_aware_scores(const Tensor& attention, const Tensor& instances, Classify&& classify) {
  return detail::largest_probability(classify(instances * unsqueeze(detail::one_row(attention), 1)));
}

template <typename Model>
Terms mhim_loss(const Model& student, const Model& teacher, const Tensor& bag, const Tensor& label, const InstanceMasker& masker,
                double progress, const LossOptions& o, Generator& g, InstanceMerger* merger) {
  Tensor x = one_bag(bag), h = student.instances(x), seen, scores;
  {
    NoGrad no_grad;
    Tensor h_teacher = teacher.instances(x);
    auto answer = teacher.pooled(h_teacher);
    seen = answer.bag, scores = select(answer.attention, 0, 0);
    if (o.scores == Scores::class_aware)
      scores = class_aware_scores(scores, select(h_teacher, 0, 0), [&](const Tensor& z) { return teacher.classify(z); });
  }
  Terms t;
  t.split = masker.select(scores, progress, g);
  if (!t.split.hidden.empty()) h = index_select(h, 1, from_vector(t.split.kept));
  if (merger) h = (*merger)(h, g);
  auto answer = student.pooled(h);
  t.loss = t.classification = cross_entropy(answer.logits, label);
  if (o.alpha == 0) return t;
  t.consistency = soft_target_ce(answer.bag, seen, o.tau_s, o.tau_t);
  t.loss = t.classification + o.alpha * t.consistency;
  return t;
}

template <typename Model>
MhimTrainer<Model>::MhimTrainer(Model student, const Model& trained, const MhimOptions& options)
    : options_((options.check(), options)),
      masker_(options.mask),
      student_(std::move(student)),
      teacher_(trained, {.decay = options.momentum}),
      rising_(optim::cosine(options.steps, options.momentum, 1)) {
  teacher_.model.train();
  std::vector<Tensor> trained_parameters = student_.parameters();
  if (options.merge) {
    merger_.emplace(student_.config().width, *options.merge);
    for (const Tensor& p : merger_->parameters()) trained_parameters.push_back(p);
  }
  adam_.emplace(std::move(trained_parameters), options.adam);
}

template <typename Model>
Terms MhimTrainer<Model>::step(const Tensor& bag, const Tensor& label, Generator& g) {
  detail::check_step(done_, options_.steps);
  double progress = static_cast<double>(done_) / static_cast<double>(options_.steps);
  adam_->zero_grad();
  Terms t = mhim_loss(student_, teacher_.model, bag, label, masker_, progress, options_.loss, g, merger_ ? &*merger_ : nullptr);
  t.loss.backward();
  adam_->step();
  teacher_.update(student_, momentum(done_++));
  return t;
}

}  // namespace plumb::methods::mhim_mil
