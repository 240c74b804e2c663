// Muon: momentum made orthogonal by matrix products; AdamW for the rest.
#include "models/optim/muon.h"

#include <cmath>

#include "models/optim/parameters.h"
#include "ops/matmul.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb::optim {

void MuonOptions::check() const {
  check_option(lr >= 0, "muon", "lr", "not be negative", lr);
  check_option(momentum >= 0 && momentum < 1, "muon", "momentum", "lie in [0, 1)", momentum);
  check_option(weight_decay >= 0, "muon", "weight_decay", "not be negative", weight_decay);
  check_option(newton_schulz_steps >= 0, "muon", "newton_schulz_steps", "not be negative", newton_schulz_steps);
  adamw.check();
}

Tensor newton_schulz(const Tensor& g, int steps) {
  if (g.rank() < 2) throw ShapeError("newton_schulz: needs a matrix, the shape is " + to_string(g.shape()));
  constexpr double a = 3.4445, b = -4.7750, c = 2.0315;
  bool tall = g.size(-2) > g.size(-1);  // A is the smaller of the two Gram matrices
  Tensor x = tall ? mT(g) : g;
  x = x / (pow(sum(x * x, {-2, -1}, true), Scalar(0.5)) + Scalar(1e-7));
  for (int i = 0; i < steps; ++i) {
    Tensor gram = matmul(x, mT(x));
    x = x * a + matmul(gram * b + matmul(gram, gram) * c, x);
  }
  return tall ? mT(x) : x;
}

double Muon::rate(const Slot& slot) { return orthogonal(slot) ? GroupedOptimizer::rate(slot) : options_of(slot).adamw.lr * lr_scale(); }

void Muon::update_matrix(Slot& s) {
  const MuonOptions& o = options_of(s);
  double lr = rate(s), rows = static_cast<double>(s.parameter.size(0)), columns = static_cast<double>(s.parameter.numel()) / rows;
  Tensor momentum = state_of(s, 0), gradient = contiguous(to(s.gradient, momentum.dtype())), value = value_of(s);
  lerp({momentum}, {gradient}, 1 - o.momentum);
  Tensor direction = o.nesterov ? plumb::lerp(gradient, momentum, o.momentum) : momentum;
  direction = reshape(newton_schulz(plumb::flatten(direction, 1), o.newton_schulz_steps), s.parameter.shape());
  scale(1 - lr * o.weight_decay, {value});
  axpy(-lr * std::sqrt(std::max(1.0, rows / columns)), {direction}, {value});
  if (s.master.defined()) copy_data(s.master, s.parameter);
}

void Muon::update(std::span<Slot* const> slots) {
  Fused rest(*this, UpdateRule::adam, slots.size());
  BiasCorrections corrections;
  for (Slot* s : slots) {
    if (orthogonal(*s) && s->parameter.numel() > 0) update_matrix(*s);
    else if (!orthogonal(*s)) {
      const AdamWOptions& o = options_of(*s).adamw;
      rest.add(*s, {state_of(*s, 1), state_of(*s, 2)}, adam_constants(o, rate(*s), s->steps, 0, o.weight_decay, corrections));
    }
  }
  rest.run();
}

}  // namespace plumb::optim
