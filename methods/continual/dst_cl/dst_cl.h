// Continual learning with dynamic sparse training (Yildirim et al., CPAL 2024). Every task trains a sparse part of one dense network: a
// mask that is pruned and grown while it trains. Weights of earlier tasks are frozen but may be part of later masks, so nothing is
// forgotten. A test example comes with its task's number.
//
//   dst_cl::DstOptions options{.density = 0.05};
//   ContinualTrainer<Net> learner(net, {.adam = optim::AdamOptions{}}, std::make_unique<dst_cl::DstCl<Net>>(options));
//   ContinualResult result = run_continual(learner, stream);   // a task stream
#pragma once
#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include "methods/common/continual_trainer.h"
#include "models/sparsity/prune_grow.h"
#include "models/sparsity/weight_mask.h"
#include "ops/index.h"
#include "ops/shape.h"

namespace plumb::methods::dst_cl {

/// How a task's mask is shared out among the layers at first.
enum class Initial : uint8_t { erk, uniform };
/// "erk", "uniform". Throws ConfigError for another name.
Initial initial_named(const std::string& name);

struct DstOptions {
  double density = 0.2;  ///< of all masked weights together, the task's rows of the head included
  Initial initial = Initial::erk;
  sparsity::PruneRule prune = sparsity::PruneRule::magnitude;
  sparsity::GrowthRule growth = sparsity::GrowthRule::gradient;
  int64_t interval = 25;                    ///< ΔT: steps between rounds of pruning and growth; 0: none, the mask is static
  double death = 0.5, least_death = 0.005;  ///< the share of active weights that a round replaces, by sparsity::death_rate
  /// Adaptive: from the first task on that finds less than this share of the shared weights unused, other choices hold.
  double adapt_below = 0;
  Initial later_initial = Initial::uniform;
  sparsity::GrowthRule later_growth = sparsity::GrowthRule::random;
  /// Throws ValueError for what is out of range.
  void check() const;
};

/// A weight that has a mask; of the head's only the task's rows [begin, end) of the first dimension.
struct MaskedLayer {
  Tensor weight;
  int64_t begin = 0, end = 0;
  bool shared = true;  ///< not the head's: all tasks may use it
  /// The rows of a tensor shaped as the weight.
  Tensor rows(const Tensor& full) const { return narrow(full, 0, begin, end - begin); }
};
/// All parameters of rank 2 and more, those of the child called "head" for the outputs `own`; biases and norms have no masks. Throws
/// ValueError for a network without any.
std::vector<MaskedLayer> masked_layers(const nn::Module& model, ClassRange own);

/// What earlier tasks left: the dense weights Θ, which places are used, and for each task its mask and all that has no mask (biases, norms,
/// running statistics).
class TaskIsolation {
 public:
  /// Θ is the network as it is, nothing is used.
  explicit TaskIsolation(const nn::Module& model);
  size_t tasks() const { return tasks_.size(); }
  /// The masked weights in the order of masked_layers: Θ, and where it is used (bool).
  const Tensor& store(size_t layer) const { return store_[layer]; }
  Tensor used(size_t layer) const { return used_[layer].tensor(); }

  /// The network as the next task finds it: Θ, and what has no mask as the last task left it.
  void load_store(nn::Module& model) const;
  /// Θ ⊙ M_s, and what has no mask as task s left it. Throws ValueError for a task that was not trained.
  void load_task(nn::Module& model, size_t task) const;
  /// The end of a task: Θ ← W where its masks (bool, shaped as the weights) are set; they are used from now on. Throws ShapeError.
  void merge(const nn::Module& model, const std::vector<Tensor>& masks);

  /// Share of the shared weights that no task uses; after each task so far.
  double free_share() const;
  const std::vector<double>& free_shares() const { return free_shares_; }
  /// |M_t ∩ U| / |M_t| of shared weights: how much of task t's mask earlier tasks had used.
  const std::vector<double>& reuse() const { return reuse_; }
  const sparsity::BitMask& mask(size_t task, size_t layer) const { return tasks_.at(task).masks.at(layer); }

