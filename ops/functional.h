// Derivatives of functions as functions: products with Jacobians, Jacobians, Hessians, gradients of each sample.
//
// A function takes and returns tensors as TensorFunction says; all its inputs must be floating and are treated as independent variables.
// Tensors that it captures count as constants unless `create_graph` is set, which makes the result itself part of the graph, of the inputs
// and of what was captured, so that it can be differentiated further.
#pragma once
#include <vector>

#include "ops/tensor_function.h"

namespace plumb {

struct FunctionalOptions {
  bool create_graph = false;
};

/// The outputs of f, and a product with its Jacobian.
struct ProductResult {
  std::vector<Tensor> outputs, products;
};

/// J(x)ᵀ v: the products have the inputs' shapes. `v` has the outputs' shapes; it may be left out for one output of one element (then 1).
/// Throws ShapeError where shapes differ.
ProductResult vjp(const TensorFunction& f, const std::vector<Tensor>& inputs, const std::vector<Tensor>& v = {},
                  FunctionalOptions options = {});
/// J(x) v: the products have the outputs' shapes, `v` has the inputs'. Two reverse passes: u ↦ J(x)ᵀ u is linear, and its own
/// transposed product with v is J(x) v.
ProductResult jvp(const TensorFunction& f, const std::vector<Tensor>& inputs, const std::vector<Tensor>& v, FunctionalOptions options = {});
/// H(x) v for f with one output of one element: the gradient of ⟨∇f, v⟩. The products have the inputs' shapes.
ProductResult hvp(const TensorFunction& f, const std::vector<Tensor>& inputs, const std::vector<Tensor>& v, FunctionalOptions options = {});

/// J[k][i] = d output_k / d input_i, of shape [output_k's shape, input_i's shape]: one reverse pass for each element of the outputs.
std::vector<std::vector<Tensor>> jacobian(const TensorFunction& f, const std::vector<Tensor>& inputs, FunctionalOptions options = {});
/// The Jacobian of a function with one output of one tensor.
Tensor jacobian(const TensorFunction& f, const Tensor& x, FunctionalOptions options = {});
/// H[i][j] = d² f / d input_i d input_j, of shape [input_i's shape, input_j's shape], for f with one output of one element.
std::vector<std::vector<Tensor>> hessian(const TensorFunction& f, const std::vector<Tensor>& inputs, FunctionalOptions options = {});
Tensor hessian(const TensorFunction& f, const Tensor& x, FunctionalOptions options = {});

/// The gradient of each sample's loss: for each parameter, [batch, parameter's shape]. `losses` is called once with every parameter
/// under a leading axis of `batch` (a view, nothing is copied) and gives the losses [batch], sample b computed with parameters[b]:
///   per_sample_grad([&](const Tensor& w) { return mean(square(squeeze(matmul(unsqueeze(x, 1), w), 1) - y), {1}); }, {weight}, x.size(0))
/// One forward and one backward pass. Throws ShapeError if the losses are not [batch].
std::vector<Tensor> per_sample_grad(const TensorFunction& losses, const std::vector<Tensor>& parameters, int64_t batch,
                                    FunctionalOptions options = {});

}  // namespace plumb
