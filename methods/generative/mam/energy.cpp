// Objectives of an unnormalised density.
#include "methods/generative/mam/energy.h"

#include <string>

#include "engine/autograd/grad_mode.h"
#include "ops/create.h"
#include "ops/elementary.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb::methods::mam {

using namespace any_order;

Reinforce reinforce(const Tensor& log_p, const Tensor& rewarded, const Tensor& log_f) {
  if (log_p.rank() != 1 || log_p.numel() < 2 || rewarded.shape() != log_p.shape() || log_f.shape() != log_p.shape())
    throw ShapeError("reinforce: takes log p and log f of the same samples, at least two, got " + to_string(log_p.shape()) + " and " +
                     to_string(log_f.shape()));
  Reinforce result;
  {
    NoGrad off;
    result.advantage = rewarded.detach() - to(log_f, log_p.dtype());
    result.reward = (result.advantage - mean(result.advantage)) / (std_dev(result.advantage) + 1.19e-7);
  }
  result.loss = mean(result.reward * log_p);
  return result;
}

Reinforce reinforce(const Tensor& log_p, const Tensor& log_f) { return reinforce(log_p, log_p, log_f); }

EnergyLoss kl_loss(const Heads& heads, const LogDensity& log_f, const Tensor& samples, const Tensor& rank, const Tensor& d, double alpha,
                   double log_z0) {
  auto variables = static_cast<double>(samples.size(1));
  Tensor consistency =
      self_consistency(heads, samples, rank, d).loss * variables + boundary_loss(heads, samples.size(1), scalar_tensor(log_z0, f64));
  Tensor fit = reinforce(heads.log_marginal(samples), log_f(samples)).loss;
  return {consistency * alpha + fit, fit.item(), consistency.item()};
}

EnergyLoss regression_loss(const Heads& heads, const LogDensity& log_f, const Tensor& proposals, const Tensor& samples, const Tensor& log_z,
                           double alpha, Generator& generator) {
  auto loss_at = [&](const Tensor& x) {
    return self_consistency(heads, x, random_ranks(x.size(0), x.size(1), generator), random_steps(x.size(0), x.size(1), generator)).loss;
  };
  Tensor consistency =
      (loss_at(proposals) + loss_at(samples)) * (static_cast<double>(samples.size(1)) / 2) + boundary_loss(heads, samples.size(1), log_z);
  Tensor log_p = heads.log_marginal(proposals);
  Tensor fit = mean(square(log_p - to(log_f(proposals), log_p.dtype()))) * 0.5;
  return {consistency * alpha + fit, fit.item(), consistency.item()};
}

Tensor SampleBuffer::advance(const Conditionals& model, int64_t step, Generator& generator) {
  int64_t rows = x.size(0), variables = x.size(1);
  if (gibbs_steps < 1 || gibbs_steps > variables)
    throw ValueError("mam: gibbs_steps must lie in [1, " + std::to_string(variables) + "], they are " + std::to_string(gibbs_steps));
  Tensor rank = random_ranks(rows, variables, generator);
  bool afresh = step == 0 || (refresh_every > 0 && step % refresh_every == 0);
  x = redraw(model, x, rank, afresh ? variables : gibbs_steps, generator);
  return rank;
}

EnergyLoss arm_full_loss(const Conditionals& model, const LogDensity& log_f, const Tensor& samples) {
  Tensor log_p = log_likelihood(model, samples, forward_ranks(samples.size(0), samples.size(1)));
  Tensor fit = reinforce(log_p, log_f(samples)).loss;
  return {fit, fit.item()};
}

Tensor one_step_estimate(const Conditionals& model, const Tensor& x, const Tensor& d) {
  Tensor rank = forward_ranks(x.size(0), x.size(1));
  return log_probability_at(model(keep_first(x, rank, d - 1)), x, variable_at(rank, d - 1)) * static_cast<double>(x.size(1));
}

EnergyLoss arm_mc_loss(const Conditionals& model, const LogDensity& log_f, const Tensor& samples, Generator& generator) {
  int64_t rows = samples.size(0), variables = samples.size(1);
  Tensor rewarded;
  {
    NoGrad off;
    rewarded = one_step_estimate(model, samples, random_steps(rows, variables, generator));
  }
  Tensor fit = reinforce(one_step_estimate(model, samples, random_steps(rows, variables, generator)), rewarded, log_f(samples)).loss;
  return {fit, fit.item()};
}

}  // namespace plumb::methods::mam