 private:
  struct Task {
    std::vector<sparsity::BitMask> masks;
    StateDict unmasked;
  };
  std::vector<bool> shared_;
  std::vector<Tensor> store_;
  std::vector<sparsity::BitMask> used_;
  std::vector<Task> tasks_;
  std::vector<double> free_shares_, reuse_;
};

/// The masks of one task while it trains.
class DynamicSparseTrainer {
 public:
  /// Draws the masks over all places, used or not, and sets the weights to Θ ⊙ M. Layers as masked_layers gives them. Throws as
  /// sparsity::random_mask.
  DynamicSparseTrainer(std::vector<MaskedLayer> layers, const TaskIsolation& isolation, const DstOptions& options, Generator& generator);
  /// Before the optimiser's step: gradients of used places become 0.
  void freeze_gradients() const;
  /// After it, `step` of `steps` (from 1): weights and SGD's momentum are masked, used weights are Θ's again, and every `interval` steps
  /// masks are pruned and grown. Grown weights start at 0, grown used ones at Θ's value. Growth by momentum goes by SGD's, before it is
  /// masked, or Adam's m / (√v + 1e−8); it throws ValueError if there is none.
  void after_step(int64_t step, int64_t steps, const optim::Optimizer* optimizer);
  /// Bool, shaped as the weights.
  std::vector<Tensor> masks() const;

 private:
  struct Layer {
    MaskedLayer at;
    Tensor mask, fired;    // bool
    Tensor store;          // Θ
    Tensor used, unused;   // bool, and 1 where it is not used; undefined for the first task
    Tensor trained, kept;  // 1 where the mask has unused places; Θ where it has used ones
  };
  void set_mask(Layer& layer, const Tensor& rows);
  static void apply(Layer& layer);
  void round(Layer& layer, double rate, const Tensor& momentum);

  std::vector<Layer> layers_;
  DstOptions options_;
  Generator generator_;
};

template <typename Model>
class DstCl : public ContinualMethod<Model> {
 public:
  explicit DstCl(const DstOptions& options = {}) : options_((options.check(), options)) {}
  void begin_task(Model& model, const TaskContext& context) override {
    if (context.stream.scenario != Scenario::task)
      throw ValueError("dst_cl: needs a task stream, since a test example's mask is its task's");
    if (!isolation_) isolation_.emplace(model);
    isolation_->load_store(model);
    DstOptions now = options_;
    if (isolation_->free_share() < now.adapt_below) now.initial = now.later_initial, now.growth = now.later_growth;
    training_.emplace(masked_layers(model, context.own()), *isolation_, now, context.generator);
    ranges_.clear();
    for (const ContinualTask& task : context.stream.tasks) ranges_.push_back(task.classes);
  }
  void before_step(Model&, const TaskContext&) override { training_->freeze_gradients(); }
  void after_step(Model&, const TaskContext& context) override { training_->after_step(context.step, context.steps, context.optimizer); }
  void end_task(Model& model, const TaskContext&) override {
    isolation_->merge(model, training_->masks());
    loaded_ = isolation_->tasks() - 1;
  }
  /// The network of the example's task. A task that is still to come is answered by the latest one's, whose outputs stand for its own.
  Tensor logits(Model& model, const Tensor& x, size_t task) override {
    if (!isolation_ || isolation_->tasks() == 0) return model(x);
    size_t latest = isolation_->tasks() - 1, wanted = std::min(task, latest);
    if (loaded_ != wanted) isolation_->load_task(model, wanted);
    loaded_ = wanted;
    Tensor z = model(x);
    if (task <= latest || ranges_[task].size() != ranges_[latest].size()) return z;
    return slice_assign(z, narrow(z, 1, ranges_[latest].begin, ranges_[latest].size()), 1, ranges_[task].begin, ranges_[task].end);
  }
  /// After the first task began.
  const TaskIsolation& isolation() const { return *isolation_; }

 private:
  DstOptions options_;
  std::optional<TaskIsolation> isolation_;
  std::optional<DynamicSparseTrainer> training_;
  std::vector<ClassRange> ranges_;
  size_t loaded_ = 0;
};

}  // namespace plumb::methods::dst_cl
