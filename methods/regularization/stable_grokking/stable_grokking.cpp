// StableMax, and cross-entropy in a stated precision.
#include "methods/regularization/stable_grokking/stable_grokking.h"

#include <algorithm>
#include <cmath>

#include "engine/autograd/function.h"
#include "engine/core/parallel.h"
#include "models/optim/parameters.h"
#include "ops/activation.h"
#include "ops/elementary.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "ops/softmax.h"

namespace plumb::methods::stable_grokking {
namespace {

// g(z) = sign(z) log(1 + |z|),   dg = dz / (1 + |z|): one derivative on both sides of 0.
Tensor signed_log1p(const Tensor& z) {
  return apply(
      "signed_log1p", {z}, [](const std::vector<Tensor>& x) { return sign(x[0]) * log1p(abs(x[0])); },
      [](const BackwardContext& c) -> Grads { return c.gradient() / (abs(c.input()) + 1); }, Keep::inputs);
}

// -- a stated precision: T computes in C = compute_t<T> and rounds every result --------------------------------

template <typename T, typename C = compute_t<T>>
C rounded(C x) {
  return static_cast<C>(static_cast<T>(x));
}

// e_k = e^(z_k − m) into `e`, and S; returns S.
template <typename T, typename C = compute_t<T>>
C exponentials(const T* z, int64_t classes, C* e) {
  C largest = static_cast<C>(z[0]), total = 0;
  for (int64_t k = 1; k < classes; ++k) largest = std::max(largest, static_cast<C>(z[k]));
  for (int64_t k = 0; k < classes; ++k) {
    e[k] = rounded<T>(std::exp(rounded<T>(static_cast<C>(z[k]) - largest)));
    total = rounded<T>(total + e[k]);
  }
  return total;
}

// A row's loss. m is the largest z again: cheaper than keeping it.
template <typename T, typename C = compute_t<T>>
T row_loss(const T* z, int64_t classes, int64_t target, C* scratch) {
  C total = exponentials(z, classes, scratch), largest = static_cast<C>(z[0]);
  for (int64_t k = 1; k < classes; ++k) largest = std::max(largest, static_cast<C>(z[k]));
  C shifted = rounded<T>(static_cast<C>(z[target]) - largest);
  return static_cast<T>(rounded<T>(std::log(total)) - shifted);
}

// dz_k = dy (e_k / S − [k = target])
template <typename T, typename C = compute_t<T>>
void row_gradient(const T* z, int64_t classes, int64_t target, C dy, C* scratch, T* dz) {
  C total = exponentials(z, classes, scratch);
  for (int64_t k = 0; k < classes; ++k) {
    C p = rounded<T>(scratch[k] / total);
    dz[k] = static_cast<T>(dy * rounded<T>(k == target ? p - 1 : p));
  }
}

// f<T>() for the C++ type of the precision.
template <typename F>
decltype(auto) visit_precision(const char* op, DType precision, F&& f) {
  switch (precision) {
    case DType::f64:
      return f.template operator()<double>();
    case DType::f32:
      return f.template operator()<float>();
    case DType::f16:
      return f.template operator()<half>();
    default:
      throw DTypeError(std::string(op) + ": the precision must be f16, f32 or f64, not " + std::string(name(precision)));
  }
}

// body(row, scratch) for every row, with room for one row's exponentials.
template <typename C, typename Body>
void for_rows(int64_t rows, int64_t classes, Body body) {
  parallel_for(rows, 32, [&](int64_t begin, int64_t end) {
    std::vector<C> scratch(static_cast<size_t>(classes));
    for (int64_t i = begin; i < end; ++i) body(i, scratch.data());
  });
}

void check_rows(const char* op, const Tensor& logits) {
  if (logits.rank() != 2 || logits.size(1) < 1)
    throw ShapeError(std::string(op) + ": takes logits [n, C], got " + to_string(logits.shape()));
}

void check_targets(const Tensor& logits, const Tensor& target) {
  check_rows("cross_entropy_at", logits);
  if (target.shape() != Shape{logits.size(0)})
    throw ShapeError("cross_entropy_at: logits are " + to_string(logits.shape()) + ", target " + to_string(target.shape()));
  int64_t classes = logits.size(1);
  for (int64_t t : to_vector<int64_t>(target))
    if (t < 0 || t >= classes)
      throw IndexError("cross_entropy_at: target " + std::to_string(t) + " is outside [0, " + std::to_string(classes) + ")");
}

// z of the precision's type [n, C], target i64 [n] → losses [n]
Tensor losses_of(const Tensor& z, const Tensor& target) {
  int64_t rows = z.size(0), classes = z.size(1);
  Tensor x = contiguous_data(z), t = contiguous_data(target), loss = empty({rows}, z.dtype(), z.device(), "cross_entropy_at");
  visit_precision("cross_entropy_at", z.dtype(), [&]<typename T>() {
    const T* logits = static_cast<const Tensor&>(x).data<T>();
    const int64_t* labels = static_cast<const Tensor&>(t).data<int64_t>();
    T* out = loss.data<T>();
    for_rows<compute_t<T>>(rows, classes,
                           [=](int64_t i, compute_t<T>* scratch) { out[i] = row_loss(logits + i * classes, classes, labels[i], scratch); });
  });
  return loss;
}

Tensor gradient_of(const Tensor& z, const Tensor& target, const Tensor& dy) {
  int64_t rows = z.size(0), classes = z.size(1);
  Tensor x = contiguous_data(z.detach()), t = contiguous_data(target), g = contiguous_data(dy.detach());
  Tensor dz = empty(z.shape(), z.dtype(), z.device(), "cross_entropy_at_backward");
  visit_precision("cross_entropy_at", z.dtype(), [&]<typename T>() {
    using C = compute_t<T>;
    const T *logits = static_cast<const Tensor&>(x).data<T>(), *gradient = static_cast<const Tensor&>(g).data<T>();
    const int64_t* labels = static_cast<const Tensor&>(t).data<int64_t>();
    T* out = dz.data<T>();
    for_rows<C>(rows, classes, [=](int64_t i, C* scratch) {
      row_gradient(logits + i * classes, classes, labels[i], static_cast<C>(gradient[i]), scratch, out + i * classes);
    });
  });
  return dz;
}

Tensor reduced(const Tensor& losses, Reduction reduction) {
  if (reduction == Reduction::none) return losses;
  Tensor wide = to(losses, f64);
  return reduction == Reduction::mean ? mean(wide) : sum(wide);
}

}  // namespace

Tensor stable_exponential(const Tensor& x) {
  // (1 + max(x, 0)) / (1 − min(x, 0)). At 0 the derivative of max is 0 and that of min is 1, so that theirs add up to s'(0) = 1.
  return (relu(x) + 1) / (1 - clamp_max(x, 0));
}

Tensor stablemax(const Tensor& z, int dim) {
  dim = checked_dim("stablemax", dim, z.rank());
  Tensor s = stable_exponential(z);
  return s / sum(s, {dim}, /*keepdim=*/true);
}

Tensor log_stablemax(const Tensor& z, int dim) { return log_softmax(signed_log1p(z), checked_dim("log_stablemax", dim, z.rank())); }

Tensor stablemax_cross_entropy(const Tensor& logits, const Tensor& target, Reduction reduction) {
  return cross_entropy(signed_log1p(to(logits, f64)), target, {.reduction = reduction});
}

Tensor cross_entropy_at(const Tensor& logits, const Tensor& target, DType precision, Reduction reduction) {
  visit_precision("cross_entropy_at", precision, []<typename T>() {});
  check_targets(logits, target);
  Tensor labels = to(target, i64).detach();
  Tensor losses = apply(
      "cross_entropy_at", {to(logits, precision)}, [&](const std::vector<Tensor>& z) { return losses_of(z[0], labels); },
      [labels](const BackwardContext& c) -> Grads {
        return no_derivative("the gradient of cross_entropy_at", gradient_of(c.input(), labels, c.gradient()), {c.input(), c.gradient()});
      },
      Keep::inputs);
  return reduced(losses, reduction);
}

double softmax_collapse_rate(const Tensor& logits, DType precision) {
  visit_precision("softmax_collapse_rate", precision, []<typename T>() {});
  check_rows("softmax_collapse_rate", logits);
  int64_t rows = logits.size(0), classes = logits.size(1);
  if (rows == 0) throw ShapeError("softmax_collapse_rate: there are no rows");
  Tensor z = contiguous_data(to(logits.detach(), precision));
  std::vector<char> collapsed(static_cast<size_t>(rows));
  visit_precision("softmax_collapse_rate", precision, [&]<typename T>() {
    const T* x = static_cast<const Tensor&>(z).data<T>();
    for_rows<compute_t<T>>(rows, classes, [&, x](int64_t i, compute_t<T>* scratch) {
      collapsed[static_cast<size_t>(i)] = exponentials(x + i * classes, classes, scratch) == 1;
    });
  });
  return static_cast<double>(std::ranges::count(collapsed, 1)) / static_cast<double>(rows);
}

double zero_loss_rate(const Tensor& losses) {
  if (losses.numel() == 0) throw ShapeError("zero_loss_rate: there are no losses");
  std::vector<double> values = to_vector(losses.detach());
  return static_cast<double>(std::ranges::count(values, 0.0)) / static_cast<double>(values.size());
}

double nlm_alignment(const std::vector<Tensor>& parameters, const std::vector<Tensor>& gradients) {
  std::vector<Tensor> theta;
  for (const Tensor& p : parameters) theta.push_back(p.detach());
  double product = optim::norm(theta) * optim::norm(gradients);
  return product > 0 ? -optim::dot(theta, gradients) / product : 0;
}

}  // namespace plumb::methods::stable_grokking
