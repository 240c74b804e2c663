// RAdam: the constants of the fused update rule::Adam; before ρ > 5 its denominator is 1.
#include "models/optim/radam.h"

#include <cmath>

namespace plumb::optim {

void RAdamOptions::check() const {
  check_option(lr >= 0, "radam", "lr", "not be negative", lr);
  check_option(beta1 >= 0 && beta1 < 1, "radam", "beta1", "lie in [0, 1)", beta1);
  check_option(beta2 >= 0 && beta2 < 1, "radam", "beta2", "lie in [0, 1)", beta2);
  check_option(eps >= 0, "radam", "eps", "not be negative", eps);
  check_option(weight_decay >= 0, "radam", "weight_decay", "not be negative", weight_decay);
}

static std::array<double, 8> radam_constants(const RAdamOptions& o, double lr, int64_t step) {
  double t = static_cast<double>(step), decay1 = std::pow(o.beta1, t), decay2 = std::pow(o.beta2, t);
  double limit = 2 / (1 - o.beta2) - 1, rho = limit - 2 * t * decay2 / (1 - decay2), m_step = lr / (1 - decay1);
  double coupled = o.decoupled ? 0 : o.weight_decay, keep = o.decoupled ? 1 - lr * o.weight_decay : 1;
  if (rho <= 5) return {coupled, keep, o.beta1, o.beta2, m_step, 0, 1};
  double r = std::sqrt((rho - 4) * (rho - 2) * limit / ((limit - 4) * (limit - 2) * rho));
  return {coupled, keep, o.beta1, o.beta2, m_step * r * std::sqrt(1 - decay2), 1, o.eps};
}

void RAdam::update(std::span<Slot* const> slots) {
  Fused fused(*this, UpdateRule::adam, slots.size());
  for (Slot* s : slots) fused.add(*s, {state_of(*s, 0), state_of(*s, 1)}, radam_constants(options_of(*s), rate(*s), s->steps));
  fused.run();
}

}  // namespace plumb::optim
