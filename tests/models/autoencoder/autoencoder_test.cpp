// Autoencoders: shapes, names, likelihoods, evidence bounds, derivatives, state, learning, errors.
#include <doctest/doctest.h>

#include <cmath>
#include <numbers>
#include <set>

#include "engine/autograd/grad_mode.h"
#include "engine/core/parallel.h"
#include "engine/data/digits/digits.h"
#include "engine/data/step_batches.h"
#include "models/autoencoder/vae.h"
#include "models/optim/adam.h"
#include "ops/elementary.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "tests/models/module_gradients.h"
#include "tests/models/reference.h"

using namespace plumb;
using namespace plumb::autoencoder;

namespace {

const AutoencoderConfig kSmall{.channels = 1, .side = 8, .width = 4, .multipliers = {1, 2}, .groups = 2, .latent = 2};

AutoencoderConfig vector_form(int64_t latent) {
  AutoencoderConfig c = kSmall;
  c.vector = true, c.latent = latent;
  return c;
}

}  // namespace

TEST_CASE("autoencoder: names are latent diffusion's, and the size is that of its layers") {
  Vae vae({.network = {.channels = 3, .side = 32, .width = 8, .multipliers = {1, 2, 4}, .blocks = 2, .groups = 4, .latent = 3}});
  std::set<std::string> names;
  for (const auto& p : vae.named_parameters()) names.insert(p.name);
  for (const char* wanted : {"encoder.conv_in.weight", "encoder.down.0.block.1.norm1.weight", "encoder.down.0.downsample.conv.weight",
                             "encoder.down.1.block.0.nin_shortcut.bias", "encoder.mid.block_1.conv1.weight", "encoder.mid.attn_1.q.weight",
                             "encoder.mid.attn_1.proj_out.bias", "encoder.mid.block_2.conv2.bias", "encoder.norm_out.weight",
                             "encoder.conv_out.bias", "quant_conv.weight", "post_quant_conv.bias", "decoder.conv_in.weight",
                             "decoder.mid.attn_1.v.bias", "decoder.up.0.block.2.norm2.bias", "decoder.up.2.upsample.conv.weight",
                             "decoder.up.1.block.0.nin_shortcut.weight", "decoder.conv_out.weight"})
    CHECK_MESSAGE(names.contains(wanted), wanted);
  for (const char* unwanted : {"encoder.down.2.downsample.conv.weight", "decoder.up.0.upsample.conv.weight",
                               "encoder.down.0.block.0.nin_shortcut.weight", "decoder.up.2.block.0.nin_shortcut.weight"})
    CHECK_MESSAGE(!names.contains(unwanted), unwanted);
  auto conv = [](int64_t i, int64_t o, int64_t k) { return i * o * k * k + o; };
  auto block = [&](int64_t i, int64_t o) { return 2 * i + conv(i, o, 3) + 2 * o + conv(o, o, 3) + (i != o ? conv(i, o, 1) : 0); };
  int64_t middle = 2 * block(32, 32) + 64 + 4 * conv(32, 32, 1);
  int64_t encoder = conv(3, 8, 3) + 2 * block(8, 8) + conv(8, 8, 3) + block(8, 16) + block(16, 16) + conv(16, 16, 3) + block(16, 32) +
                    block(32, 32) + middle + 64 + conv(32, 6, 3);
  int64_t decoder = conv(3, 32, 3) + middle + 3 * block(32, 32) + conv(32, 32, 3) + block(32, 16) + 2 * block(16, 16) + conv(16, 16, 3) +
                    block(16, 8) + 2 * block(8, 8) + 16 + conv(8, 3, 3);
  CHECK(vae.num_parameters() == encoder + decoder + conv(6, 6, 1) + conv(3, 3, 1));
}

