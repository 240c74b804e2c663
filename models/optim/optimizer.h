// The base of all optimisers: parameters in groups, their state, and what happens to gradients before a step and to parameters after it.
#pragma once
#include <functional>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "engine/core/tensor.h"
#include "engine/io/state_dict.h"
#include "ops/kernels/optim.h"

namespace plumb::optim {

/// Parameters that share options.
template <typename Options>
struct Group {
  std::vector<Tensor> parameters;
  Options options = {};
};

/// Changes the gradients before they are used, together: replaces entries or writes to them. An entry made undefined leaves its
/// parameter alone. Only parameters that have a gradient are among them.
using GradientTransform = std::function<void(const std::vector<Tensor>& parameters, std::vector<Tensor>& gradients)>;

/// What a hook sees of one parameter's update.
struct Update {
  Tensor parameter;  ///< as it was given to the optimiser
  Tensor value;      ///< the parameter after the update, to be changed in place; its f32 master if it is of a 16-bit type
  Tensor before;     ///< the value before the update; undefined unless the hook asked for it
  double lr;         ///< the learning rate of this step
};
struct UpdateHook {
  std::function<void(Update&)> apply;
  bool needs_before = false;  ///< costs a copy of every parameter
};

/// All that a later run needs to go on bit by bit: tensors ("3.exp_avg": the state of the fourth parameter) and numbers.
struct OptimizerState {
  StateDict tensors;
  std::map<std::string, double> scalars;
};

class Optimizer {
 public:
  virtual ~Optimizer() = default;
  Optimizer(const Optimizer&) = delete;
  Optimizer& operator=(const Optimizer&) = delete;

  /// Gradients through the transforms, the update, then the hooks. Parameters without a gradient are left alone, state and all. In a step
  /// that is captured (engine/core/capture.h) one fused update is recorded, and the host brings its learning rates and corrections before
  /// each replay; an optimiser that does more, or has transforms or hooks, works eagerly() in between. A replay throws ValueError if the
  /// optimiser has other tensors than when it was recorded.
  void step();
  /// Forgets the gradients of all parameters.
  void zero_grad();
  /// In the order in which they were given.
  std::vector<Tensor> parameters() const;

  /// Every learning rate is multiplied by this: optimizer.set_lr_scale(schedule(step)).
  void set_lr_scale(double scale) { lr_scale_ = scale; }
  double lr_scale() const { return lr_scale_; }
  /// The learning rate of a group in the next step.
  double lr(size_t group = 0) const { return const_cast<Optimizer*>(this)->lr_of(group) * lr_scale_; }

  /// Added to the end of the pipeline.
  void add_transform(GradientTransform transform) { transforms_.push_back(std::move(transform)); }
  void add_hook(UpdateHook hook) { hooks_.push_back(std::move(hook)); }

  /// One more parameter; its state starts when it first has a gradient. Throws ValueError if it is known, or the group is not.
  void add_parameter(Tensor parameter, size_t group = 0);
  /// `enlarged` takes the place of `parameter`. State goes to its leading corner, new elements start with zeros.
  /// Throws ShapeError unless the rank is the same and no size smaller.
  void replace_parameter(const Tensor& parameter, Tensor enlarged);

  /// Handles: the next step changes them.
  virtual OptimizerState state() const;
  /// Throws ValueError for missing or unknown entries and ShapeError for others of another shape, before anything is changed.
  virtual void load_state(const OptimizerState& state);

 protected:
  struct Slot {
    Tensor parameter;
    size_t group;
    int64_t steps = 0;             ///< updates made
    Tensor master;                 ///< of a 16-bit parameter, from its first update on
    std::vector<Tensor> state;     ///< in the order of state_names(); undefined or absent until used
    Tensor gradient;               ///< during a step
  };
  Optimizer() = default;
  Optimizer(Optimizer&&) = default;
  Optimizer& operator=(Optimizer&&) = default;

