// What a policy of data mixing may do with a model in training: steps on batches of groups, and losses of groups. Policies know no more, so
// the same ones train a language model and a simulated law.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

namespace plumb::data_mixing {

using Shares = std::vector<double>;  ///< one number a group

/// Weights of the groups' losses, given those losses on the batch and a reference's on the same batch.
using LossWeights = std::function<Shares(const Shares& losses, const Shares& reference)>;

/// Gradients of the groups, each clipped to length 1, against that of a mixed batch, clipped too.
struct Alignment {
  Shares inner;          ///< ⟨g_j, g_val⟩
  Shares norm;           ///< ‖g_j‖ after clipping
  double learning_rate;  ///< of this step
};
using AlignmentWeights = std::function<Shares(const Alignment&)>;

class Learner {
 public:
  virtual ~Learner() = default;
  virtual int64_t groups() const = 0;
  virtual int64_t batch() const = 0;
  /// Optimiser steps made, and how many the learning rate's schedule is made for.
  virtual int64_t steps() const = 0;
  virtual int64_t planned_steps() const = 0;

  /// One step on a batch whose examples' groups are drawn by p.
  virtual void step(const Shares& p) = 0;
  /// One step on a batch of exactly counts[i] examples of group i.
  virtual void step_exact(const std::vector<int64_t>& counts) = 0;
  /// The mean loss of each group on a fixed set of validation examples: in evaluation mode, outside the graph.
  virtual Shares validation_losses() const = 0;

  /// A learner as this one was before its first step, planned for `steps` of them, with a data order of its own.
  virtual std::unique_ptr<Learner> fresh(int64_t steps, uint64_t stream) const = 0;
  /// One step on Σ_i w_i L_i, a batch with the same number of examples of every group; the reference's losses are 0 without one.
  virtual void step_weighted(const Learner* reference, const LossWeights& weights) = 0;
  /// One step on Σ_i w_i g_i with the clipped gradients of the groups.
  virtual void step_aligned(const AlignmentWeights& weights) = 0;
};

}  // namespace plumb::data_mixing
