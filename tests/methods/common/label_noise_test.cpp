// Label noise: exact counts, rates within their binomial range, the record of the truth, and the audit of a classifier.
#include <doctest/doctest.h>

#include <cmath>

#include "methods/common/label_noise.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"

using namespace plumb;
using namespace plumb::methods;

namespace {

Tensor cyclic_labels(int64_t n, int64_t classes) {
  std::vector<int64_t> labels(static_cast<size_t>(n));
  for (size_t i = 0; i < labels.size(); ++i) labels[i] = static_cast<int64_t>(i) % classes;
  return from_vector(labels);
}

}  // namespace

TEST_CASE("label noise: symmetric noise redraws an exact number of labels over all classes") {
  Generator g(1);
  NoisyLabels noisy = inject_symmetric(cyclic_labels(2000, 10), 0.4, 10, g);
  CHECK(to_vector<int64_t>(noisy.clean) == to_vector<int64_t>(cyclic_labels(2000, 10)));
  // 800 are redrawn, each wrong with probability 0.9: 720 ± 4.2 · 8.5.
  double wrong = noisy.rate() * 2000;
  CHECK(wrong <= 800);
  CHECK(std::abs(wrong - 720) < 36);
  NoisyLabels other = inject_symmetric(cyclic_labels(2000, 10), 0.4, 10, g, false);
  CHECK(other.rate() == doctest::Approx(0.4).epsilon(1e-12));
  Tensor matrix = transition_matrix(other, 10);
  auto p = to_vector<double>(matrix);
  for (int64_t c = 0; c < 10; ++c)
    for (int64_t k = 0; k < 10; ++k)
      if (k != c) CHECK(std::abs(p[static_cast<size_t>(10 * c + k)] - 0.4 / 9) < 0.07);  // 200 a row: deviation 0.0146
}

TEST_CASE("label noise: asymmetric noise follows the map from clean labels, in both directions of a swap") {
  Generator g(2);
  NoisyLabels noisy = inject_asymmetric(cyclic_labels(1000, 10), similar_digits_map(), 0.3, g);
  auto p = to_vector<double>(transition_matrix(noisy, 10));
  auto at = [&](int64_t from, int64_t to) { return p[static_cast<size_t>(10 * from + to)]; };
  for (auto [from, to] : std::vector<std::pair<int64_t, int64_t>>{{7, 1}, {2, 7}, {5, 6}, {6, 5}, {3, 8}}) {
    CHECK(at(from, to) == doctest::Approx(0.3));
    CHECK(at(from, from) == doctest::Approx(0.7));
  }
  for (int64_t c : {0, 1, 4, 8, 9}) CHECK(at(c, c) == 1);
  CHECK(next_class_map(3) == std::vector<int64_t>{1, 2, 0});
  CHECK(next_in_group_map({{0, 2}, {1, 3, 4}}, 6) == std::vector<int64_t>{2, 3, 0, 4, 1, 5});
}

TEST_CASE("label noise: a transition matrix gives its rates") {
  Generator g(3);
  Tensor t = tensor({{0.8, 0.2, 0.0}, {0.0, 1.0, 0.0}, {0.3, 0.3, 0.4}});
  auto p = to_vector<double>(transition_matrix(inject_transition(cyclic_labels(6000, 3), t, g), 3));
  auto wanted = to_vector<double>(t);
  for (size_t k = 0; k < 9; ++k) CHECK(std::abs(p[k] - wanted[k]) < 4.5 * std::sqrt(wanted[k] * (1 - wanted[k]) / 2000) + 1e-12);
}

TEST_CASE("label noise: instance-dependent noise sends alike examples to alike labels at the nominal rate") {
  Generator g(4);
  Tensor features = randn({3000, 6}, {.generator = &g});
  NoisyLabels noisy = inject_instance_dependent(cyclic_labels(3000, 5), features, 0.35, 5, g);
  CHECK(std::abs(noisy.rate() - 0.35) < 0.04);  // deviation of 3000 flips: 0.0087
  // One feature vector repeated: wrong labels concentrate, since the softmax over 6 features' scores has a favourite.
  Tensor same = contiguous(expand(randn({1, 6}, {.generator = &g}), {2000, 6}));
  NoisyLabels repeated = inject_instance_dependent(zeros({2000}, i64), same, 0.5, 5, g, {.spread = 0});
  auto p = to_vector<double>(transition_matrix(repeated, 5));
  CHECK(std::abs(p[0] - 0.5) < 0.05);
  double most = 0;
  for (size_t c = 1; c < 5; ++c) most = std::max(most, p[c]);
  CHECK(most > 0.2);  // uniform would be 0.125 ± 0.0074 each
}

TEST_CASE("label noise: the audit tells corrected from memorised") {
  NoisyLabels labels{tensor({0, 1, 2, 2, 0, 1}), tensor({0, 1, 2, 0, 1, 2})};
  NoiseAudit a = audit(tensor({0, 1, 0, 0, 0, 0}), labels);
  CHECK(a.wrong == 3);
  CHECK(a.corrected == doctest::Approx(1.0 / 3));
  CHECK(a.memorised == doctest::Approx(1.0 / 3));
  CHECK(a.other == doctest::Approx(1.0 / 3));
  CHECK(a.clean_correct == doctest::Approx(2.0 / 3));
  DetectionQuality d = detection_quality(tensor({true, false, false, true, true, false}), labels);
  CHECK(d.precision == doctest::Approx(2.0 / 3));
  CHECK(d.recall == doctest::Approx(2.0 / 3));
}

TEST_CASE("label noise: equal seeds give equal labels, no noise changes nothing, mistakes are named") {
  auto once = [](uint64_t seed) {
    Generator g(seed);
    return to_vector<int64_t>(inject_symmetric(cyclic_labels(300, 7), 0.5, 7, g).given);
  };
  CHECK(once(5) == once(5));
  CHECK(once(5) != once(6));
  Generator g(7);
  CHECK(inject_symmetric(cyclic_labels(50, 5), 0, 5, g).rate() == 0);
  CHECK(inject_symmetric(zeros({0}, i64), 0.5, 5, g).given.numel() == 0);
  CHECK_THROWS_WITH_AS(inject_symmetric(cyclic_labels(9, 3), 1.5, 3, g), "label_noise: the rate must lie in [0, 1], it is 1.5", ValueError);
  CHECK_THROWS_WITH_AS(inject_symmetric(cyclic_labels(9, 3), 0.5, 2, g), "label_noise: label 2 of example 2 is outside [0, 2)", IndexError);
  CHECK_THROWS_WITH_AS(inject_symmetric(zeros({3}), 0.5, 2, g), "label_noise: labels must be i64, got f32", DTypeError);
  CHECK_THROWS_WITH_AS(inject_asymmetric(cyclic_labels(9, 3), {0, 1, 5}, 0.5, g), "label_noise: the map's class 5 is outside [0, 3)",
                       IndexError);
  CHECK_THROWS_WITH_AS(inject_transition(cyclic_labels(9, 2), tensor({{0.5, 0.6}, {0.0, 1.0}}), g),
                       "label_noise: row 0 of the transition matrix sums to 1.1; it must hold probabilities", ValueError);
  CHECK_THROWS_WITH_AS(audit(tensor({1, 2}), NoisyLabels{tensor({1}), tensor({1})}), "audit: predictions [2] for labels [1]", ShapeError);
}
