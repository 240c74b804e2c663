// Hooks on the update.
#include "models/optim/hooks.h"

#include <algorithm>

#include "models/optim/parameters.h"
#include "ops/elementary.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb::optim {
namespace {

void write(Update& u, const Tensor& value) { copy_data(value, u.value); }

// Row r of the first dimension beside all of x: [rows] → [rows, 1, …].
Tensor per_row(const Tensor& x, int rank) {
  Shape shape = Shape::filled(rank, 1);
  shape[0] = x.numel();
  return reshape(x, shape);
}

}  // namespace

UpdateHook only(std::vector<Tensor> parameters, UpdateHook hook) {
  bool needs_before = hook.needs_before;
  return {[parameters = std::move(parameters), hook = std::move(hook)](Update& u) {
            if (std::any_of(parameters.begin(), parameters.end(), [&](const Tensor& p) { return p.same_as(u.parameter); })) hook.apply(u);
          },
          needs_before};
}

UpdateHook scale_rows(Tensor parameter, Tensor multipliers) {
  return only({parameter}, {[multipliers](Update& u) {
                              if (u.value.rank() == 0 || multipliers.shape() != Shape{u.value.size(0)})
                                throw ShapeError("scale_rows: the multipliers are " + to_string(multipliers.shape()) + ", the parameter " +
                                                 to_string(u.value.shape()));
                              Tensor m = per_row(to(multipliers, u.value.dtype()), u.value.rank());
                              write(u, u.before + m * (u.value - u.before));
                            },
                            true});
}

UpdateHook decoupled_decay(double lambda) {
  return {[lambda](Update& u) { axpy(-u.lr * lambda, {u.before}, {u.value}); }, true};
}

UpdateHook decoupled_penalty(double lambda, std::function<Tensor(const Tensor&)> derivative) {
  return {[lambda, derivative = std::move(derivative)](Update& u) { axpy(-u.lr * lambda, {derivative(u.before)}, {u.value}); }, true};
}

UpdateHook proximal_l1(double lambda) {
  return {[lambda](Update& u) { write(u, sign(u.value) * clamp_min(abs(u.value) - u.lr * lambda, 0)); }};
}

UpdateHook proximal_l2(double lambda) {
  return {[lambda](Update& u) { scale(1 / (1 + u.lr * lambda), {u.value}); }};
}

UpdateHook proximal_rows(double lambda) {
  return {[lambda](Update& u) {
    if (u.value.rank() == 0 || u.value.numel() == 0) return;
    Tensor norms = sqrt(sum(square(reshape(u.value, {u.value.size(0), -1})), {1}));
    Tensor factors = clamp_min(1 - (u.lr * lambda) / clamp_min(norms, 1e-30), 0);
    write(u, u.value * per_row(factors, u.value.rank()));
  }};
}

UpdateHook proximal_anchor(double lambda, std::vector<Tensor> parameters, std::vector<Tensor> anchors) {
  if (parameters.size() != anchors.size())
    throw ShapeError("proximal_anchor: " + std::to_string(parameters.size()) + " parameters, " + std::to_string(anchors.size()) +
                     " anchors");
  return {[lambda, parameters = std::move(parameters), anchors = std::move(anchors)](Update& u) {
    for (size_t i = 0; i < parameters.size(); ++i)
      if (parameters[i].same_as(u.parameter)) lerp({u.value}, {anchors[i]}, u.lr * lambda / (1 + u.lr * lambda));
  }};
}

UpdateHook keep_within(double low, double high) {
  if (!(low <= high)) throw ValueError("keep_within: low is above high");
  return {[=](Update& u) { write(u, clamp(u.value, low, high)); }};
}

}  // namespace plumb::optim
