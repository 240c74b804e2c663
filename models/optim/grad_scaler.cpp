// Scaling the loss, and how the scale moves.
#include "models/optim/grad_scaler.h"

#include <cmath>

#include "models/optim/parameters.h"
#include "ops/pointwise.h"

namespace plumb::optim {

void GradScalerOptions::check() const {
  check_option(scale > 0 && std::isfinite(scale), "grad_scaler", "scale", "be positive and finite", scale);
  check_option(growth > 1, "grad_scaler", "growth", "be above 1", growth);
  check_option(backoff > 0 && backoff < 1, "grad_scaler", "backoff", "lie in (0, 1)", backoff);
  check_option(growth_interval >= 1, "grad_scaler", "growth_interval", "be at least 1", static_cast<double>(growth_interval));
}

GradScaler::GradScaler(GradScalerOptions options) : options_((options.check(), options)), scale_(options.scale) {}

Tensor GradScaler::scaled(const Tensor& loss) const {
  if (item_size(loss.dtype()) == 2)
    throw DTypeError("grad_scaler: the loss is " + std::string(name(loss.dtype())) + ", which the scale would overflow; convert it to f32");
  return loss * scale_;
}

void GradScaler::unscale(const std::vector<Tensor>& parameters) const {
  std::vector<Tensor> gradients;
  for (const Tensor& p : parameters)
    if (p.grad().defined()) gradients.push_back(p.grad());
  optim::scale(1 / scale_, gradients);
}

void GradScaler::update(bool finite) {
  ++steps_;
  if (finite && steps_ < options_.growth_interval) return;
  scale_ *= finite ? options_.growth : options_.backoff;
  steps_ = 0;
}

bool GradScaler::step(Optimizer& optimizer) {
  std::vector<Tensor> parameters = optimizer.parameters();
  unscale(parameters);
  bool finite = std::isfinite(norm(gradients(parameters)));
  if (finite) optimizer.step();
  update(finite);
  return finite;
}

void GradScaler::set_state(double scale, int64_t steps_since_change) {
  check_option(scale > 0 && std::isfinite(scale), "grad_scaler", "scale", "be positive and finite", scale);
  scale_ = scale;
  steps_ = steps_since_change;
}

}  // namespace plumb::optim
