// The plain autoencoder, and what all kinds share.
#include "models/autoencoder/autoencoder.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "ops/elementary.h"
#include "ops/loss.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb::autoencoder {
namespace {

constexpr double kFirstSigma = 0.25;  // of a learned one
constexpr int64_t kVectorMaps = 8;    // channels of the maps that a latent vector is read from and written to

int64_t maps(const AutoencoderConfig& c, int64_t parts) { return c.vector ? kVectorMaps : parts * c.latent; }

std::string expected(const Shape& shape) {
  std::string text = to_string(shape);
  return "[B, " + text.substr(1);
}

void check_shape(const char* what, const Tensor& x, const Shape& each) {
  if (x.rank() != each.rank() + 1 || x.shape().slice(1, x.rank()) != each)
    throw ShapeError("autoencoder: takes " + std::string(what) + " " + expected(each) + ", got " + to_string(x.shape()));
}

}  // namespace

Tensor negative_log_likelihood(Likelihood likelihood, const Tensor& output, const Tensor& images, const Tensor& log_sigma) {
  if (likelihood == Likelihood::bernoulli)
    return sum(flatten(binary_cross_entropy_with_logits(output, images, {.reduction = Reduction::none}), 1), {1});
  Tensor distance = (images - (output + 1) * 0.5) * exp(-log_sigma);
  double pixels = static_cast<double>(images.numel()) / static_cast<double>(std::max<int64_t>(1, images.size(0)));
  return 0.5 * sum(square(flatten(distance, 1)), {1}) + pixels * (log_sigma + 0.5 * std::log(2 * std::numbers::pi));
}

Autoencoder::Autoencoder(const AutoencoderConfig& c, int64_t parts)
    : config_((c.check(), c)), encoder_(this, "encoder", c, maps(c, parts)), decoder_(this, "decoder", c, maps(c, 1)) {
  if (c.vector) {
    int64_t flat = kVectorMaps * c.inner_side() * c.inner_side();
    quant_linear_.emplace(this, "quant_linear", flat, parts * c.latent);
    post_quant_linear_.emplace(this, "post_quant_linear", c.latent, flat);
  } else {
    quant_conv_.emplace(this, "quant_conv", parts * c.latent, parts * c.latent, 1);
    post_quant_conv_.emplace(this, "post_quant_conv", c.latent, c.latent, 1);
  }
  if (c.likelihood == Likelihood::gaussian && c.sigma == 0) register_parameter("log_sigma", log_sigma_, full({}, std::log(kFirstSigma)));
}

Tensor Autoencoder::encoded(const Tensor& images) const {
  const AutoencoderConfig& c = config_;
  check_shape("images", images, {c.channels, c.side, c.side});
  Tensor h = encoder_(images * 2 - 1);
  return c.vector ? (*quant_linear_)(flatten(h, 1)) : (*quant_conv_)(h);
}

Tensor Autoencoder::output(const Tensor& latents) const {
  check_shape("latents", latents, config_.latent_shape());
  if (!config_.vector) return decoder_((*post_quant_conv_)(latents));
  return decoder_(unflatten((*post_quant_linear_)(latents), 1, {kVectorMaps, config_.inner_side(), config_.inner_side()}));
}

Tensor Autoencoder::decode(const Tensor& latents) const {
  Tensor y = output(latents);
  return config_.likelihood == Likelihood::bernoulli ? sigmoid(y) : (y + 1) * 0.5;
}

Tensor Autoencoder::reconstruction_losses(const Tensor& latents, const Tensor& images) const {
  Tensor log_sigma = log_sigma_.defined() ? static_cast<const Tensor&>(log_sigma_)
                                          : full({}, std::log(config_.sigma > 0 ? config_.sigma : 1), images.dtype(), images.device());
  return negative_log_likelihood(config_.likelihood, output(latents), images, log_sigma);
}

AutoencoderLoss Autoencoder::loss(const Tensor& images, Generator&) const {
  Tensor reconstruction = mean(reconstruction_losses(encode(images), images));
  return {reconstruction, reconstruction, zeros({}, reconstruction.dtype(), reconstruction.device())};
}

}  // namespace plumb::autoencoder
