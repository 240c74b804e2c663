// Nested dropout: the law of K, the worked examples, exact zeros of the gradient, every prefix at once, the choice of K, and the
// experiment.
#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include "methods/robust/compress_features/compress_features.h"
#include "methods/runner.h"
#include "ops/loss.h"
#include "ops/matmul.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "ops/softmax.h"
#include "tests/methods/check_close.h"
#include "tests/methods/measured.h"

using namespace plumb;
using namespace plumb::methods;
namespace nested = plumb::methods::compress_features;

namespace plumb::methods::compress_features {
Experiment experiment();
}

namespace {

Tensor feature() { return tensor({{1.0, -2.0, 0.5, 3.0}}, f64); }
// The card's W [D, C], as a linear layer keeps it: [C, D].
Tensor weight() { return contiguous(mT(tensor({{.2, -.1, .4}, {.3, .5, -.2}, {-.6, .1, .7}, {.1, .2, .3}}, f64))); }

}  // namespace

TEST_CASE("nested dropout: the law of the number of channels") {
  nested::NestedDropout law(6, 2);
  check_close(from_vector(law.probabilities()), {.612049, .289111, .0828318, .0143940, .00151712, .0000969861}, 5e-6);
  check_close(from_vector(law.keep_probabilities()), {1, .387951, .0988399, .0160081, .00161410, .0000969861}, 5e-6);
  CHECK(law.expected_channels() == doctest::Approx(1.50451).epsilon(4e-6));
  CHECK(nested::NestedDropout(512, 10).expected_channels() == doctest::Approx(5.96926).epsilon(2e-6));
  CHECK(nested::NestedDropout(512, 100).expected_channels() == doctest::Approx(56.7381).epsilon(2e-6));
  nested::NestedDropout uniform(8, std::numeric_limits<double>::infinity());
  for (double p : uniform.probabilities()) CHECK(p == doctest::Approx(.125).epsilon(1e-12));
  CHECK(nested::NestedDropout(8, .01, 5).probabilities()[4] == doctest::Approx(1));  // and no 0 / 0 far from μ
}

TEST_CASE("nested dropout: drawn numbers of channels follow the law") {
  nested::NestedDropout law(6, 2);
  Generator g(1);
  std::vector<double> counts(6);
  const int draws = 20'000;
  for (int i = 0; i < draws; ++i) ++counts[static_cast<size_t>(law.sample_k(g) - 1)];
  for (size_t k = 0; k < 6; ++k) {
    double p = law.probabilities()[k];
    CHECK(std::abs(counts[k] / draws - p) < 4.5 * std::sqrt(p * (1 - p) / draws));
  }
  nested::NestedDropout other(9, 3);
  bool first_masked = false, second_masked = false;
  for (int i = 0; i < 40; ++i) {
    auto [a, b] = nested::alternate_k(law, other, g);
    CHECK((a == 6 || b == 9));
    first_masked |= a < 6;
    second_masked |= b < 9;
  }
  CHECK(first_masked);
  CHECK(second_masked);
}

TEST_CASE("nested dropout: worked example 2, the logits and losses of every prefix, and the expected loss") {
  Tensor z = nested::prefix_logits(feature(), weight());
  CHECK(z.shape() == Shape{1, 4, 3});
  check_close(z, {.2, -.1, .4, -.4, -1.1, .8, -.7, -1.05, 1.15, -.4, -.45, 2.05}, 1e-12);
  double wanted[] = {.885939, .372090, .237473, .155617}, expected = 0;
  nested::NestedDropout law(4, 2);
  check_close(from_vector(law.probabilities()), {.613038, .289579, .0829657, .0144173}, 5e-6);
  for (int64_t k = 1; k <= 4; ++k) {
    Tensor masked = matmul(nested::keep_first(feature(), k), mT(weight()));
    double loss = cross_entropy(masked, tensor({2})).item();
    CHECK(loss == doctest::Approx(wanted[k - 1]).epsilon(4e-6));
    expected += law.probabilities()[static_cast<size_t>(k - 1)] * loss;
  }
  CHECK(expected == doctest::Approx(.672810).epsilon(3e-6));
}

TEST_CASE("nested dropout: worked example 3, the gradient with two channels, exactly 0 for the others") {
  Tensor f = feature().requires_grad_(), w = weight().requires_grad_();
  Tensor z = matmul(nested::keep_first(f, 2), mT(w));
  check_close(softmax(z.detach(), 1), {.207611, .103097, .689293}, 5e-6);
  cross_entropy(z, tensor({2})).backward();
  auto df = to_vector(f.grad()), dw = to_vector(contiguous(mT(w.grad())));
  check_close(narrow(f.grad(), 1, 0, 2), {-.0930705, .175973}, 5e-6);
  CHECK(df[2] == 0);
  CHECK(df[3] == 0);
  check_close(from_vector(std::vector<double>(dw.begin(), dw.begin() + 6)), {.207611, .103097, -.310707, -.415222, -.206193, .621415},
              5e-6);
  for (size_t k = 6; k < 12; ++k) CHECK(dw[k] == 0);
}