  /// Updates the parameters of `slots`, which all have a gradient and have their number of steps advanced.
  virtual void update(std::span<Slot* const> slots) = 0;
  virtual std::vector<std::string> state_names() const = 0;
  virtual double& lr_of(size_t group) = 0;
  virtual size_t group_count() const = 0;
  /// Whether update() does nothing but one Fused of all slots, in their order.
  virtual bool is_fused() const { return false; }

  /// The learning rate of one parameter in this step.
  virtual double rate(const Slot& slot) { return lr_of(slot.group) * lr_scale_; }
  /// What is updated: the parameter, or its master.
  static Tensor value_of(Slot& slot);
  /// State tensor `i` of the slot, zeros of the parameter's shape when first asked for.
  static Tensor state_of(Slot& slot, size_t i, double start = 0);

  /// Collects element-wise updates and applies them to all parameters in one pass.
  class Fused {
   public:
    /// With room for `parameters` of them.
    Fused(Optimizer& optimizer, UpdateRule rule, size_t parameters) : optimizer_(optimizer), rule_(rule) {
      tensors_.reserve(parameters);
      slots_.reserve(parameters);
    }
    void add(Slot& slot, std::array<Tensor, 3> state, const std::array<double, 8>& constants);
    void run();

   private:
    Optimizer& optimizer_;
    UpdateRule rule_;
    std::vector<UpdateTensor> tensors_;
    std::vector<Slot*> slots_;
  };

  /// The parameters that have a gradient, after the transforms.
  std::vector<Slot*> prepare();
  /// Copies of the values if a hook wants them.
  std::vector<Tensor> values_before(std::span<Slot* const> active);
  void finish(std::span<Slot* const> active, const std::vector<Tensor>& before);

  std::vector<Slot> slots_;

 private:
  struct Recorded;
  void step_now();
  void make_room_for_constants(int64_t count, Device device);
  bool can_be_recorded() const;
  void record_step();
  void update_for(Recorded& recorded, std::span<Slot* const> slots);
  void renew(Recorded& recorded);
  void transform_gradients(std::vector<Slot*>& active);
  void run_hooks(std::span<Slot* const> active, const std::vector<Tensor>& before);

  double lr_scale_ = 1;
  std::vector<GradientTransform> transforms_;
  std::vector<UpdateHook> hooks_;
  Tensor constants_;  // [parameters, 8] on a GPU, of the recorded updates; made before them: what is made in a recording lasts a replay
  Recorded* recorded_ = nullptr;  // for which update() is called now: to be recorded, or for its constants alone
};

/// An optimiser whose groups have `Options`: a struct with `double lr` and `void check() const`, which throws ValueError.
template <typename Options>
class GroupedOptimizer : public Optimizer {
 public:
  explicit GroupedOptimizer(std::vector<Tensor> parameters, Options options = {}) { add_group({std::move(parameters), options}); }
  explicit GroupedOptimizer(std::vector<Group<Options>> groups) {
    for (auto& group : groups) add_group(std::move(group));
  }
  /// Returns the number of the new group.
  size_t add_group(Group<Options> group) {
    group.options.check();
    options_.push_back(group.options);
    for (Tensor& p : group.parameters) add_parameter(std::move(p), options_.size() - 1);
    return options_.size() - 1;
  }
  /// A group's options, which may be changed between steps. Throws IndexError where there is no such group.
  Options& options(size_t group = 0) {
    check_group(group);
    return options_[group];
  }

 protected:
  double& lr_of(size_t group) override { return options(group).lr; }
  size_t group_count() const override { return options_.size(); }
  void check_group(size_t group) const {
    if (group >= options_.size())
      throw IndexError("optimizer: there is no group " + std::to_string(group) + ", there are " + std::to_string(options_.size()));
  }
  const Options& options_of(const Slot& slot) const { return options_[slot.group]; }

 private:
  std::vector<Options> options_;
};

/// Throws ValueError "<optimizer>: <what> must <wanted>, it is <value>" unless `fine`.
void check_option(bool fine, const char* optimizer, const char* what, const char* wanted, double value);

}  // namespace plumb::optim
