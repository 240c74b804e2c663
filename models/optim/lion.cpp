// Lion: the constants of the fused update rule::Lion.
#include "models/optim/lion.h"

namespace plumb::optim {

void LionOptions::check() const {
  check_option(lr >= 0, "lion", "lr", "not be negative", lr);
  check_option(beta1 >= 0 && beta1 < 1, "lion", "beta1", "lie in [0, 1)", beta1);
  check_option(beta2 >= 0 && beta2 < 1, "lion", "beta2", "lie in [0, 1)", beta2);
  check_option(weight_decay >= 0, "lion", "weight_decay", "not be negative", weight_decay);
}

void Lion::update(std::span<Slot* const> slots) {
  Fused fused(*this, UpdateRule::lion, slots.size());
  for (Slot* s : slots) {
    const LionOptions& o = options_of(*s);
    fused.add(*s, {state_of(*s, 0)}, {1 - rate(*s) * o.weight_decay, rate(*s), o.beta1, o.beta2});
  }
  fused.run();
}

}  // namespace plumb::optim
