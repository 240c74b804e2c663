// The style-based GAN: its convolution against plain loops, layers, derivatives to second order, styles, state, errors.
#include <doctest/doctest.h>

#include <cmath>
#include <set>

#include "engine/autograd/backward.h"
#include "engine/autograd/grad_mode.h"
#include "engine/core/parallel.h"
#include "models/gan/losses.h"
#include "models/gan/style.h"
#include "ops/elementary.h"
#include "ops/gradcheck.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "tests/models/module_gradients.h"
#include "tests/models/reference.h"

using namespace plumb;
using namespace plumb::gan;

namespace {

const StyleConfig kSmall{.channels = 1, .side = 8, .width = 3, .widest = 4, .latent = 3, .style = 4, .mapping_layers = 2};

Tensor normal64(const Shape& shape) { return randn(shape, {.dtype = f64}); }

void set_noise(StyleGan& pair, double strength) {
  for (const auto& [name, tensor] : pair.named_parameters())
    if (Tensor p = tensor; name.ends_with("noise_strength")) copy_data(full({}, strength), p);
}

// One example's planes.
struct Planes {
  int64_t channels, side;
  std::vector<double> v;
  double get(int64_t c, int64_t y, int64_t x) const {
    return y < 0 || x < 0 || y >= side || x >= side ? 0 : v[static_cast<size_t>((c * side + y) * side + x)];
  }
};

// Zeros between the places, a 3×3 convolution as its transpose sees it, then the low-pass filter, all as sums over what reaches a place.
Planes grown(const Planes& x, const std::vector<double>& w, int64_t out) {
  static constexpr double kTaps[4] = {0.25, 0.75, 0.75, 0.25};  // [1, 3, 3, 1] / 8, doubled
  int64_t side = 2 * x.side + 1;
  Planes spread{out, side, std::vector<double>(static_cast<size_t>(out * side * side))};
  for (int64_t o = 0; o < out; ++o)
    for (int64_t c = 0; c < x.channels; ++c)
      for (int64_t r = 0; r < x.side; ++r)
        for (int64_t s = 0; s < x.side; ++s)
          for (int64_t p = 0; p < 3; ++p)
            for (int64_t q = 0; q < 3; ++q)
              spread.v[static_cast<size_t>((o * side + 2 * r + p) * side + 2 * s + q)] +=
                  x.get(c, r, s) * w[static_cast<size_t>(((o * x.channels + c) * 3 + p) * 3 + q)];
  Planes y{out, 2 * x.side, {}};
  for (int64_t o = 0; o < out; ++o)
    for (int64_t r = 0; r < y.side; ++r)
      for (int64_t s = 0; s < y.side; ++s) {
        double sum = 0;
        for (int64_t p = 0; p < 4; ++p)
          for (int64_t q = 0; q < 4; ++q) sum += kTaps[p] * kTaps[q] * spread.get(o, r + p - 1, s + q - 1);
        y.v.push_back(sum);
      }
  return y;
}

Planes convolved(const Planes& x, const std::vector<double>& w, int64_t out) {
  Planes y{out, x.side, {}};
  for (int64_t o = 0; o < out; ++o)
    for (int64_t r = 0; r < x.side; ++r)
      for (int64_t s = 0; s < x.side; ++s) {
        double sum = 0;
        for (int64_t c = 0; c < x.channels; ++c)
          for (int64_t p = 0; p < 3; ++p)
            for (int64_t q = 0; q < 3; ++q)
              sum += x.get(c, r + p - 1, s + q - 1) * w[static_cast<size_t>(((o * x.channels + c) * 3 + p) * 3 + q)];
        y.v.push_back(sum);
      }
  return y;
}

}  // namespace

TEST_CASE("modulated_conv2d: each example under a weight of its own, scaled to length 1, at full size and doubled") {
  manual_seed(1);
  Tensor x = normal64({2, 3, 4, 4}), weight = normal64({2, 3, 3, 3}), style = normal64({2, 3});
  auto v = to_vector(x), w = to_vector(weight), s = to_vector(style);
  for (bool up : {false, true})
    for (bool demodulate : {true, false}) {
      CAPTURE(up);
      CAPTURE(demodulate);
      std::vector<double> wanted;
      for (size_t n = 0; n < 2; ++n) {
        std::vector<double> own = w;
        for (size_t o = 0; o < 2; ++o) {
          double squares = 0;
          for (size_t i = 0; i < 27; ++i) squares += std::pow(own[27 * o + i] *= s[3 * n + i / 9], 2);
          for (size_t i = 0; i < 27 && demodulate; ++i) own[27 * o + i] /= std::sqrt(squares + 1e-8);
        }
        Planes image{3, 4, std::vector<double>(v.begin() + static_cast<long>(48 * n), v.begin() + static_cast<long>(48 * (n + 1)))};
        Planes y = up ? grown(image, own, 2) : convolved(image, own, 2);
        wanted.insert(wanted.end(), y.v.begin(), y.v.end());
      }
      auto got = to_vector(modulated_conv2d(x, weight, style, {.up = up, .demodulate = demodulate}));
      REQUIRE(got.size() == wanted.size());
      for (size_t i = 0; i < got.size(); ++i) CHECK(got[i] == doctest::Approx(wanted[i]).epsilon(1e-10));
    }
  CHECK_THROWS_WITH_AS(modulated_conv2d(x, weight, zeros({2, 2}, f64)),
                       "modulated_conv2d: images [2, 3, 4, 4], weight [2, 3, 3, 3] and style [2, 2] do not fit", ShapeError);
}

