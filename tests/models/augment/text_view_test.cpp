// Rows of tokens as sentences: padding is not touched, results are cut or filled up.
#include <doctest/doctest.h>

#include "engine/core/error.h"
#include "models/augment/text_view.h"

using namespace plumb;
using namespace plumb::augment;

TEST_CASE("text views: each row is changed without its padding, then filled up or cut") {
  Tensor tokens = tensor({{5, 6, 7, 0}, {8, 0, 0, 0}, {0, 0, 0, 0}, {1, 2, 3, 4}});
  Generator g(1);
  Tensor doubled = change_words(
      tokens,
      [](const Sentence& s, Generator&) {
        Sentence out = s;
        out.insert(out.end(), s.begin(), s.end());
        return out;
      },
      0, g);
  CHECK(to_vector<int64_t>(doubled) == std::vector<int64_t>{5, 6, 7, 5, 8, 8, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4});
  View first = word_view(
      [](const Sentence& s, Generator&) { return Sentence(s.begin(), s.begin() + std::min<int64_t>(1, static_cast<int64_t>(s.size()))); });
  CHECK(to_vector<int64_t>(first(tokens, g)) == std::vector<int64_t>{5, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0});
  CHECK(first(zeros({0, 4}, i64), g).shape() == Shape{0, 4});
}

TEST_CASE("text views: sentences to rows and back; long ones keep their end") {
  std::vector<Sentence> s{{1, 2, 3, 4, 5}, {6}, {}};
  Tensor rows = padded_tokens(s, 3, 9);
  CHECK(to_vector<int64_t>(rows) == std::vector<int64_t>{3, 4, 5, 6, 9, 9, 9, 9, 9});
  CHECK(sentences_of(rows, 9) == std::vector<Sentence>{{3, 4, 5}, {6}, {}});
}

TEST_CASE("text views: mistakes are named") {
  Generator g(2);
  auto same = [](const Sentence& s, Generator&) { return s; };
  CHECK_THROWS_WITH_AS(change_words(zeros({2, 2}), same, 0, g), "change_words: takes i64 tokens, got f32", DTypeError);
  CHECK_THROWS_WITH_AS(change_words(zeros({2}, i64), same, 0, g), "change_words: takes tokens [B, T], got [2]", ShapeError);
  CHECK_THROWS_WITH_AS(change_words(tensor({{0, 1}}), same, 0, g), "change_words: a row goes on after the padding 0", ValueError);
  CHECK_THROWS_WITH_AS(padded_tokens({{1}}, 0), "padded_tokens: a length of 0", ValueError);
}
