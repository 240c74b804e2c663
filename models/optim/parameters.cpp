// Arithmetic on whole sets of tensors: checks, and the kernels of ops/kernels/optim.h.
#include "models/optim/parameters.h"

#include <cmath>

#include "engine/autograd/grad_mode.h"
#include "ops/kernels/optim.h"
#include "ops/shape.h"

namespace plumb::optim {
namespace {

using Tensors = std::vector<Tensor>;

void check_pairs(const char* op, const Tensors& x, const Tensors& y) {
  if (x.size() != y.size())
    throw ShapeError(std::string(op) + ": the sets have " + std::to_string(x.size()) + " and " + std::to_string(y.size()) + " tensors");
  for (size_t i = 0; i < x.size(); ++i) {
    if (x[i].shape() != y[i].shape())
      throw ShapeError(std::string(op) + ": tensors " + std::to_string(i) + " are " + to_string(x[i].shape()) + " and " +
                       to_string(y[i].shape()));
    if (x[i].device() != y[0].device() || y[i].device() != y[0].device())
      throw DeviceError(std::string(op) + ": the tensors are on several devices");
  }
}

// Row-major, in the types of `like`, outside the graph.
Tensors rows_of(const Tensors& x, const Tensors& like) {
  NoGrad off;
  Tensors rows;
  for (size_t i = 0; i < x.size(); ++i) rows.push_back(contiguous_data(plumb::to(x[i], like[i].dtype())));
  return rows;
}

// y ← a·x + b·y for y of any strides; x may be empty when a is 0.
void combine(double a, const Tensors& x, double b, const Tensors& y) {
  if (y.empty()) return;
  Tensors from = x.empty() ? x : rows_of(x, y), into = rows_of(y, y);
  kernel::combine(y[0].device(), a, from, b, into);
  for (size_t i = 0; i < y.size(); ++i) {
    Tensor target = y[i];
    if (target.is_contiguous()) target.impl()->storage->bump_version();
    else copy_data(into[i], target);
  }
}

}  // namespace

void axpy(double a, const Tensors& x, const Tensors& y) {
  check_pairs("axpy", x, y);
  combine(a, x, 1, y);
}

void scale(double a, const Tensors& x) {
  check_pairs("scale", x, x);
  combine(0, {}, a, x);
}

void lerp(const Tensors& y, const Tensors& x, double weight) {
  check_pairs("lerp", x, y);
  combine(weight, x, 1 - weight, y);
}

void copy(const Tensors& from, const Tensors& to) {
  if (from.size() != to.size()) check_pairs("copy", from, to);
  for (size_t i = 0; i < from.size(); ++i)
    if (from[i].shape() != to[i].shape()) check_pairs("copy", from, to);
  for (size_t i = 0; i < from.size(); ++i) {
    Tensor target = to[i];
    copy_data(from[i], target);
  }
}

void swap(const Tensors& a, const Tensors& b) {
  check_pairs("swap", a, b);
  for (size_t i = 0; i < a.size(); ++i)
    if (a[i].dtype() != b[i].dtype())
      throw DTypeError("swap: tensors " + std::to_string(i) + " are " + std::string(name(a[i].dtype())) + " and " +
                       std::string(name(b[i].dtype())));
  Tensors kept = clone(a);
  copy(b, a);
  copy(kept, b);
}

// Pairs of different types meet in the wider one.
double dot(const Tensors& x, const Tensors& y) {
  check_pairs("dot", x, y);
  if (x.empty()) return 0;
  NoGrad off;
  Tensors left, right;
  for (size_t i = 0; i < x.size(); ++i) {
    DType type = promote(x[i].dtype(), y[i].dtype());
    left.push_back(contiguous_data(plumb::to(x[i], type)));
    right.push_back(contiguous_data(plumb::to(y[i], type)));
  }
  double total = 0;
  kernel::sum_of_products(x[0].device(), left, right, total);
  return total;
}

double norm(const Tensors& x) { return std::sqrt(dot(x, x)); }

double distance(const Tensors& x, const Tensors& y) {
  check_pairs("distance", x, y);
  Tensors difference = clone(x);
  combine(-1, y, 1, difference);
  return norm(difference);
}

Tensors clone(const Tensors& x) {
  Tensors copies;
  for (const Tensor& t : x) {
    copies.push_back(empty_like(t, "clone"));
    copy_data(t, copies.back());
  }
  return copies;
}

Tensors zeros_like(const Tensors& x) {
  Tensors zeros;
  for (const Tensor& t : x) zeros.push_back(plumb::zeros_like(t));
  return zeros;
}

// The piece of `row` that holds `like`, as a view of like's shape.
static Tensor piece(const Tensor& row, const Tensor& like, int64_t at) {
  return view_of(row, like.shape(), contiguous_strides(like.shape()), at);
}

Tensor flatten(const Tensors& x) {
  int64_t total = 0;
  for (const Tensor& t : x) total += t.numel();
  Tensor row = x.empty() ? empty({0}) : empty({total}, x[0].dtype(), x[0].device(), "flatten");
  int64_t at = 0;
  for (const Tensor& t : x) {
    Tensor part = piece(row, t, at);
    copy_data(t, part);
    at += t.numel();
  }
  return row;
}

void unflatten(const Tensor& row, const Tensors& into) {
  int64_t total = 0;
  for (const Tensor& t : into) total += t.numel();
  if (row.shape() != Shape{total})
    throw ShapeError("unflatten: the row is " + to_string(row.shape()) + ", the tensors have " + std::to_string(total) + " elements");
  Tensor dense = contiguous_data(row);
  int64_t at = 0;
  for (Tensor t : into) {
    copy_data(piece(dense, t, at), t);
    at += t.numel();
  }
}

Tensors gradients(const Tensors& parameters) {
  Tensors all;
  for (const Tensor& p : parameters) all.push_back(p.grad().defined() ? p.grad() : plumb::zeros_like(p));
  return all;
}

void set_gradients(const Tensors& parameters, const Tensors& gradients) {
  if (parameters.size() != gradients.size())
    throw ShapeError("set_gradients: " + std::to_string(parameters.size()) + " parameters, " + std::to_string(gradients.size()) +
                     " gradients");
  for (size_t i = 0; i < parameters.size(); ++i) parameters[i].set_grad(gradients[i]);
}

}  // namespace plumb::optim