TEST_CASE("nested dropout: all channels are the plain network, and features beyond K have no say even if they are not finite") {
  Tensor f = feature();
  CHECK(nested::keep_first(f, 4).same_as(f));
  Tensor broken = tensor({{1.0, 2.0, std::numeric_limits<double>::infinity(), 3.0}}, f64);
  check_close(nested::keep_first(broken, 2), {1, 2, 0, 0}, 1e-15);
}

TEST_CASE("nested dropout: every prefix at once equals as many masked products") {
  Generator g(2);
  Tensor f = randn({9, 33}, {.dtype = f64, .generator = &g}), w = randn({7, 33}, {.dtype = f64, .generator = &g});
  Tensor all = nested::prefix_logits(f, w);
  for (int64_t k = 1; k <= 33; ++k) {
    auto got = to_vector(select(all, 1, k - 1)), wanted = to_vector(matmul(nested::keep_first(f, k), mT(w)));
    for (size_t i = 0; i < got.size(); ++i) CHECK(std::abs(got[i] - wanted[i]) < 1e-12);
  }
}

TEST_CASE("nested dropout: accuracies of every prefix, of one network and of the mean of two") {
  Generator g(3);
  const int64_t n = 3000, d = 40, c = 10;  // several pieces
  Tensor f = randn({n, d}, {.generator = &g}), w = randn({c, d}, {.generator = &g}), other = randn({n, d}, {.generator = &g});
  Tensor labels = randint(0, c, {n}, {.dtype = i64, .generator = &g});
  auto one = nested::prefix_accuracy({{f, w}}, labels), two = nested::prefix_accuracy({{f, w}, {other, w}}, labels);
  REQUIRE(one.size() == 40);
  for (int64_t k : {1, 7, 40}) {
    Tensor z = matmul(nested::keep_first(f, k), mT(w)), both = z + matmul(nested::keep_first(other, k), mT(w));
    auto share = [&](const Tensor& logits) { return sum(argmax(logits, 1) == labels).item() / static_cast<double>(n); };
    // Sums of f32 in another order may turn a tie or two.
    CHECK(std::abs(one[static_cast<size_t>(k - 1)] - share(z)) <= 2.0 / n);
    CHECK(std::abs(two[static_cast<size_t>(k - 1)] - share(both)) <= 2.0 / n);
  }
}

TEST_CASE("nested dropout: the choice of K favours few channels among equals") {
  CHECK(nested::select_k({.50, .80, .80, .80001}) == 2);
  CHECK(nested::select_k({.50, .80, .80, .80001}, 0) == 4);
  CHECK(nested::select_k({.9, .5}) == 1);
}

TEST_CASE("nested dropout: mistakes are named") {
  CHECK_THROWS_WITH_AS(nested::keep_first(feature(), 0), "nested_dropout: the first 0 of 4 channels", ValueError);
  CHECK_THROWS_WITH_AS(nested::keep_first(feature(), 5), "nested_dropout: the first 5 of 4 channels", ValueError);
  CHECK_THROWS_WITH_AS(nested::NestedDropout(4, 0), "nested_dropout: sigma must be above 0, it is 0", ValueError);
  CHECK_THROWS_WITH_AS(nested::NestedDropout(0, 1), "nested_dropout: 0 channels", ValueError);
  CHECK_THROWS_WITH_AS(nested::select_k({}), "nested_dropout: no accuracies to choose by", ValueError);
  CHECK_THROWS_WITH_AS(nested::select_k({.5, std::nan("")}), "nested_dropout: the accuracy of 2 channels is not a number", ValueError);
  CHECK_THROWS_WITH_AS(nested::prefix_accuracy({{feature(), weight()}}, tensor({3})), "nested_dropout: label 3 is outside [0, 3)",
                       IndexError);
  CHECK_THROWS_WITH_AS(nested::prefix_logits(feature(), ones({3, 5})),
                       "nested_dropout: features must be [N, D] and the weight [C, D], they are [1, 4] and [3, 5]", ShapeError);
}

TEST_CASE("compress_features: the experiment measures every variant at the smoke budget") {
  Results results = run_experiment({"robust", "compress_features", &nested::experiment, {}}, {.budget = Budget::smoke, .seeds = 1});
  REQUIRE(results.cells.size() == 10);
  for (const CellResult& cell : results.cells) {
    CAPTURE(cell.variant);
    double accuracy = measured(results, cell.variant, "test accuracy, symmetric 40 % (%)");
    CHECK(accuracy > 25);  // a few epochs: far above chance
    double channels = measured(results, cell.variant, "channels kept, symmetric 40 %");
    bool is_nested = cell.variant.find("nested") != std::string::npos;
    CHECK((channels >= 1 && channels <= 128));
    if (!is_nested) CHECK(channels == 128);
    CHECK(measured(results, cell.variant, "memorised, symmetric 40 % (%)") <= 100);
  }
}
