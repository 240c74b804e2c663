// Training generators of any problem. A Problem has
//   using Network = …;                                a model that copies as a module and answers (x, c_noise), or (x, c_noise, c_noise of
//                                                     the end)
//   Network network(bool second_time = false) const;  a fresh one, on the problem's device
//   Tensor batch(int64_t n) const;                    n examples of standard deviation 0.5
//   Shape shape(int64_t n) const;                     theirs
#pragma once
#include <functional>

#include "models/diffusion/loss.h"
#include "models/diffusion/noise_draw.h"
#include "models/diffusion/precondition.h"
#include "models/optim/adam.h"
#include "models/optim/ema.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb::methods {

struct DenoiserTraining {
  int64_t steps = 6000, batch = 128;
  double lr = 1e-3, ema = 0.999;
};

/// A network read as a denoiser (EDM), or as a consistency model with its boundary at 0.002. The network must outlive it.
template <typename Network>
diffusion::Denoiser as_denoiser(const Network& network) {
  return [&network](const Tensor& x, const Tensor& sigma) {
    return diffusion::EdmPrecondition().denoise([&](const Tensor& y, const Tensor& noise) { return network(y, noise); }, x, sigma);
  };
}
template <typename Network>
diffusion::Denoiser as_consistency_model(const Network& network) {
  return [&network](const Tensor& x, const Tensor& sigma) {
    return diffusion::ConsistencyPrecondition().denoise([&](const Tensor& y, const Tensor& noise) { return network(y, noise); }, x, sigma);
  };
}

/// A denoiser of the problem's examples, trained with Adam on denoising_losses of EDM's weighting; σ half lognormal, half uniform in Karras
/// coordinates. The averaged weights. `progress` hears the share done.
template <typename Problem>
typename Problem::Network train_denoiser_of(const Problem& problem, const DenoiserTraining& o,
                                            const std::function<void(double)>& progress) {
  using Network = typename Problem::Network;
  Network network = problem.network();
  optim::Adam adam(network.parameters(), {.lr = o.lr});
  optim::Ema<Network> average(network, {.decay = o.ema, .warmup = true});
  for (int64_t k = 0; k < o.steps; ++k) {
    Tensor clean = problem.batch(o.batch), sigma = to(diffusion::lognormal_and_high_sigmas(o.batch, {.depth = 1}), clean.device());
    Tensor loss = mean(diffusion::denoising_losses(as_denoiser(network), clean, randn_like(clean), sigma));
    adam.zero_grad();
    loss.backward();
    adam.step();
    average.update(network);
    if (k % 50 == 0) progress(static_cast<double>(k) / static_cast<double>(o.steps));
  }
  return average.model;
}

}  // namespace plumb::methods
