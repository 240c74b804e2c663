// Adam and AdamW: the constants of the fused update rule::Adam.
#include "models/optim/adam.h"

namespace plumb::optim {
namespace {

template <typename Options>
void check_adam(const char* name, const Options& o) {
  check_option(o.lr >= 0, name, "lr", "not be negative", o.lr);
  check_option(o.beta1 >= 0 && o.beta1 < 1, name, "beta1", "lie in [0, 1)", o.beta1);
  check_option(o.beta2 >= 0 && o.beta2 < 1, name, "beta2", "lie in [0, 1)", o.beta2);
  check_option(o.eps >= 0, name, "eps", "not be negative", o.eps);
  check_option(o.weight_decay >= 0, name, "weight_decay", "not be negative", o.weight_decay);
}

}  // namespace

void AdamOptions::check() const { check_adam("adam", *this); }
void AdamWOptions::check() const { check_adam("adamw", *this); }

void Adam::update(std::span<Slot* const> slots) {
  Fused fused(*this, UpdateRule::adam, slots.size());
  BiasCorrections corrections;
  for (Slot* s : slots) {
    const AdamOptions& o = options_of(*s);
    fused.add(*s, {state_of(*s, 0), state_of(*s, 1)}, adam_constants(o, rate(*s), s->steps, o.weight_decay, 0, corrections));
  }
  fused.run();
}

void AdamW::update(std::span<Slot* const> slots) {
  Fused fused(*this, UpdateRule::adam, slots.size());
  BiasCorrections corrections;
  for (Slot* s : slots) {
    const AdamWOptions& o = options_of(*s);
    fused.add(*s, {state_of(*s, 0), state_of(*s, 1)}, adam_constants(o, rate(*s), s->steps, 0, o.weight_decay, corrections));
  }
  fused.run();
}

}  // namespace plumb::optim
