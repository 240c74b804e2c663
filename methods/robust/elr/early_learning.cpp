// Logistic regression on two noisy clouds with flipped labels.
#include "methods/robust/elr/early_learning.h"

#include <fmt/format.h>

#include "engine/autograd/grad_mode.h"
#include "engine/core/error.h"
#include "ops/elementary.h"
#include "ops/matmul.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb::methods::elr {

LinearProblem linear_problem(const LinearProblemOptions& o, Generator& generator) {
  if (o.samples < 1 || o.dimensions < 1) throw ValueError(fmt::format("elr: {} samples in {} dimensions", o.samples, o.dimensions));
  if (!(o.sigma >= 0)) throw ValueError(fmt::format("elr: sigma is {}", o.sigma));
  if (!(o.flip_rate >= 0 && o.flip_rate <= 1))
    throw ValueError(fmt::format("elr: the flip rate must lie in [0, 1], it is {}", o.flip_rate));
  RandomOptions drawn{.dtype = f64, .generator = &generator};
  std::vector<double> y(static_cast<size_t>(o.samples));
  for (size_t i = 0; i < y.size(); ++i) y[i] = i % 2 == 0 ? 1 : -1;
  Tensor truth = from_vector(y), v = randn({o.dimensions}, drawn);
  v = v / norm(v);
  Tensor x = outer(truth, v) + o.sigma * randn({o.samples, o.dimensions}, drawn);
  Tensor flips = bernoulli({o.samples}, o.flip_rate, {.dtype = f64, .generator = &generator});
  return {x, truth, truth * (1 - 2 * flips)};
}

EarlyLearning early_learning(const LinearProblem& problem, int64_t steps, double lr) {
  NoGrad no_grad;
  Tensor theta = zeros({problem.x.size(1)}, f64), flipped = to(problem.truth != problem.given, f64);
  double n = static_cast<double>(problem.x.size(0)), wrong = sum(flipped).item();
  EarlyLearning out;
  for (int64_t step = 1, next = 1; step <= steps; ++step) {
    // The loss is mean log(1 + exp(−ỹ ⟨x, θ⟩)); its negative gradient mean ỹ σ(−ỹ ⟨x, θ⟩) x.
    Tensor pull = problem.given * sigmoid(-(problem.given * matmul(problem.x, theta)));
    theta = theta + (lr / n) * matmul(pull, problem.x);
    if (step != next && step != steps) continue;
    next = 2 * step;
    double corrected = sum(flipped * to(sign(matmul(problem.x, theta)) == problem.truth, f64)).item() / wrong;
    out.step.push_back(step);
    out.corrected.push_back(corrected);
    out.memorised.push_back(1 - corrected);
  }
  return out;
}

}  // namespace plumb::methods::elr
