// Policies of mixing: shares that tell what was mixed, for every kind; where Manifold Mixup mixes; bad input.
#include "methods/common/mix_policy.h"

#include <doctest/doctest.h>

#include <cmath>
#include <map>
#include <set>

#include "engine/core/error.h"
#include "methods/common/mixing.h"
#include "methods/common/staged_mlp.h"
#include "ops/gradcheck.h"
#include "ops/index.h"
#include "ops/loss.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "ops/softmax.h"
#include "tests/methods/check_close.h"

using namespace plumb;
using namespace plumb::methods;

namespace {

// Image i is i + 1 everywhere, and its label i: every pixel tells whose it is.
Tensor flat_images(int64_t n, int64_t height, int64_t width) {
  Tensor x = zeros({n, 2, height, width});
  for (int64_t k = 0; k < x.numel(); ++k) x.data<float>()[k] = static_cast<float>(k / (2 * height * width) + 1);
  return x;
}
Tensor numbered_labels(int64_t n) {
  std::vector<int64_t> labels;
  for (int64_t i = 0; i < n; ++i) labels.push_back(i);
  return from_vector(labels);
}

}  // namespace

TEST_CASE("mix policy: the mean pixel of flat images is the mean label that is to be predicted") {
  Generator g(1);
  for (MixKind kind : {MixKind::none, MixKind::mixup, MixKind::cutmix, MixKind::resize, MixKind::fmix}) {
    CAPTURE(static_cast<int>(kind));
    std::set<double> shares;
    bool changed = false;
    for (int repeat = 0; repeat < 8; ++repeat) {
      Tensor x = flat_images(6, 9, 12), labels = numbered_labels(6);
      MixedExamples m = mix_examples({.kind = kind, .alpha = 1}, x, labels, g);
      REQUIRE(m.x.shape() == x.shape());
      CHECK(to_vector(m.labels.first) == to_vector(labels));
      auto share = to_vector(m.labels.lambda), second = to_vector(m.labels.second), pixels = to_vector(mean(m.x, {1, 2, 3}));
      for (size_t i = 0; i < 6; ++i) {
        CHECK((share[i] >= 0 && share[i] <= 1));
        CHECK(pixels[i] == doctest::Approx(share[i] * static_cast<double>(i + 1) + (1 - share[i]) * (second[i] + 1)).epsilon(1e-5));
      }
      shares.insert(share[0]);
      changed = changed || to_vector(m.x) != to_vector(x);
    }
    CHECK(changed == (kind != MixKind::none));
    CHECK((shares.size() > 4) == (kind != MixKind::none));
  }
}

TEST_CASE("mix policy: a share for each example, where that is asked for") {
  Generator g(2);
  MixedExamples m = mix_examples({.kind = MixKind::mixup, .per_example = true}, flat_images(32, 2, 2), numbered_labels(32), g);
  auto shares = to_vector(m.labels.lambda);
  CHECK(std::set<double>(shares.begin(), shares.end()).size() > 28);
  auto second = to_vector(m.labels.second), pixels = to_vector(mean(m.x, {1, 2, 3}));
  for (size_t i = 0; i < 32; ++i)
    CHECK(pixels[i] == doctest::Approx(shares[i] * static_cast<double>(i + 1) + (1 - shares[i]) * (second[i] + 1)).epsilon(1e-5));
}

TEST_CASE("mix policy: resizing keeps the partner's whole picture, in one rectangle") {
  Generator g(3);
  Tensor x = zeros({2, 1, 8, 8});
  for (int64_t k = 0; k < 64; ++k)
    x.data<float>()[64 + k] = static_cast<float>(1 + k % 8);  // the second image rises from 1 to 8 from left to right
  for (int repeat = 0; repeat < 20; ++repeat) {
    MixedExamples m = mix_examples({.kind = MixKind::resize, .smallest = 0.5, .largest = 0.5}, x, tensor({0, 1}), g);
    CHECK(m.labels.lambda.data<float>()[0] == doctest::Approx(0.75));
    if (to_vector<int64_t>(m.labels.second)[0] == 0) continue;
    std::map<float, int> seen;
    for (int64_t k = 0; k < 64; ++k) ++seen[m.x.data<float>()[k]];
    CHECK(seen[0] == 48);
    for (float value : {1.5f, 3.5f, 5.5f, 7.5f}) CHECK(seen[value] == 4);  // pairs of neighbours, averaged
  }
}

