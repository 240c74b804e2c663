// Adversarial training: what one step moves, its penalties and their rhythm, and that generators come to draw like the data.
#include <doctest/doctest.h>

#include <cmath>

#include "engine/autograd/grad_mode.h"
#include "engine/data/digits/digits.h"
#include "engine/data/step_batches.h"
#include "models/gan/dcgan.h"
#include "models/gan/style.h"
#include "models/gan/training.h"
#include "models/metrics/frechet.h"
#include "models/optim/adam.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"

using namespace plumb;
using namespace plumb::gan;

namespace {

template <typename Pair>
struct Session {
  Pair pair;
  optim::Adam generator, discriminator;
  data::StepBatches batches{data::digits().train(), {.batch = 32, .seed = 1}};
  GanTraining training;

  template <typename Config>
  Session(const Config& config, const GanTrainingOptions& options, double lr)
      : pair((manual_seed(1), config)),
        generator(pair.generator().parameters(), {.lr = lr, .beta1 = 0.5}),
        discriminator(pair.discriminator().parameters(), {.lr = lr, .beta1 = 0.5}),
        training(pair, generator, discriminator, options, [this](int64_t step, int64_t) { return batches(step).image * 2 - 1; }) {}
};

std::vector<double> weights(const nn::Module& module) {
  std::vector<double> all;
  for (const Tensor& p : module.parameters())
    for (double v : to_vector(p)) all.push_back(v);
  return all;
}

bool has(const std::vector<std::pair<std::string, double>>& measures, const std::string& name) {
  for (const auto& [n, value] : measures)
    if (n == name) return true;
  return false;
}

// Between real digits and generated ones, on means of blocks of 2×2 pixels (16 numbers an image).
template <typename Pair>
double distance(Pair& pair) {
  NoGrad off;
  pair.eval();
  Generator random(5);
  auto features = [](const Tensor& images) {
    return flatten(mean(mean(unflatten(unflatten(images, 3, {4, 2}), 2, {4, 2}), {-1}), {3}), 1);
  };
  Tensor real = data::digits().train().batch(500).next().image * 2 - 1;
  double d =
      metrics::frechet_distance(features(real), features(pair.generate(randn({500, pair.latent()}, {.generator = &random}), random)));
  pair.train();
  return d;
}

const DcganConfig kDcgan{.channels = 1, .side = 8, .width = 16, .latent = 8};
const StyleConfig kStyle{.channels = 1, .side = 8, .width = 8, .widest = 16, .latent = 8, .style = 8, .mapping_layers = 2};

}  // namespace

TEST_CASE("gan training: a step moves both networks, and what it was not asked for does not appear") {
  Session<Dcgan> s(kDcgan, {}, 1e-3);
  auto g = weights(s.pair.generator()), d = weights(s.pair.discriminator());
  auto measures = s.training.step(0);
  CHECK(weights(s.pair.generator()) != g);
  CHECK(weights(s.pair.discriminator()) != d);
  CHECK(measures[0].first == "train_loss");
  CHECK(has(measures, "train_discriminator_loss"));
  CHECK(has(measures, "train_real_logit"));
  CHECK(!has(measures, "train_r1"));
  CHECK(!has(measures, "train_path_length"));
  for (const Tensor& p : s.pair.parameters()) CHECK(p.requires_grad());
}

TEST_CASE("gan training: penalties come every so many steps, and path lengths move their running mean") {
  Session<StyleGan> s(kStyle, {.r1 = 1, .r1_every = 3, .path_length = 2, .path_every = 2}, 1e-3);
  for (int64_t step = 0; step < 6; ++step) {
    double before = s.pair.path_length_mean.item();
    auto measures = s.training.step(step);
    CHECK(has(measures, "train_r1") == (step % 3 == 0));
    CHECK(has(measures, "train_path_length") == (step % 2 == 0));
    double now = s.pair.path_length_mean.item();
    if (step % 2 != 0) CHECK(now == before);
    else CHECK(now == doctest::Approx(before + (step == 0 ? 1 : 0.01) * (measures.back().second - before)).epsilon(1e-5));
  }
}

