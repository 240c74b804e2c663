// The parameters of a GPT of experts as an optimiser should see them: each expert's part of a stacked weight by itself.
#pragma once
#include <vector>

#include "models/moe/gpt.h"

namespace plumb::moe {

/// A layer keeps its experts' weights in one tensor [E, ..], whose gradient is zero, not absent, for an expert that no token met; Adam
/// would go on moving that expert by its momentum, decay its moments, and decay its weights. Here each expert's slice is a parameter of
/// its own, which an optimiser leaves alone, state and all, in steps without tokens for it:
///
///   moe::ExpertParameters parameters(model);   optim::AdamW adamw(parameters.all(), {.lr = 1e-3});
///   adamw.zero_grad();   MoeGpt::Output out = model.forward(tokens);   …loss.backward();
///   parameters.hand_out(out.routings);         adamw.step();
///
/// The slices share the model's elements; make it after anything that replaces them (Module::to, load of another shape, a copy).
class ExpertParameters {
 public:
  explicit ExpertParameters(MoeGpt& model);
  /// What is not an expert's, then the slices: layer by layer, weight by weight, expert by expert.
  const std::vector<Tensor>& all() const { return all_; }
  /// After a backward pass: moves the gradients of the stacked weights to the slices of the experts that were chosen; the others have
  /// none. `routings` are those of the layers with experts in their order, of one forward pass or of several one after the other.
  /// Throws ValueError for another number of them.
  void hand_out(const std::vector<Routing>& routings);

 private:
  struct Stack {
    Tensor weight;               // [E, ..]
    std::vector<Tensor> slices;  // E views of it
    size_t layer;
  };
  std::vector<Tensor> all_;
  std::vector<Stack> stacks_;
  size_t layers_ = 0;
};

}  // namespace plumb::moe