TEST_CASE("mix policy: smooth masks have the size that is asked for and few pieces") {
  Generator g(4);
  for (double lambda : {0.0, 0.3, 1.0})
    CHECK(sum(to(smooth_mask(15, 18, lambda, 3, g), i64)).item<int64_t>() == std::llround(lambda * 270));
  auto borders = [&](double decay) {
    int64_t found = 0;
    for (int repeat = 0; repeat < 10; ++repeat) {
      auto mask = to_vector<int>(smooth_mask(16, 16, 0.5, decay, g));
      for (size_t y = 0; y < 16; ++y)
        for (size_t x = 0; x + 1 < 16; ++x) found += mask[16 * y + x] != mask[16 * y + x + 1];
    }
    return found;
  };
  CHECK(borders(3) < borders(0) / 2);  // white noise changes sides at every other step
}

TEST_CASE("mix policy: Manifold Mixup mixes before each of the stages in turn, with the same pairs in values and labels") {
  // Stages add 10 and multiply by 2; the head squares. Mixing commutes with the first two, not with the square.
  StagedNetwork network{
      {[](const Tensor& x) { return x + 10; }, [](const Tensor& x) { return 2 * x; }, [](const Tensor& x) { return x * x; }}};
  Generator g(5);
  Tensor x = tensor({{1.0}, {2.0}, {3.0}, {4.0}}), labels = numbered_labels(4);
  for (int repeat = 0; repeat < 30; ++repeat) {
    MixedLogits m = mixed_logits({.kind = MixKind::manifold}, network, x, labels, g);
    auto share = to_vector(m.labels.lambda), second = to_vector(m.labels.second), z = to_vector(m.logits);
    for (size_t i = 0; i < 4; ++i) {
      double mixed = share[i] * static_cast<double>(i + 1) + (1 - share[i]) * (second[i] + 1);
      CHECK(z[i] == doctest::Approx(4 * (mixed + 10) * (mixed + 10)).epsilon(1e-5));
    }
  }
  // Which stage it is shows where the stages do not commute with mixing.
  StagedNetwork squares{{[](const Tensor& v) { return v * v; }, [](const Tensor& v) { return v * v; }}};
  std::map<int, int> places;
  for (int repeat = 0; repeat < 40; ++repeat) {
    MixedLogits m = mixed_logits({.kind = MixKind::manifold}, squares, x, labels, g);
    auto share = to_vector(m.labels.lambda), second = to_vector(m.labels.second), z = to_vector(m.logits);
    for (size_t i = 0; i < 4; ++i) {
      double a = static_cast<double>(i + 1), b = second[i] + 1, l = share[i];
      if (a == b || std::abs(l - 0.5) > 0.45) continue;
      double at_input = std::pow(l * a + (1 - l) * b, 4), at_head = std::pow(l * a * a + (1 - l) * b * b, 2);
      int place = std::abs(z[i] - at_input) < 1e-3 * at_input ? 0 : std::abs(z[i] - at_head) < 1e-3 * at_head ? 1 : 2;
      ++places[place];
    }
  }
  CHECK(places[0] > 10);
  CHECK(places[1] > 10);
  CHECK(places.size() == 2);
}

TEST_CASE("mix policy: its cross-entropy is that of both labels, by share, and reaches the shares") {
  Generator g(6);
  Tensor z = randn({3, 4}, {.dtype = f64, .generator = &g}), share = tensor({0.2, 1.0, 0.5}, f64);
  MixedLabels labels{tensor({0, 1, 3}), tensor({2, 0, 3}), share};
  auto p = to_vector(log_softmax(z, 1));
  double wanted = -(0.2 * p[0] + 0.8 * p[2] + p[5] + p[11]) / 3;
  CHECK(mixed_cross_entropy(z, labels).item() == doctest::Approx(wanted).epsilon(1e-12));
  auto loss = [&](const Tensor& logits, const Tensor& lambda) {
    return mixed_cross_entropy(logits, {labels.first, labels.second, lambda});
  };
  Tensor inside = tensor({0.2, 0.7, 0.5}, f64);
  CHECK_MESSAGE(gradcheck(loss, {z, inside}).passed, gradcheck(loss, {z, inside}).message);
}