TEST_CASE("autoencoder: latents are maps or vectors, images come back in their size and range") {
  manual_seed(1);
  Tensor images = rand({3, 1, 8, 8});
  Autoencoder maps(kSmall), vectors(vector_form(5));
  CHECK(maps.encode(images).shape() == Shape{3, 2, 4, 4});
  CHECK(vectors.encode(images).shape() == Shape{3, 5});
  for (Autoencoder* model : {&maps, &vectors}) {
    Tensor y = model->reconstruct(images);
    CHECK(y.shape() == images.shape());
    CHECK(min(y).item() > 0);
    CHECK(max(y).item() < 1);
  }
  AutoencoderLoss loss = maps.loss(images, default_generator());
  CHECK(loss.loss.item() == loss.reconstruction.item());
  CHECK(loss.regulariser.item() == 0);
}

TEST_CASE("autoencoder: likelihoods are their formulas, in nats an image") {
  manual_seed(2);
  Tensor output = randn({2, 1, 2, 3}, {.dtype = f64}), images = rand({2, 1, 2, 3}, {.dtype = f64});
  auto y = to_vector(output), x = to_vector(images);
  auto bernoulli = to_vector(negative_log_likelihood(Likelihood::bernoulli, output, images, {}));
  auto gaussian = to_vector(negative_log_likelihood(Likelihood::gaussian, output, images, full({}, std::log(0.3), f64)));
  for (size_t n = 0; n < 2; ++n) {
    double b = 0, g = 0;
    for (size_t i = 6 * n; i < 6 * n + 6; ++i) {
      double p = 1 / (1 + std::exp(-y[i])), d = x[i] - (y[i] + 1) / 2;
      b -= x[i] * std::log(p) + (1 - x[i]) * std::log(1 - p);
      g += d * d / (2 * 0.09) + std::log(0.3) + 0.5 * std::log(2 * std::numbers::pi);
    }
    CHECK(bernoulli[n] == doctest::Approx(b).epsilon(1e-12));
    CHECK(gaussian[n] == doctest::Approx(g).epsilon(1e-12));
  }
}

TEST_CASE("vae: KL by its formula, samples with the posterior's moments, and gradients through them") {
  Tensor mean = tensor({{0.5, -1.0}}, f64), log_variance = tensor({{std::log(0.25), 0.3}}, f64);
  auto kl = to_vector(DiagonalGaussian{mean, log_variance}.kl());
  CHECK(kl[0] == doctest::Approx(0.5 * (0.25 + 0.25 - 1 - std::log(0.25))).epsilon(1e-12));
  CHECK(kl[1] == doctest::Approx(0.5 * (1 + std::exp(0.3) - 1 - 0.3)).epsilon(1e-12));
  // KL against a large sample of log q − log p
  DiagonalGaussian wide{expand(mean, {200000, 2}), expand(log_variance, {200000, 2})};
  Generator random(1);
  Tensor z = wide.sample(random);
  auto moments = to_vector(plumb::mean(z, {0})), spread = to_vector(std_dev(z, {0}));
  CHECK(moments[0] == doctest::Approx(0.5).epsilon(0.01));
  CHECK(spread[0] == doctest::Approx(0.5).epsilon(0.01));
  Tensor log_ratio = 0.5 * (square(z) - square((z - mean) / exp(log_variance * 0.5)) - log_variance);
  auto estimate = to_vector(plumb::mean(log_ratio, {0}));
  for (size_t i = 0; i < 2; ++i) CHECK(estimate[i] == doctest::Approx(kl[i]).epsilon(0.02));
  // d sample / d mean = 1, d sample / d log variance = (z − mean) / 2
  Tensor m = mean.detach().requires_grad_(), v = log_variance.detach().requires_grad_();
  Tensor one = DiagonalGaussian{m, v}.sample(random);
  sum(one).backward();
  CHECK(to_vector(m.grad()) == std::vector<double>{1, 1});
  for (size_t i = 0; i < 2; ++i)
    CHECK(to_vector(v.grad())[i] == doctest::Approx((to_vector(one)[i] - to_vector(mean)[i]) / 2).epsilon(1e-12));
}

