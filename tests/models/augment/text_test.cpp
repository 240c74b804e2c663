// Text augmentation: the worked TF-IDF example, and what the plain changes keep.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "engine/core/error.h"
#include "models/augment/text.h"

using namespace plumb;
using namespace plumb::augment;

namespace {

void check_close(const std::vector<double>& got, const std::vector<double>& wanted) {
  REQUIRE(got.size() == wanted.size());
  for (size_t i = 0; i < got.size(); ++i) CHECK(got[i] == doctest::Approx(wanted[i]).epsilon(5e-6));
}

}  // namespace

TEST_CASE("text: TF-IDF replacement of the documents a b a c, a d, b c c") {
  constexpr int64_t a = 0, b = 1, c = 2, d = 3;
  TfIdfReplacer replacer({{a, b, a, c}, {a, d}, {b, c, c}}, 4);
  check_close(replacer.idf(), {.405465, .405465, .405465, 1.09861});
  check_close(replacer.replace_probabilities({a, b, a, c}, 0.3), {0, .6, 0, .6});
  check_close(replacer.replace_probabilities({a, d}, 0.3), {.6, 0});
  check_close(replacer.sampling_law(), {.226787, .493153, .280060, 0});
  check_close(replacer.replace_probabilities({a, b, c}, 0.3), {0, 0, 0});  // all alike: 0, not 0 / 0
  Generator g(1);
  int changed = 0, drawn_b = 0;
  for (int k = 0; k < 1000; ++k) {
    Sentence s = replacer({a, d}, 0.3, g);
    CHECK(s[1] == d);
    changed += s[0] != a;
    drawn_b += s[0] == b;
  }
  CHECK(std::abs(changed - 600 * (1 - .226787)) < 72);   // 4.5 deviations of about 16
  CHECK(std::abs(drawn_b - 600 * .493153) < 65);
}

TEST_CASE("text: plain changes") {
  Generator g(2);
  Sentence s{1, 2, 3, 4, 5, 6, 7, 8};
  CHECK(drop_words(s, 0, g) == s);
  CHECK(drop_words(s, 1, g).size() == 1);
  Sentence swapped = swap_words(s, 5, g);
  CHECK(swapped != s);
  std::ranges::sort(swapped);
  CHECK(swapped == s);
  CHECK(mask_words(s, 1, 99, g) == Sentence(8, 99));
  CHECK(mask_words(s, 0, 99, g) == s);
  Sentence part = crop_words(s, 0.4, g);
  REQUIRE(part.size() == 4);
  for (size_t i = 1; i < 4; ++i) CHECK(part[i] == part[i - 1] + 1);
  CHECK(replace_words({1, 2}, 1, 100, g) == Sentence{1, 2});  // too short
  for (int64_t w : replace_words(Sentence(50, 200), 1, 100, g)) CHECK((w >= 0 && w < 100));
  CHECK(drop_words({}, 0.5, g).empty());
  CHECK(crop_words({}, 0.5, g).empty());
}

TEST_CASE("text: mistakes are named") {
  Generator g(3);
  CHECK_THROWS_WITH_AS(TfIdfReplacer({{0, 4}}, 4), "tf_idf: word 4 is outside [0, 4)", IndexError);
  CHECK_THROWS_WITH_AS(TfIdfReplacer({}, 4), "tf_idf: there are no sentences", ValueError);
  CHECK_THROWS_WITH_AS(drop_words({1}, 2, g), "drop_words: the rate must lie in [0, 1], it is 2", ValueError);
  CHECK_THROWS_WITH_AS(crop_words({1}, 0, g), "crop_words: the share must lie in (0, 1], it is 0", ValueError);
}