TEST_CASE("mix policy: pairs mix differentiably, and a share of 1 or 0 is one of the two exactly") {
  Generator g(7);
  Tensor a = randn({4, 2, 3}, {.dtype = f64, .generator = &g}), b = randn({4, 2, 3}, {.dtype = f64, .generator = &g});
  CHECK(to_vector(mix_pairs(a, b, ones({4}, f64))) == to_vector(a));
  CHECK(to_vector(mix_pairs(a, b, zeros({4}, f64))) == to_vector(b));
  auto f = [](const Tensor& x, const Tensor& y, const Tensor& l) { return mix_pairs(x, y, l); };
  CHECK(gradcheck(f, {a, b, tensor({0.1, 0.5, 0.3, 0.9}, f64)}).passed);
  check_close(mixed_targets(tensor({1, 2}), tensor({0, 2}), tensor({0.75, 0.5}), 3), {0.25, 0.75, 0, 0, 0, 1});
}

TEST_CASE("mix policy: a network's stages are the network") {
  manual_seed(8);
  StagedMlp net({.inputs = 6, .hidden = {5, 4}, .classes = 3});
  Generator g(8);
  Tensor x = randn({2, 1, 2, 3}, {.generator = &g});
  StagedNetwork stages = staged(net);
  CHECK(stages.stages.size() == 3);
  CHECK(to_vector(stages(x)) == to_vector(net(x)));
  CHECK(to_vector(stages.features(x)) == to_vector(net.features(x)));
  CHECK(to_vector(stages.head(stages.features(x))) == to_vector(net(x)));
  CHECK_THROWS_WITH_AS(stages.run(x, 2, 5), "staged network: stages 2 to 5 of 3 do not exist", IndexError);
  CHECK_THROWS_WITH_AS(StagedNetwork{}(x), "staged network: it has no stages", ValueError);
  StagedNetwork one{{[](const Tensor& v) { return v; }}};
  CHECK_THROWS_WITH_AS(one.features(x), "staged network: features need a stage before the head", ValueError);
  CHECK_THROWS_WITH_AS(StagedMlp({.hidden = {}}), "staged mlp: needs a hidden layer", ConfigError);
}

TEST_CASE("mix policy: mistakes are named") {
  Generator g(9);
  Tensor x = zeros({2, 1, 4, 4}), y = tensor({0, 1});
  CHECK_THROWS_WITH_AS(mix_examples({.alpha = 0}, x, y, g), "mix_policy: alpha must be positive, it is 0", ValueError);
  CHECK_THROWS_WITH_AS(mix_examples({.kind = MixKind::resize, .smallest = 0}, x, y, g),
                       "mix_policy: sides between 0 and 0.8 times as long do not lie in (0, 1]", ValueError);
  CHECK_THROWS_WITH_AS(mix_examples({.kind = MixKind::fmix, .decay = -1}, x, y, g), "mix_policy: decay must not be negative, it is -1",
                       ValueError);
  CHECK_THROWS_WITH_AS(mix_examples({.kind = MixKind::cutmix}, zeros({2, 16}), y, g),
                       "mix_examples: cutmix takes images [B, C, H, W], got [2, 16]", ShapeError);
  CHECK_THROWS_WITH_AS(mix_examples({}, x, tensor({0}), g), "mix_examples: labels must be i64 [2], got [1]", ShapeError);
  CHECK_THROWS_WITH_AS(mix_examples({.kind = MixKind::manifold}, x, y, g),
                       "mix_examples: manifold mixes inside a network; call mixed_logits", ValueError);
  CHECK_THROWS_WITH_AS(mix_pairs(x, x, tensor({0.5, 1.5})), "mix_pairs: lambda must lie in [0, 1], number 1 is 1.5", ValueError);
  CHECK_THROWS_WITH_AS(mix_pairs(x, x, tensor({-0.25, 0.5})), "mix_pairs: lambda must lie in [0, 1], number 0 is -0.25", ValueError);
  CHECK_THROWS_WITH_AS(mix_pairs(x, x, tensor({0.5, NAN})), "mix_pairs: lambda must lie in [0, 1], number 1 is nan", ValueError);
  CHECK_THROWS_WITH_AS(mix_pairs(x, x, tensor({0.5})), "mix_pairs: needs one lambda for each of 2 examples, got [1]", ShapeError);
  CHECK_THROWS_WITH_AS(mixed_cross_entropy(zeros({2, 3}), {y, y, tensor({2.0, 0.5})}),
                       "mixed_targets: lambda must lie in [0, 1], number 0 is 2", ValueError);
  CHECK_THROWS_AS(mixed_cross_entropy(zeros({2, 3}), {tensor({0, 3}), y, tensor({0.5, 0.5})}), IndexError);
  CHECK_THROWS_WITH_AS(smooth_mask(4, 4, 1.5, 3, g), "smooth_mask: lambda must lie in [0, 1], it is 1.5", ValueError);
}
