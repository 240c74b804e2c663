// Arithmetic on whole sets of tensors (parameters, gradients): every set is a list in a fixed order, and pairs match in number, shape and
// device. All of it is outside the graph and runs over all tensors in one pass. Throws ShapeError where sets do not match.
#pragma once
#include <vector>

#include "engine/core/tensor.h"

namespace plumb::optim {

/// y ← y + a·x
void axpy(double a, const std::vector<Tensor>& x, const std::vector<Tensor>& y);
/// x ← a·x
void scale(double a, const std::vector<Tensor>& x);
/// y ← y + weight·(x − y)
void lerp(const std::vector<Tensor>& y, const std::vector<Tensor>& x, double weight);
/// to ← from, converted
void copy(const std::vector<Tensor>& from, const std::vector<Tensor>& to);
/// Exchanges the elements of a and b, which have equal types.
void swap(const std::vector<Tensor>& a, const std::vector<Tensor>& b);
/// Σ x·y, summed in f64 in an order that does not depend on the number of threads.
double dot(const std::vector<Tensor>& x, const std::vector<Tensor>& y);
/// √(Σ x²) and √(Σ (x − y)²)
double norm(const std::vector<Tensor>& x);
double distance(const std::vector<Tensor>& x, const std::vector<Tensor>& y);
/// New tensors with the same elements, that require no gradient.
std::vector<Tensor> clone(const std::vector<Tensor>& x);
std::vector<Tensor> zeros_like(const std::vector<Tensor>& x);
/// All elements in one row, in the type of the first tensor; and back.
Tensor flatten(const std::vector<Tensor>& x);
void unflatten(const Tensor& row, const std::vector<Tensor>& into);

/// grad() of each; zeros where there is none.
std::vector<Tensor> gradients(const std::vector<Tensor>& parameters);
/// set_grad of each; an undefined tensor takes the gradient away.
void set_gradients(const std::vector<Tensor>& parameters, const std::vector<Tensor>& gradients);

}  // namespace plumb::optim
