// Optimiser state shared out over processes (ZeRO, stage 1).
#pragma once
#include <memory>

#include "models/optim/adam.h"
#include "models/optim/sgd.h"
#include "models/parallel/gradient_buckets.h"

namespace plumb::parallel {

/// `Inner` (optim::AdamW, optim::SGD, …: any that updates element by element) whose state each of P processes keeps for 1/P of the
/// elements (ZeRO stage 1; Rajbhandari et al., SC 2020). `buckets`, made with .scatter, give each process the summed gradients of its
/// slices; step() updates these slices of the parameters and gathers the others' from their processes. The weights are those that
/// Inner gives alone. Afterwards the parameters have no gradients: their memory received the weights.
///
/// state() and load_state() speak of whole parameters, so that a checkpoint can be read by any number of processes, and by Inner.
/// step() and state() are called by all processes together.
template <typename Inner, typename Options>
class ShardedOptimizer : public optim::GroupedOptimizer<Options> {
 public:
  /// Groups as Inner's; `buckets`, of the same parameters, must live as long. Throws ValueError unless they scatter, DTypeError for
  /// parameters of 16 bits, whose masters this does not keep.
  ShardedOptimizer(std::vector<optim::Group<Options>> groups, GradientBuckets& buckets);

  /// On every process, which for as long as it is kept takes the memory of all the state. Handles where a process has all of it.
  optim::OptimizerState state() const override;
  void load_state(const optim::OptimizerState& state) override;
  /// Bytes of state that this process keeps.
  int64_t state_bytes() const;

 protected:
  using Slot = optim::Optimizer::Slot;
  void update(std::span<Slot* const> slots) override;
  std::vector<std::string> state_names() const override;

 private:
  struct Piece {
    size_t slot;            // of the whole parameter
    size_t bucket;
    int64_t begin, length;  // elements of the parameter
    int64_t at;             // where they begin in this process's slice
    Tensor value;           // a view of them, [length]
  };
  void cut();
  optim::OptimizerState pieces_of(const optim::OptimizerState& whole) const;
  void gather_parameters();
  std::vector<double> used_states(const optim::OptimizerState& own) const;

  GradientBuckets& buckets_;
  std::vector<Piece> pieces_;                      // in the order of slots
  std::vector<std::vector<size_t>> slot_of_;       // [bucket][k]: the slot of the parameter
  std::unique_ptr<Inner> inner_;                   // of the pieces, from the first update on
  std::unique_ptr<optim::OptimizerState> loaded_;  // until then, what it starts from
};

extern template class ShardedOptimizer<optim::AdamW, optim::AdamWOptions>;
extern template class ShardedOptimizer<optim::SGD, optim::SgdOptions>;
using ShardedAdamW = ShardedOptimizer<optim::AdamW, optim::AdamWOptions>;
using ShardedSGD = ShardedOptimizer<optim::SGD, optim::SgdOptions>;

}  // namespace plumb::parallel
