// Parameters of which every process keeps some rows, and their states as one process would have them.
#pragma once
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "engine/dist/communicator.h"
#include "models/nn/module.h"
#include "models/optim/optimizer.h"
#include "models/parallel/gradient_buckets.h"

namespace plumb::parallel {

/// Rows [begin, end) of `count` that process `rank` of `size` keeps: as even as can be, in the order of ranks.
struct RowRange {
  int64_t begin, end;
};
RowRange rows_of(int64_t count, int rank, int size);

/// Which parameters of a model are parts, along their first dimension, of larger ones whose other rows are on the other processes (experts
/// that were shared out); the rest are the same on all. Wholes are put together on the CPU. What is said to be done by all is called by all
/// processes together.
class ShardedParameters {
 public:
  explicit ShardedParameters(dist::Communicator& processes) : processes_(&processes) {}
  /// `own` is this process's rows_of(rows, rank, size).
  void add(const Tensor& own, int64_t rows) { rows_[own.impl()] = rows; }
  bool any() const { return !rows_.empty(); }
  bool contains(const Tensor& parameter) const { return rows_.contains(parameter.impl()); }
  /// Those of `all` that are the same on every process: what GradientBuckets exchange.
  std::vector<Tensor> same(const std::vector<Tensor>& all) const;
  /// As optim::clip_grad_norm of the whole model: gradients of what is the same are in `buckets`, those of the parts among `all`. Done by
  /// all.
  double clip_grad_norm(GradientBuckets& buckets, const std::vector<Tensor>& all, double max_norm) const;

  /// A state under the model's names (its own, or one of averages) with the rows of all processes. Done by all.
  StateDict whole(const nn::Module& model, StateDict state) const;
  /// The other way: this process's rows of such a state. Throws ShapeError for a tensor of another number of rows.
  StateDict own(const nn::Module& model, StateDict whole) const;
  /// The same for an optimiser of the model's parameters. Done by all.
  optim::OptimizerState whole_state(const optim::Optimizer& optimizer) const;
  optim::OptimizerState own_state(const optim::Optimizer& optimizer, optim::OptimizerState whole) const;

 private:
  Tensor gathered(const Tensor& own, int64_t rows) const;
  Tensor cut(const std::string& name, const Tensor& whole, int64_t rows) const;

  dist::Communicator* processes_;
  std::unordered_map<const TensorImpl*, int64_t> rows_;  // of each part's whole
};

/// A module that can be shared out; a class derives from it beside nn::Module.
class ShardedModule {
 public:
  virtual ~ShardedModule() = default;
  /// Who has the other parts; null: all is here.
  virtual dist::Communicator* processes() const = 0;
  /// Parameters that are parts, each with the number of its whole's rows.
  virtual std::vector<std::pair<Tensor, int64_t>> parts() const = 0;
};
/// The parts of all such modules in `model`; none where nothing was shared out. Training (train::train) asks for it.
ShardedParameters sharded_parameters(nn::Module& model);

}  // namespace plumb::parallel
