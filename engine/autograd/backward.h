// The backward pass.
#pragma once
#include <vector>

#include "engine/autograd/node.h"

namespace plumb {

struct GradOptions {
  bool create_graph = false;  ///< record the backward pass, so that gradients can be differentiated again
  bool retain_graph = false;  ///< keep what the graph saved for another pass; implied by create_graph
  bool allow_unused = false;  ///< give an undefined tensor for an input that the outputs do not depend on, instead of throwing
};

/// Σ_k output_gradients_k · d outputs_k / d inputs, one tensor for each input; grad() of leaves is left alone.
/// `output_gradients` may be empty (or hold undefined tensors) for outputs of one element: then 1.
/// Throws AutogradError if an output has no graph, or an input is unused; ShapeError if a gradient's shape is not its output's.
std::vector<Tensor> grad(const std::vector<Tensor>& outputs, const std::vector<Tensor>& inputs, GradOptions options = {},
                         const std::vector<Tensor>& output_gradients = {});

/// Adds the gradients of `outputs` to grad() of every leaf they depend on. As Tensor::backward, for several outputs at once.
void backward(const std::vector<Tensor>& outputs, const std::vector<Tensor>& output_gradients = {}, GradOptions options = {});

/// While alive, every recorded operation and every gradient on this thread is checked: the first NaN throws AutogradError naming the
/// forward operation that made it, or in whose derivative it appeared. Slow; for finding mistakes.
class AnomalyMode {
 public:
  explicit AnomalyMode(bool enabled = true);
  ~AnomalyMode();
  AnomalyMode(const AnomalyMode&) = delete;
  AnomalyMode& operator=(const AnomalyMode&) = delete;
  static bool enabled();

 private:
  bool before_;
};

}  // namespace plumb