TEST_CASE("modulated_conv2d: twice differentiable in images, weight and style") {
  manual_seed(2);
  for (bool up : {false, true}) {
    auto f = [up](const std::vector<Tensor>& x) { return std::vector<Tensor>{modulated_conv2d(x[0], x[1], x[2], {.up = up})}; };
    std::vector<Tensor> inputs{normal64({2, 2, 3, 3}), normal64({2, 2, 3, 3}), normal64({2, 2})};
    GradcheckResult first = gradcheck(f, inputs, {.rtol = 1e-4}), second = gradgradcheck(f, inputs, {.rtol = 1e-4});
    CHECK_MESSAGE(first.passed, first.message);
    CHECK_MESSAGE(second.passed, second.message);
  }
}

TEST_CASE("style layers: equalised weights start as normal numbers, and the mapping learns at a hundredth of the rate") {
  manual_seed(3);
  EqualizedLinear plain(400, 300), slow(400, 300, {.rate = 0.01, .bias_start = 1});
  CHECK(std_dev(to(plain.weight, f64)).item() == doctest::Approx(1).epsilon(0.01));
  CHECK(std_dev(to(slow.weight, f64)).item() == doctest::Approx(100).epsilon(0.01));
  Tensor x = randn({200, 400});
  CHECK(std_dev(to(plain(x), f64)).item() == doctest::Approx(1).epsilon(0.05));
  CHECK(std_dev(to(slow(x), f64)).item() == doctest::Approx(1).epsilon(0.05));
  CHECK(mean(to(slow(x), f64)).item() == doctest::Approx(1).epsilon(0.05));
  // A step of one size in the parameter moves the slow layer's output a hundredth as far.
  Tensor before = slow(x), weight = slow.weight;
  copy_data(weight + 1, weight);
  Tensor moved = slow(x) - before, by_hand = sum(x, {1}, true) * (0.01 / 20);
  CHECK(max(abs(moved - by_hand)).item() < 1e-4);
}

TEST_CASE("style layers: minibatch deviation is the mean deviation within each group") {
  Tensor x = tensor({{{{1.0, 3.0}}}, {{{10.0, 0.0}}}, {{{5.0, 3.0}}}, {{{20.0, 0.0}}}}, f64);  // groups: examples 0 and 2, 1 and 3
  auto y = to_vector(with_minibatch_deviation(x, 2));
  CHECK(with_minibatch_deviation(x, 2).shape() == Shape{4, 2, 1, 2});
  double even = (2 + 1e-4) / 2, odd = (5 + 1e-4) / 2;
  for (size_t n = 0; n < 4; ++n)
    for (size_t i = 2; i < 4; ++i) CHECK(y[4 * n + i] == doctest::Approx(n % 2 == 0 ? even : odd).epsilon(1e-5));
  CHECK(y[0] == 1);
  CHECK(with_minibatch_deviation(zeros({5, 1, 1, 1}), 4).shape() == Shape{5, 2, 1, 1});  // the largest group that divides 5 is 1
}

