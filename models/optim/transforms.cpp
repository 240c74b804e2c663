// Changes to gradients before a step.
#include "models/optim/transforms.h"

#include <cmath>

#include "engine/autograd/grad_mode.h"
#include "models/optim/parameters.h"
#include "ops/pointwise.h"

namespace plumb::optim {

double clip_norm(const std::vector<Tensor>& gradients, double max_norm) {
  check_option(max_norm > 0, "clip_norm", "max_norm", "be positive", max_norm);
  double before = norm(gradients);
  if (std::isfinite(before) && before > max_norm) scale(max_norm / before, gradients);
  return before;
}

void clip_value(const std::vector<Tensor>& gradients, double limit) {
  check_option(limit > 0, "clip_value", "limit", "be positive", limit);
  NoGrad off;
  for (Tensor g : gradients) copy_data(clamp(g, -limit, limit), g);
}

// The tiny term keeps weights of zero, which have no direction, from dividing by zero.
constexpr double kTiny = 1e-30;

// The projection's own rounding, as a share of the gradient.
double noise_floor(DType type) { return type == f64 ? 1e-12 : type == f32 ? 1e-6 : 1e-2; }

void make_perpendicular(const std::vector<Tensor>& parameters, const std::vector<Tensor>& gradients, bool keep_norm) {
  for (size_t i = 0; i < gradients.size(); ++i) {
    std::vector<Tensor> w{parameters[i].detach()}, g{gradients[i]};
    double before = norm(g);
    axpy(-dot(w, g) / (dot(w, w) + kTiny), w, g);
    double left = norm(g);
    if (left < noise_floor(gradients[i].dtype()) * before)
      scale(0, g);
    else if (keep_norm)
      scale(before / (left + kTiny), g);
  }
}

void project_out(const std::vector<Tensor>& gradients, const std::vector<std::vector<Tensor>>& directions) {
  for (const auto& b : directions) axpy(-dot(gradients, b), b, gradients);
}

void orthonormalize(std::vector<std::vector<Tensor>>& directions) {
  std::vector<std::vector<Tensor>> kept;
  for (auto& d : directions) {
    double before = norm(d);
    for (int pass = 0; pass < 2; ++pass) project_out(d, kept);  // twice is enough
    double left = norm(d);
    if (!(left > 1e-6 * before)) continue;
    scale(1 / left, d);
    kept.push_back(std::move(d));
  }
  directions = std::move(kept);
}

GradientTransform clip_norm(double max_norm) {
  check_option(max_norm > 0, "clip_norm", "max_norm", "be positive", max_norm);
  return [=](const std::vector<Tensor>&, std::vector<Tensor>& gradients) { clip_norm(gradients, max_norm); };
}
GradientTransform clip_value(double limit) {
  check_option(limit > 0, "clip_value", "limit", "be positive", limit);
  return [=](const std::vector<Tensor>&, std::vector<Tensor>& gradients) { clip_value(gradients, limit); };
}
GradientTransform perpendicular(bool keep_norm) {
  return
      [=](const std::vector<Tensor>& parameters, std::vector<Tensor>& gradients) { make_perpendicular(parameters, gradients, keep_norm); };
}
GradientTransform project_out(std::vector<std::vector<Tensor>> directions) {
  return [directions = std::move(directions)](const std::vector<Tensor>&, std::vector<Tensor>& gradients) {
    project_out(gradients, directions);
  };
}

}  // namespace plumb::optim
