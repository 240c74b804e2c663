// Standardised latents.
#include "models/diffusion/latent_standardizer.h"

#include <cmath>
#include <string>

#include "engine/autograd/grad_mode.h"
#include "ops/elementary.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb::diffusion {
namespace {

// Of what is left after averaging over all dimensions but the channels': [1, C, 1, ..]
std::vector<int> averaged(const Tensor& x, bool each_number) {
  std::vector<int> dims{0};
  for (int d = 2; d < x.rank() && !each_number; ++d) dims.push_back(d);
  return dims;
}

}  // namespace

LatentStandardizer LatentStandardizer::fit(const Tensor& latents, const StandardizerOptions& o) {
  if (latents.rank() < 2 || latents.size(0) < 2)
    throw ShapeError("latent_standardizer: takes at least 2 latents [n, C, ..], got " + to_string(latents.shape()));
  if (!(o.deviation > 0)) throw ValueError("latent_standardizer: the deviation must be positive, it is " + decimal(o.deviation));
  NoGrad off;
  Tensor x = to(latents, f64);
  std::vector<int> dims = averaged(x, o.each_number);
  Tensor mean = plumb::mean(x, dims, true), variance = plumb::mean(square(x - mean), dims, true);
  std::vector<double> variances = to_vector(variance);
  for (size_t c = 0; c < variances.size(); ++c)
    if (!(variances[c] > 0))
      throw ValueError("latent_standardizer: channel " + std::to_string(c) + " does not vary over the " + std::to_string(latents.size(0)) +
                       " latents");
  LatentStandardizer result;
  result.mean_ = to(mean, latents.dtype());
  result.scale_ = to(o.deviation / sqrt(variance), latents.dtype());
  return result;
}

LatentStandardizer LatentStandardizer::from_state(const StateDict& state) {
  LatentStandardizer result;
  for (const char* name : {"mean", "scale"})
    if (!state.contains(name)) throw ValueError(std::string("latent_standardizer: the state has no \"") + name + "\"");
  result.mean_ = state.at("mean");
  result.scale_ = state.at("scale");
  return result;
}

StateDict LatentStandardizer::state() const { return {{"mean", mean_}, {"scale", scale_}}; }

Tensor LatentStandardizer::apply(const Tensor& x) const { return (x - mean_) * scale_; }
Tensor LatentStandardizer::invert(const Tensor& x) const { return x / scale_ + mean_; }

double kurtosis(const Tensor& values) {
  NoGrad off;
  Tensor x = to(values, f64), centred = square(x - mean(x));
  double variance = mean(centred).item();
  if (!(variance > 0)) throw ValueError("kurtosis: the " + std::to_string(values.numel()) + " numbers do not vary");
  return mean(square(centred)).item() / (variance * variance);
}

}  // namespace plumb::diffusion