TEST_CASE("style gan: names of the public implementation, and shapes of every side that can be grown") {
  manual_seed(4);
  StyleGan pair({.channels = 3, .side = 28, .width = 4, .widest = 8, .latent = 5, .style = 6, .mapping_layers = 3});
  std::set<std::string> names;
  for (const auto& [name, tensor] : pair.state()) names.insert(name);
  for (const char* wanted :
       {"generator.mapping.fc0.weight", "generator.mapping.fc2.bias", "generator.mapping.w_avg", "generator.synthesis.b7.const",
        "generator.synthesis.b7.conv1.affine.weight", "generator.synthesis.b7.conv1.noise_strength", "generator.synthesis.b7.torgb.weight",
        "generator.synthesis.b14.conv0.weight", "generator.synthesis.b28.conv1.noise_const", "generator.synthesis.b28.torgb.affine.bias",
        "discriminator.b28.fromrgb.weight", "discriminator.b28.conv0.bias", "discriminator.b28.skip.weight",
        "discriminator.b14.conv1.weight", "discriminator.b7.conv.weight", "discriminator.b7.fc.weight", "discriminator.b7.out.bias"})
    CHECK_MESSAGE(names.contains(wanted), wanted);
  CHECK(!names.contains("generator.synthesis.b7.conv0.weight"));
  CHECK(!names.contains("discriminator.b14.fromrgb.weight"));
  CHECK(!names.contains("discriminator.b28.skip.bias"));
  Generator random(1);
  for (int64_t side : {8, 12, 28, 32}) {
    StyleGan any({.channels = 2, .side = side, .width = 2, .widest = 4, .latent = 3, .style = 3, .mapping_layers = 1});
    Tensor images = any.generate(randn({2, 3}), random);
    CHECK(images.shape() == Shape{2, 2, side, side});
    CHECK(any.judge(images).shape() == Shape{2});
  }
}

TEST_CASE("style gan: derivatives through both networks, of R1 and of path lengths, agree with differences") {
  manual_seed(5);
  StyleGan pair(kSmall);
  pair.to(f64);
  set_noise(pair, 0.3);
  Tensor z = normal64({2, 3}), images = normal64({2, 1, 8, 8});
  pair.eval();  // w_avg stays
  auto with_noise = [&](auto f) {
    Generator random(7);
    return f(random);
  };
  SUBCASE("forward") {
    plumb_test::check_module_gradients(
        pair, {z, images}, [&] { return pair.judge(with_noise([&](Generator& r) { return pair.generate(z, r); }) + images); }, 3);
  }
  SUBCASE("R1") {
    plumb_test::check_module_gradients(pair.discriminator(), {}, [&] {
      Tensor x = images.detach().requires_grad_();
      return r1_penalty(pair.judge(x), x);
    }, 3);
  }
  SUBCASE("path lengths") {
    plumb_test::check_module_gradients(pair.generator(), {}, [&] {
      return with_noise([&](Generator& r) {
        Tensor w = pair.styles(z, r);
        return path_lengths(pair.synthesize(w, r), w, r);
      });
    }, 3);
  }
}

TEST_CASE("style gan: the mean of w follows the batches, and truncation draws w towards it in evaluation alone") {
  manual_seed(6);
  StyleConfig config = kSmall;
  config.mixing = 0;
  StyleGan pair(config);
  Generator random(1);
  Tensor z = randn({4, 3}), average = pair.state().at("generator.mapping.w_avg"), w = pair.styles(z, random);
  auto batch_mean = to_vector(mean(select(w, 1, 0), {0})), moved = to_vector(average);
  for (size_t i = 0; i < 4; ++i) CHECK(moved[i] == doctest::Approx(0.005 * batch_mean[i]).epsilon(1e-4));
  pair.truncation = 0.5;
  CHECK(to_vector(pair.styles(z, random)) == to_vector(w));
  pair.eval();
  auto half = to_vector(pair.styles(z, random)), whole = to_vector(w), center = to_vector(average);
  CHECK(center != moved);  // the training call before moved it once more
  for (size_t i = 0; i < half.size(); ++i)
    CHECK(half[i] == doctest::Approx(center[i % 4] + 0.5 * (whole[i] - center[i % 4])).epsilon(1e-5));
}

TEST_CASE("style gan: training batches mix styles: early layers follow one, later ones another") {
  manual_seed(7);
  StyleConfig config = kSmall;
  config.mixing = 1;
  StyleGan pair(config);
  Generator random(1);
  NoGrad off;
  Tensor w = pair.styles(randn({2, 3}), random);
  REQUIRE(w.size(1) == 4);  // const layer, two of the next block, the last output
  CHECK(to_vector(select(w, 1, 0)) != to_vector(select(w, 1, 3)));
  pair.eval();
  w = pair.styles(randn({2, 3}), random);
  CHECK(to_vector(select(w, 1, 0)) == to_vector(select(w, 1, 3)));
}

TEST_CASE("style gan: noise changes images where layers have learned to use it, constant noise gives one image for one style") {
  manual_seed(8);
  StyleGan pair(kSmall);
  pair.eval();
  Generator random(1);
  Tensor z = randn({1, 3}), first = pair.generate(z, random);
  CHECK(to_vector(first) == to_vector(pair.generate(z, random)));  // strengths start as 0
  set_noise(pair, 1);
  CHECK(to_vector(pair.generate(z, random)) != to_vector(pair.generate(z, random)));
  auto& generator = dynamic_cast<StyleGenerator&>(pair.generator());
  Tensor w = pair.styles(z, random);
  CHECK(to_vector(generator.synthesize(w, nullptr)) == to_vector(generator.synthesize(w, nullptr)));
}

