// DCGAN: names, sizes, initial weights, derivatives, state, errors.
#include <doctest/doctest.h>

#include <cmath>
#include <set>

#include "models/gan/dcgan.h"
#include "models/gan/image_side.h"
#include "models/gan/losses.h"
#include "ops/elementary.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "tests/models/module_gradients.h"
#include "tests/models/reference.h"

using namespace plumb;
using namespace plumb::gan;

namespace {

const DcganConfig kSmall{.channels = 1, .side = 8, .width = 4, .latent = 3};

}  // namespace

TEST_CASE("dcgan: the 64×64 form has the public example's layers and sizes") {
  Dcgan pair({.channels = 3, .side = 64, .width = 64, .latent = 100});
  std::set<std::string> names;
  for (const auto& p : pair.named_parameters()) names.insert(p.name);
  for (int layer : {0, 3, 6, 9, 12}) CHECK(names.contains("generator.main." + std::to_string(layer) + ".weight"));
  for (int layer : {1, 4, 7, 10}) CHECK(names.contains("generator.main." + std::to_string(layer) + ".bias"));
  for (int layer : {0, 2, 5, 8, 11}) CHECK(names.contains("discriminator.main." + std::to_string(layer) + ".weight"));
  CHECK(names.size() == 5 + 8 + 5 + 6);
  CHECK(pair.generator().num_parameters() == 3576704);  // the sums over its layers
  CHECK(pair.discriminator().num_parameters() == 2765568);
}

TEST_CASE("dcgan: images of every side that can be grown, within [−1, 1], and a logit for each") {
  manual_seed(1);
  for (int64_t side : {8, 12, 28, 32}) {
    CAPTURE(side);
    Dcgan pair({.channels = 2, .side = side, .width = 4, .latent = 5});
    Generator random(1);
    Tensor images = pair.generate(randn({3, 5}), random);
    CHECK(images.shape() == Shape{3, 2, side, side});
    CHECK(max(abs(images)).item() <= 1);
    CHECK(pair.judge(images).shape() == Shape{3});
  }
  CHECK(ImageSide::of(28, "x").start == 7);
  CHECK(ImageSide::of(64, "x").doublings == 4);
}

TEST_CASE("dcgan: weights start as N(0, 0.02), those of norms as N(1, 0.02)") {
  manual_seed(2);
  Dcgan pair({.channels = 1, .side = 32, .width = 64, .latent = 64});
  for (const auto& [name, p] : pair.named_parameters()) {
    Tensor x = to(p, f64);
    if (p.numel() < 5000 && p.rank() == 4) continue;  // too few to tell
    double center = mean(x).item(), spread = p.numel() > 1 ? std_dev(x).item() : 0;
    CAPTURE(name);
    if (p.rank() == 4) {
      CHECK(std::abs(center) < 5 * 0.02 / std::sqrt(static_cast<double>(p.numel())));
      CHECK(spread == doctest::Approx(0.02).epsilon(0.05));
    } else if (name.ends_with("weight")) {
      CHECK(center == doctest::Approx(1).epsilon(0.01));
      CHECK(spread == doctest::Approx(0.02).epsilon(0.4));
    } else {
      CHECK(max(abs(x)).item() == 0);
    }
  }
}

TEST_CASE("dcgan: derivatives through generator and discriminator agree with differences") {
  manual_seed(3);
  Dcgan pair(kSmall);
  pair.to(f64);
  for (Tensor p : pair.parameters())
    if (p.rank() == 4) copy_data(p * 20, p);  // as they start, hardly anything gets through
  Generator random(1);
  Tensor z = randn({3, 3}, {.dtype = f64});
  plumb_test::check_module_gradients(pair, {z}, [&] { return pair.judge(pair.generate(z, random)); });
}

TEST_CASE("dcgan: state survives, a copy is independent, and evaluation uses running statistics") {
  manual_seed(4);
  Dcgan pair(kSmall), other(kSmall);
  Generator random(1);
  Tensor z = randn({4, 3});
  for (int i = 0; i < 3; ++i) pair.judge(pair.generate(z, random));
  pair.eval();
  other.eval();
  plumb_test::check_state_round_trip<Dcgan>(pair, other, [&](const Dcgan& m) { return m.judge(m.generate(z, random)); });
  Dcgan copy = pair;
  auto before = to_vector(copy.generate(z, random));
  for (Tensor p : pair.parameters()) copy_data(p * 2, p);
  CHECK(to_vector(copy.generate(z, random)) == before);
  CHECK(to_vector(pair.generate(z, random)) != before);
  CHECK(DcganConfig::from_json(kSmall.to_json()).to_json() == kSmall.to_json());
}

TEST_CASE("dcgan: configurations and inputs that do not fit are named") {
  CHECK_THROWS_WITH_AS(
      Dcgan({.side = 30}),
      "dcgan: images of side 30 cannot be grown; the side must be 4, 5, 6 or 7 times a power of two from 2 on (8, 28, 32, 64, …)",
      ConfigError);
  CHECK_THROWS_AS(Dcgan({.side = 4}), ConfigError);
  CHECK_THROWS_WITH_AS(Dcgan({.latent = 0}), "dcgan: --latent must be at least 1, it is 0", ConfigError);
  Dcgan pair(kSmall);
  Generator random(1);
  CHECK_THROWS_WITH_AS(pair.generate(zeros({2, 4}), random), "dcgan: takes random numbers [B, 3], got [2, 4]", ShapeError);
  CHECK_THROWS_WITH_AS(pair.judge(zeros({2, 3, 8, 8})), "dcgan: takes images [B, 1, 8, 8], got [2, 3, 8, 8]", ShapeError);
}

TEST_CASE("dcgan: images, logits and gradients are those of the public example's layers") {
  StateDict expected = plumb_test::reference("dcgan");
  Dcgan pair({.channels = 2, .side = 8, .width = 4, .latent = 3});
  pair.load_state(plumb_test::reference("dcgan", "model"));
  Generator random(1);
  Tensor images = pair.generate(expected.at("z"), random), logits = pair.judge(images);
  CHECK(plumb_test::largest_difference(images.detach(), expected.at("images")) < plumb_test::rounding(expected.at("images"), 128));
  CHECK(plumb_test::largest_difference(logits.detach(), expected.at("logits")) < plumb_test::rounding(expected.at("logits"), 256));
  generator_loss(GanLoss::non_saturating, logits).backward();
  CHECK(plumb_test::largest_difference(pair.generator().parameters()[0].grad(), expected.at("gradient")) <
        plumb_test::rounding(expected.at("gradient"), 1024));
}
