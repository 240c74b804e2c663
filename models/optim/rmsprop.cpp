// RMSprop: the constants of the fused update rule::RmsProp.
#include "models/optim/rmsprop.h"

namespace plumb::optim {

void RmsPropOptions::check() const {
  check_option(lr >= 0, "rmsprop", "lr", "not be negative", lr);
  check_option(alpha >= 0 && alpha < 1, "rmsprop", "alpha", "lie in [0, 1)", alpha);
  check_option(eps >= 0, "rmsprop", "eps", "not be negative", eps);
  check_option(weight_decay >= 0, "rmsprop", "weight_decay", "not be negative", weight_decay);
  check_option(momentum >= 0, "rmsprop", "momentum", "not be negative", momentum);
}

void RMSprop::update(std::span<Slot* const> slots) {
  Fused fused(*this, UpdateRule::rmsprop, slots.size());
  for (Slot* s : slots) {
    const RmsPropOptions& o = options_of(*s);
    Tensor velocity = o.momentum > 0 ? state_of(*s, 1) : Tensor(), average = o.centered ? state_of(*s, 2) : Tensor();
    fused.add(*s, {state_of(*s, 0), velocity, average}, {o.weight_decay, o.alpha, rate(*s), o.eps, o.momentum, o.centered ? 1.0 : 0.0});
  }
  fused.run();
}

}  // namespace plumb::optim