TEST_CASE("vae: the loss is −ELBO; β and free bits change its weight, not what is reported") {
  manual_seed(3);
  Vae plain({.network = vector_form(3)}), heavy({.network = vector_form(3), .beta = 4}),
      free({.network = vector_form(3), .free_bits = 100});
  heavy.load_state(plain.state());
  free.load_state(plain.state());
  Tensor images = rand({4, 1, 8, 8});
  auto at = [&](const Vae& vae) {
    Generator random(5);
    return vae.loss(images, random);
  };
  AutoencoderLoss a = at(plain), b = at(heavy), c = at(free);
  CHECK(a.loss.item() == doctest::Approx(a.reconstruction.item() + a.regulariser.item()));
  CHECK(b.loss.item() == doctest::Approx(a.reconstruction.item() + 4 * a.regulariser.item()));
  CHECK(c.loss.item() == doctest::Approx(a.reconstruction.item() + 3 * 100));  // three latents, each below 100 nats
  CHECK(b.regulariser.item() == a.regulariser.item());
  CHECK(c.regulariser.item() == a.regulariser.item());
  CHECK(a.regulariser.item() == doctest::Approx(sum(plain.posterior(images).kl()).item() / 4));
}

TEST_CASE("vae: importance bounds start at the ELBO's estimate and rise with more samples") {
  manual_seed(4);
  Vae vae({.network = vector_form(2)});
  vae.to(f64);
  NoGrad off;
  Tensor images = rand({64, 1, 8, 8}, {.dtype = f64});
  auto bound = [&](int64_t samples) {
    Generator random(6);
    return mean(vae.importance_bound(images, samples, random)).item();
  };
  // With one sample the KL is estimated where the loss has its formula: the same in the mean.
  double single = 0, formula = 0;
  Generator random(7);
  for (int i = 0; i < 40; ++i) single += mean(vae.importance_bound(images, 1, random)).item() / 40;
  for (int i = 0; i < 40; ++i) formula -= vae.loss(images, random).loss.item() / 40;
  CHECK(single == doctest::Approx(formula).epsilon(0.005));
  CHECK(bound(10) > bound(1));
  CHECK(bound(100) > bound(10));
}

TEST_CASE("autoencoder: derivatives of both forms agree with differences") {
  manual_seed(5);
  for (bool vector : {false, true}) {
    VaeConfig config{.network = vector ? vector_form(3) : kSmall, .beta = 0.5};
    config.network.likelihood = vector ? Likelihood::gaussian : Likelihood::bernoulli;
    Vae vae(config);
    vae.to(f64);
    Tensor images = rand({2, 1, 8, 8}, {.dtype = f64});
    plumb_test::check_module_gradients(vae, {}, [&] {
      Generator random(2);
      return vae.loss(images, random).loss;
    }, 3);
  }
}

TEST_CASE("autoencoder: state survives, a copy is independent, threads do not change a bit") {
  manual_seed(6);
  Vae vae({.network = kSmall}), other({.network = kSmall});
  vae.eval();
  other.eval();
  Tensor images = rand({3, 1, 8, 8});
  plumb_test::check_state_round_trip<Vae>(vae, other, [&](const Vae& m) { return m.reconstruct(images); });
  Vae copy = vae;
  auto kept = to_vector(copy.reconstruct(images));
  int before = num_threads();
  for (int threads : {1, 2, 3}) {
    set_num_threads(threads);
    CHECK(to_vector(vae.reconstruct(images)) == kept);
  }
  set_num_threads(before);
  for (Tensor p : vae.parameters()) copy_data(p * 2, p);
  CHECK(to_vector(copy.reconstruct(images)) == kept);
  CHECK(to_vector(vae.reconstruct(images)) != kept);
}

