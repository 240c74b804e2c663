// Adagrad: the constants of the fused update rule::Adagrad.
#include "models/optim/adagrad.h"

namespace plumb::optim {

void AdagradOptions::check() const {
  check_option(lr >= 0, "adagrad", "lr", "not be negative", lr);
  check_option(lr_decay >= 0, "adagrad", "lr_decay", "not be negative", lr_decay);
  check_option(eps >= 0, "adagrad", "eps", "not be negative", eps);
  check_option(weight_decay >= 0, "adagrad", "weight_decay", "not be negative", weight_decay);
  check_option(initial_accumulator >= 0, "adagrad", "initial_accumulator", "not be negative", initial_accumulator);
}

void Adagrad::update(std::span<Slot* const> slots) {
  Fused fused(*this, UpdateRule::adagrad, slots.size());
  for (Slot* s : slots) {
    const AdagradOptions& o = options_of(*s);
    double lr = rate(*s) / (1 + static_cast<double>(s->steps - 1) * o.lr_decay);
    fused.add(*s, {state_of(*s, 0, o.initial_accumulator)}, {o.weight_decay, lr, o.eps});
  }
  fused.run();
}

}  // namespace plumb::optim