TEST_CASE("style gan: the same bits with any number of threads, state survives, a copy is independent") {
  manual_seed(9);
  StyleGan pair({.side = 28, .width = 8, .widest = 16, .latent = 8, .style = 8}), other(pair.config());
  Tensor z = randn({3, 8});
  int before = num_threads();
  std::vector<std::vector<double>> gradients;
  for (int threads : {1, 2, 3}) {
    set_num_threads(threads);
    pair.zero_grad();
    Generator random(2);
    sum(pair.judge(pair.generate(z, random))).backward();
    std::vector<double> all;
    for (const Tensor& p : pair.parameters())
      for (double g : to_vector(p.grad())) all.push_back(g);
    gradients.push_back(all);
  }
  set_num_threads(before);
  CHECK(gradients[0] == gradients[1]);
  CHECK(gradients[0] == gradients[2]);
  pair.eval();
  other.eval();
  auto images = [&](const StyleGan& m) {
    Generator random(2);
    return m.generate(z, random);
  };
  plumb_test::check_state_round_trip<StyleGan>(pair, other, images);
  StyleGan copy = pair;
  auto kept = to_vector(images(copy));
  for (Tensor p : pair.parameters()) copy_data(p * 2, p);
  CHECK(to_vector(images(copy)) == kept);
  CHECK(to_vector(images(pair)) != kept);
  CHECK(StyleConfig::from_json(pair.config().to_json()).to_json() == pair.config().to_json());
}

TEST_CASE("style gan: configurations and inputs that do not fit are named") {
  CHECK_THROWS_WITH_AS(
      StyleGan({.side = 27}),
      "style: images of side 27 cannot be grown; the side must be 4, 5, 6 or 7 times a power of two from 2 on (8, 28, 32, 64, …)",
      ConfigError);
  CHECK_THROWS_WITH_AS(StyleGan({.mapping_layers = 9}), "style: --mapping-layers must lie in [1, 8], it is 9", ConfigError);
  CHECK_THROWS_WITH_AS(StyleGan({.mixing = 1.5}), "style: --mixing must lie in [0, 1], it is 1.5", ConfigError);
  StyleGan pair(kSmall);
  Generator random(1);
  CHECK_THROWS_WITH_AS(pair.generate(zeros({2, 4}), random), "style: takes random numbers [B, 3], got [2, 4]", ShapeError);
  CHECK_THROWS_WITH_AS(pair.judge(zeros({2, 1, 8, 4})), "style: takes images [B, 1, 8, 8], got [2, 1, 8, 4]", ShapeError);
  CHECK_THROWS_WITH_AS(pair.synthesize(zeros({2, 3, 4}), random), "style: takes 4 styles for each image, got [2, 3, 4]", ShapeError);
}

TEST_CASE("style gan: images, logits and both penalties with their gradients are those of an independent implementation") {
  StateDict expected = plumb_test::reference("style_gan");
  StyleGan pair({.channels = 2, .side = 8, .width = 3, .widest = 4, .latent = 3, .style = 4, .mapping_layers = 2, .deviation_group = 2});
  pair.load_state(plumb_test::reference("style_gan", "model"));
  pair.eval();
  auto close = [&](const char* name, const Tensor& got, double roundings) {
    CAPTURE(name);
    CHECK(plumb_test::largest_difference(got.detach(), expected.at(name)) < plumb_test::rounding(expected.at(name), roundings));
  };
  auto& generator = dynamic_cast<StyleGenerator&>(pair.generator());
  Tensor w = generator.mapping(expected.at("z"));
  close("w", w, 64);
  Tensor images = generator.synthesize(expand(unsqueeze(w, 1), {-1, generator.layers(), -1}), nullptr);
  close("images", images, 128);
  Tensor slope = grad({sum(images * expected.at("noise"))}, {w}, {.create_graph = true})[0], lengths = sqrt(sum(square(slope), {1}));
  close("lengths", lengths, 256);
  auto gradient = [](nn::Module& module, const std::string& wanted) {
    for (auto& [name, p] : module.named_parameters())
      if (name == wanted) return p.grad();
    return Tensor();
  };
  mean(square(lengths)).backward();
  close("path_gradient", gradient(pair, "generator.synthesis.b8.conv0.weight"), 1024);
  Tensor real = expected.at("images").requires_grad_(), logits = pair.judge(real);
  close("logits", logits, 128);
  pair.zero_grad();
  Tensor r1 = r1_penalty(logits, real);
  close("r1", r1, 256);
  r1.backward();
  close("r1_gradient", gradient(pair, "discriminator.b8.conv0.weight"), 1024);
}