TEST_CASE("gan training: R1 weighs on the discriminator alone") {
  Session<Dcgan> with(kDcgan, {.r1 = 10, .r1_every = 1}, 1e-3), without(kDcgan, {}, 1e-3);
  manual_seed(2);
  with.training.step(0);
  manual_seed(2);
  without.training.step(0);
  CHECK(weights(with.pair.discriminator()) != weights(without.pair.discriminator()));
  auto slopes = [](Session<Dcgan>& s) {
    s.pair.eval();
    Tensor images = (s.batches(100).image * 2 - 1).requires_grad_();
    return r1_penalty(s.pair.judge(images), images).item();
  };
  for (int64_t step = 1; step < 30; ++step) {
    with.training.step(step);
    without.training.step(step);
  }
  CHECK(slopes(with) < 0.5 * slopes(without));
}

TEST_CASE("gan training: the same seed gives the same bits") {
  GanTrainingOptions options{.loss = GanLoss::wasserstein,
                             .r1 = 1,
                             .r1_every = 2,
                             .gradient_penalty = 10,
                             .path_length = 1,
                             .path_every = 2,
                             .critic_steps = 2,
                             .clip = 1};
  std::vector<double> first;
  for (int i = 0; i < 2; ++i) {
    Session<StyleGan> s(kStyle, options, 1e-3);
    manual_seed(3);
    for (int64_t step = 0; step < 3; ++step) s.training.step(step);
    if (i == 0) first = weights(s.pair);
    else CHECK(weights(s.pair) == first);
  }
}

TEST_CASE("gan training: generators come to draw like the data") {
  SUBCASE("DCGAN, hinge") {
    Session<Dcgan> s(kDcgan, {.loss = GanLoss::hinge}, 2e-3);
    double start = distance(s.pair);
    for (int64_t step = 0; step < 200; ++step) s.training.step(step);
    CHECK(distance(s.pair) < 0.25 * start);
  }
  SUBCASE("style-based, non-saturating with R1 and path lengths") {
    Session<StyleGan> s(kStyle, {.r1 = 0.5, .r1_every = 4, .path_length = 1, .path_every = 8}, 3e-3);
    double start = distance(s.pair);
    for (int64_t step = 0; step < 200; ++step) s.training.step(step);
    CHECK(distance(s.pair) < 0.25 * start);
  }
}

TEST_CASE("gan training: the lazy rates of Adam, and options out of range") {
  LazyRates r = lazy_rates({0.002, 0, 0.99}, 16);
  CHECK(r.lr == doctest::Approx(0.002 * 16 / 17));
  CHECK(r.beta1 == 0);
  CHECK(r.beta2 == doctest::Approx(std::pow(0.99, 16.0 / 17)));
  CHECK_THROWS_WITH_AS(GanTrainingOptions{.r1 = -1}.check(), "--r1 must not be negative, it is -1", ConfigError);
  CHECK_THROWS_WITH_AS(GanTrainingOptions{.path_every = 0}.check(), "--path-every must be at least 1, it is 0", ConfigError);
}

TEST_CASE("gan training: a part of the discriminator that was frozen stays so") {
  manual_seed(6);
  Dcgan pair({.side = 8, .width = 8, .latent = 6});
  optim::Adam generator(pair.generator().parameters(), {.lr = 1e-3}), discriminator(pair.discriminator().parameters(), {.lr = 1e-3});
  Tensor frozen = pair.discriminator().parameters()[0].requires_grad_(false), before = clone(frozen);
  GanTraining training(pair, generator, discriminator, {}, [](int64_t, int64_t) { return randn({6, 1, 8, 8}); });
  for (int64_t step = 1; step <= 3; ++step) training.step(step);
  CHECK_FALSE(frozen.requires_grad());
  CHECK(to_vector(frozen) == to_vector(before));
}
