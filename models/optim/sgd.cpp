// Stochastic gradient descent: the constants of the fused update rule::Sgd.
#include "models/optim/sgd.h"

namespace plumb::optim {

void SgdOptions::check() const {
  check_option(lr >= 0, "sgd", "lr", "not be negative", lr);
  check_option(momentum >= 0, "sgd", "momentum", "not be negative", momentum);
  check_option(weight_decay >= 0, "sgd", "weight_decay", "not be negative", weight_decay);
  check_option(!nesterov || momentum > 0, "sgd", "momentum with nesterov", "be positive", momentum);
  check_option(!nesterov || dampening == 0, "sgd", "dampening with nesterov", "be 0", dampening);
}

void SGD::update(std::span<Slot* const> slots) {
  Fused fused(*this, UpdateRule::sgd, slots.size());
  for (Slot* s : slots) {
    const SgdOptions& o = options_of(*s);
    if (o.momentum == 0) {
      fused.add(*s, {}, {o.weight_decay, 0, 0, 1, 0, rate(*s)});
      continue;
    }
    bool first = s->state.empty() || !s->state[0].defined();
    std::array<double, 2> use = o.nesterov ? std::array<double, 2>{1, o.momentum} : std::array<double, 2>{0, 1};
    fused.add(*s, {state_of(*s, 0)}, {o.weight_decay, o.momentum, first ? 1 : 1 - o.dampening, use[0], use[1], rate(*s)});
  }
  fused.run();
}

}  // namespace plumb::optim
