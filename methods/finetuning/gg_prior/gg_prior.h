// GG-Prior with BackSlash: It Takes a Good Model to Train a Good Model: Generalized Gaussian Priors for Optimized LLMs (Wu, Xiong, Wen,
// Han; arXiv 2506.00486) and BackSlash: Rate Constrained Optimized Training of Large Language Models (Wu, Wen, Han; arXiv 2504.16968).
// Weights of trained networks follow a generalised Gaussian distribution with a shape below 2: networks start from one, and a penalty that
// follows the shape shortens their code while they train. Reshaping a trained network is deepshape.h; the distribution itself, and codes,
// are in methods/common/generalized_gaussian.h and entropy_coding.h; RF8 and minifloats in models/quantize.
//
//   gg_prior::initialize(net, {.shape = 1, .variance = gg_prior::kReluVariance});
//   …   loss.backward();   optimizer.step();   gg_prior::backslash(net.parameters(), {.lambda = 5});
#pragma once
#include <vector>

#include "methods/common/generalized_gaussian.h"
#include "models/nn/init.h"
#include "models/nn/module.h"

namespace plumb::methods::gg_prior {

/// ξ, the variance of a weight times its fan: for sigmoid or no activation, for relu, and for leaky relu of a slope.
inline constexpr double kLinearVariance = 1, kReluVariance = 2;
inline double leaky_relu_variance(double slope) { return 2 / (1 + slope * slope); }

struct InitOptions {
  double shape = 2;                        ///< ν
  double variance = kReluVariance;         ///< ξ
  nn::init::Fan fan = nn::init::Fan::out;  ///< N: the first dimension, as the official code has it, or what He's rule divides by
};

/// The distribution of a weight [out, in, kernel…] at the start: a = √(ξ / N · Γ(1/ν) / Γ(3/ν)), so that the variance is ξ / N; N the fan,
/// kernels counted. Throws ShapeError below rank 2, ValueError unless ν and ξ are positive.
GeneralizedGaussian start_of(const Shape& weight, const InitOptions& options = {});
/// Fills a weight with draws from it.
void initialize(Tensor weight, const InitOptions& options = {}, Generator& generator = default_generator());
/// Fills a model: weights of rank 2 and more as above; of the other parameters those with "weight" in their name become 1, those with
/// "bias" 0, and the rest stay. (The official function makes kernels of convolutions 1, too.)
void initialize(nn::Module& model, const InitOptions& options = {}, Generator& generator = default_generator());

struct BackslashOptions {
  double lambda = 2e3;      ///< multiplies the rate; the official value is for 1e8 to 1e9 weights, and counts as λ ν / n
  double offset = 1;        ///< c, which keeps the step finite at 0
  bool clip = false;        ///< no step is longer than |w|: weights stop at 0 instead of swinging about it
  bool per_tensor = false;  ///< every tensor has a shape and a number of weights of its own
};

/// After an optimiser's step, of all parameters together:
///   w ← w − factor · λ ν / n · sign(w) (|w| + c)^(ν − 1)
/// with ν fitted to them as they are (fit_moments) and n their number: a step along the gradient of λ / n Σ |w|^ν. Which parameters are
/// held is for the caller to say; the official code gives all of them, norms and biases too. `factor` ties it to a learning-rate schedule
/// (the official step does not). λ = 0 changes nothing, to the last bit. Returns the fit (of the last tensor, if per_tensor). Throws
/// ValueError for no parameters, for weights that are all 0, and for c = 0 where ν < 1.
ShapeFit backslash(const std::vector<Tensor>& parameters, const BackslashOptions& options = {}, double factor = 1);

/// R(w) = Σ [(|w| / a)^ν + log(2 a Γ(1/ν) / ν)] / log 2 − n log₂ step: the bits of weights on a grid under the prior, differentiable in w;
/// the gradient at 0 is taken as 0. Throws ValueError unless step > 0.
Tensor rate_bits(const Tensor& weights, const GeneralizedGaussian& prior, double step);

/// Sets to 0 the `share` of all elements whose magnitude is smallest, over all tensors; of equal ones the first. Throws ValueError outside
/// [0, 1].
void prune_smallest(const std::vector<Tensor>& parameters, double share);

}  // namespace plumb::methods::gg_prior
