// L-BFGS called once, on copies.
#include "models/optim/minimize.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "engine/autograd/grad_mode.h"
#include "models/optim/lbfgs.h"
#include "ops/shape.h"

namespace plumb::optim {
namespace {

void check(const std::vector<Tensor>& start, const MinimizeOptions& o) {
  if (start.empty()) throw ValueError("lbfgs_minimize: there is nothing to vary");
  if (o.iterations < 1) throw ValueError("lbfgs_minimize: needs at least 1 iteration, got " + std::to_string(o.iterations));
  if (!(o.gradient_tolerance >= 0 && o.change_tolerance >= 0)) throw ValueError("lbfgs_minimize: tolerances must not be negative");
}

double largest(const std::vector<Tensor>& x) {
  double most = 0;
  for (const Tensor& t : x)
    if (t.grad().defined())
      for (double v : to_vector(t.grad())) most = std::max(most, std::abs(v));
  return most;
}

}  // namespace

Minimum lbfgs_minimize(const std::function<Tensor(const std::vector<Tensor>&)>& f, const std::vector<Tensor>& start,
                       const MinimizeOptions& o) {
  check(start, o);
  GradMode on(true);
  Minimum found;
  for (const Tensor& s : start) found.x.push_back(clone(to(s.detach(), f64)).requires_grad_());
  auto evaluate = [&] {
    for (const Tensor& t : found.x) t.zero_grad();
    Tensor value = f(found.x);
    value.backward();
    ++found.evaluations;
    return value;
  };
  LBFGS lbfgs(found.x, {.max_iterations = o.iterations,
                        .max_evaluations = 2 * o.iterations + 50,
                        .history = o.history,
                        .gradient_tolerance = o.gradient_tolerance,
                        .change_tolerance = o.change_tolerance});
  lbfgs.step(evaluate);
  found.value = evaluate().item();
  found.gradient = largest(found.x);
  found.converged = found.gradient <= o.gradient_tolerance;
  for (Tensor& t : found.x) t = t.detach();
  return found;
}

}  // namespace plumb::optim