TEST_CASE("vae: learns digits: the bound on digits it has not seen rises above that of independent pixels") {
  manual_seed(7);
  AutoencoderConfig network = vector_form(8);
  network.width = 8, network.groups = 4, network.attention = false;
  Vae vae({.network = network});
  optim::Adam adam(vae.parameters(), {.lr = 6e-3});
  data::StepBatches batches(data::digits().train(), {.batch = 32, .seed = 1});
  for (int64_t step = 0; step < 250; ++step) {
    adam.zero_grad();
    vae.loss(batches(step).image, default_generator()).loss.backward();
    adam.step();
  }
  NoGrad off;
  vae.eval();
  Tensor test = data::digits().test().batch(1000).next().image, train = data::digits().train().batch(2000).next().image;
  Generator random(1);
  double elbo = -vae.loss(test, random).loss.item();
  Tensor mean_image = clamp(mean(train, {0}, true), 1e-3, 1 - 1e-3);
  double independent =
      -mean(negative_log_likelihood(Likelihood::bernoulli, expand(log(mean_image / (1 - mean_image)), test.shape()), test, {})).item();
  MESSAGE("ELBO " << elbo << ", independent pixels " << independent);
  CHECK(elbo > independent + 0.7);
  CHECK(vae.loss(test, random).regulariser.item() > 1);  // the latent is used
}

TEST_CASE("autoencoder: configurations and inputs that do not fit are named") {
  auto with = [](auto change) {
    AutoencoderConfig c = kSmall;
    change(c);
    return c;
  };
  CHECK_THROWS_WITH_AS(Autoencoder(with([](auto& c) { c.side = 9; })),
                       "autoencoder: images of side 9 cannot be halved 1 times, once for each of --multipliers after the first",
                       ConfigError);
  CHECK_THROWS_WITH_AS(Autoencoder(with([](auto& c) { c.groups = 3; })),
                       "autoencoder: --groups 3 does not divide the 4 channels of the first convolution", ConfigError);
  CHECK_THROWS_WITH_AS(Autoencoder(with([](auto& c) { c.latent = 0; })), "autoencoder: --latent must be at least 1, it is 0", ConfigError);
  CHECK_THROWS_WITH_AS(Vae({.network = kSmall, .beta = -1}), "vae: --beta must not be negative, it is -1", ConfigError);
  CHECK_THROWS_WITH_AS(AutoencoderConfig::from_json(R"({"likelihood": "poisson"})"), "autoencoder: likelihood cannot be \"poisson\"",
                       ConfigError);
  VaeConfig vae{.network = vector_form(7), .beta = 0.5, .free_bits = 0.25};
  CHECK(VaeConfig::from_json(vae.to_json()).to_json() == vae.to_json());
  CHECK(VaeConfig::from_json(vae.to_json()).network.latent == 7);
  Autoencoder model(kSmall);
  CHECK_THROWS_WITH_AS(model.encode(zeros({2, 3, 8, 8})), "autoencoder: takes images [B, 1, 8, 8], got [2, 3, 8, 8]", ShapeError);
  CHECK_THROWS_WITH_AS(model.decode(zeros({2, 2, 4, 3})), "autoencoder: takes latents [B, 2, 4, 4], got [2, 2, 4, 3]", ShapeError);
}

TEST_CASE("vae: moments, output and gradients are those of an independent implementation") {
  StateDict expected = plumb_test::reference("autoencoder");
  VaeConfig config{.network = {.channels = 1,
                               .side = 8,
                               .width = 4,
                               .multipliers = {1, 2},
                               .groups = 2,
                               .latent = 3,
                               .likelihood = Likelihood::gaussian,
                               .sigma = 1}};
  Vae vae(config);
  vae.load_state(plumb_test::reference("autoencoder", "model"));
  DiagonalGaussian q = vae.posterior(expected.at("images"));
  Tensor moments = expected.at("moments");
  CHECK(plumb_test::largest_difference(q.mean.detach(), narrow(moments, 1, 0, 3)) < plumb_test::rounding(moments, 128));
  CHECK(plumb_test::largest_difference(q.log_variance.detach(), narrow(moments, 1, 3, 3)) < plumb_test::rounding(moments, 128));
  Tensor output = vae.decode(q.mean) * 2 - 1;  // the mean of a Gaussian is (output + 1) / 2
  CHECK(plumb_test::largest_difference(output.detach(), expected.at("output")) < plumb_test::rounding(expected.at("output"), 128));
  mean(square(output)).backward();
  CHECK(plumb_test::largest_difference(vae.named_parameters()[0].tensor.grad(), expected.at("gradient")) <
        plumb_test::rounding(expected.at("gradient"), 1024));
}
