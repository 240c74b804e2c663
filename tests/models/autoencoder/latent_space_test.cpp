// The latent space of a trained autoencoder: scaled latents, samples with the latents' covariance, state.
#include <doctest/doctest.h>

#include <cmath>

#include "engine/autograd/grad_mode.h"
#include "engine/data/digits/digits.h"
#include "models/autoencoder/latent_space.h"
#include "models/autoencoder/vae.h"
#include "models/autoencoder/vqvae.h"
#include "ops/elementary.h"
#include "ops/matmul.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"

using namespace plumb;
using namespace plumb::autoencoder;

namespace {

const AutoencoderConfig kSmall{.channels = 1, .side = 8, .width = 4, .multipliers = {1, 2}, .groups = 2, .latent = 2};

double worst(const Tensor& a, const Tensor& b) { return max(abs(a - b)).item(); }

}  // namespace

TEST_CASE("latent space: latents have mean 0 and deviation 1 a channel, and decode to the model's reconstruction") {
  manual_seed(1);
  AutoencoderConfig vector = kSmall;
  vector.vector = true, vector.latent = 3;
  Autoencoder maps(kSmall);
  Vae vectors({.network = vector});
  VqVae codes({.network = kSmall});
  data::Dataset images = data::digits().train().take(300);
  Tensor all = images.batch(300).next().image;
  for (Autoencoder* model : {&maps, static_cast<Autoencoder*>(&vectors), static_cast<Autoencoder*>(&codes)}) {
    LatentSpace space = LatentSpace::measured(*model, images);
    CHECK(model->training());
    Tensor z = space.encode(all);
    CHECK(!z.requires_grad());
    std::vector<int> dims = space.shape().rank() == 1 ? std::vector<int>{0} : std::vector<int>{0, 2, 3};
    for (double m : to_vector(mean(z, dims))) CHECK(std::abs(m) < 1e-4);
    for (double s : to_vector(std_dev(z, dims, 0))) CHECK(s == doctest::Approx(1).epsilon(1e-3));
    NoGrad off;
    model->eval();
    CHECK(worst(space.decode(z), model->reconstruct(all)) < 1e-4);
    model->train();
  }
}

TEST_CASE("latent space: samples have the images' means and covariances") {
  manual_seed(2);
  AutoencoderConfig config = kSmall;
  config.vector = true, config.latent = 3;
  Autoencoder model(config);
  data::Dataset images = data::digits().train();
  LatentSpace space = LatentSpace::measured(model, images);
  Generator random(1);
  Tensor drawn = to(space.sample(40000, random), f64), real = to(space.encode(images.batch(images.size()).next().image), f64);
  auto covariance = [](const Tensor& z) {
    Tensor apart = z - mean(z, {0});
    return matmul(transpose(apart, 0, 1), apart) / static_cast<double>(z.size(0));
  };
  CHECK(worst(mean(drawn, {0}), mean(real, {0})) < 0.03);
  CHECK(worst(covariance(drawn), covariance(real)) < 0.05);
  CHECK(space.decode(space.sample(5, random)).shape() == Shape{5, 1, 8, 8});
}

TEST_CASE("latent space: stored and read again it is the same; another model's is refused") {
  manual_seed(3);
  Autoencoder model(kSmall);
  data::Dataset images = data::digits().train().take(300);
  LatentSpace space = LatentSpace::measured(model, images), again(model, space.state());
  Tensor x = images.batch(4).next().image;
  CHECK(to_vector(space.encode(x)) == to_vector(again.encode(x)));
  Generator a(5), b(5);
  CHECK(to_vector(space.sample(2, a)) == to_vector(again.sample(2, b)));
  AutoencoderConfig wide = kSmall;
  wide.latent = 3;
  Autoencoder other(wide);
  CHECK_THROWS_WITH_AS(LatentSpace(other, space.state()), "latent space: \"mean\" is [2], this model's is [3]", ShapeError);
  CHECK_THROWS_WITH_AS(LatentSpace(model, StateDict{}), "latent space: \"mean\" is missing", ValueError);
  StateDict bare = space.state();
  bare.erase("factor");
  CHECK_THROWS_WITH_AS(LatentSpace(model, bare).sample(1, a),
                       "latent space: a latent [2, 4, 4] is too large for a Gaussian with its covariance", ValueError);
}
