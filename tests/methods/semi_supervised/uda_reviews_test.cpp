// Film reviews in words by number, their split, and the experiment on made-up ones.
#include <doctest/doctest.h>

#include <algorithm>
#include <cstdlib>
#include <map>
#include <set>

#include "engine/core/error.h"
#include "engine/data/files.h"
#include "methods/runner.h"
#include "methods/semi_supervised/uda_reviews/reviews.h"
#include "models/augment/text_view.h"
#include "ops/shape.h"

using namespace plumb;
using namespace plumb::methods;
using namespace plumb::methods::uda_reviews;

namespace plumb::methods::uda_reviews {
Experiment experiment();
}

TEST_CASE("uda reviews: frequent words of the training folds get numbers, all others are unknown") {
  std::vector<data::Review> reviews{{"good good film .", 10, 1}, {"bad film . .", 20, 0}, {"good secret", 910, 1}, {"bad secret", 920, 0}};
  ReviewWords r = in_words(reviews, 5);
  CHECK(r.published);
  CHECK(r.vocabulary == 5);
  // "." three times, then "film" and "good" twice, by spelling: 2, 3, 4; "bad" once: no place left.
  CHECK(r.words == std::vector<augment::Sentence>{{4, 4, 3, 2}, {kUnknown, 3, 2, 2}, {4, kUnknown}, {kUnknown, kUnknown}});
  CHECK(r.fold == std::vector<int64_t>{0, 0, 9, 9});
  CHECK_THROWS_WITH_AS(in_words(reviews, 2), "reviews: a vocabulary of 2", ValueError);
  CHECK_THROWS_WITH_AS(in_words(reviews, 5, 0), "reviews: test folds from 0 on leave 0 of 4 reviews to train on", ValueError);
}

TEST_CASE("uda reviews: the split has its labels a side, all training reviews unlabelled, and tests on other folds") {
  Generator g(1);
  ReviewWords r = made_up_reviews(200, g);
  CHECK_FALSE(r.published);
  SemiData d = split_reviews(r, 5, 60, g);
  CHECK(d.classes == 2);
  CHECK(d.labelled.shape() == Shape{10, 60});
  auto labels = to_vector<int64_t>(d.labels);
  CHECK(std::ranges::count(labels, 1) == 5);
  CHECK(d.unlabelled.shape() == Shape{140, 60});
  CHECK(d.test.shape() == Shape{60, 60});
  std::set<augment::Sentence> unlabelled;
  for (auto& s : augment::sentences_of(d.unlabelled)) unlabelled.insert(s);
  for (auto& s : augment::sentences_of(d.labelled)) CHECK(unlabelled.contains(s));
  for (auto& s : augment::sentences_of(d.test)) CHECK_FALSE(unlabelled.contains(s));
  CHECK(split_reviews(r, 0, 60, g).labels.numel() == 140);
  CHECK_THROWS_WITH_AS(split_reviews(r, 71, 60, g), "reviews: 70 negative reviews to train on, fewer than 71", ValueError);
  CHECK_THROWS_WITH_AS(split_reviews(r, -1, 60, g), "reviews: -1 labels a class", ValueError);
}

TEST_CASE("uda reviews: made-up reviews praise when they are positive") {
  Generator g(2);
  ReviewWords r = made_up_reviews(200, g);
  double own = 0, other = 0;
  for (size_t i = 0; i < r.words.size(); ++i)
    for (int64_t w : r.words[i]) {
      CHECK((w >= 2 && w < r.vocabulary));
      if (w >= 302) ((w >= 342) == (r.positive[i] == 1) ? own : other) += 1;
    }
  CHECK(own / (own + other) == doctest::Approx(.75).epsilon(.06));  // about 1,500 opinions: deviation .011
  CHECK((own + other) / (200 * 60) == doctest::Approx(.125).epsilon(.12));
}

TEST_CASE("uda reviews: the published reviews, if they are there") {
  std::string path = data::find_optional_data_file("", "text", "review_polarity.tar.gz");
  if (path.empty()) {
    MESSAGE("skipped: PLUMB_DATA holds no text/review_polarity.tar.gz");
    return;
  }
  ReviewWords r = in_words(data::read_film_reviews(path), 3000);
  CHECK(r.words.size() == 2000);
  CHECK(std::ranges::count(r.positive, 1) == 1000);
  for (auto& words : r.words)
    for (int64_t w : words) REQUIRE((w >= kUnknown && w < 3000));
  Generator g(3);
  SemiData d = split_reviews(r, 25, 400, g);
  CHECK(d.unlabelled.size(0) == 1400);
  CHECK(d.test.size(0) == 600);
}

TEST_CASE("uda reviews: the experiment measures every variant at the smoke budget") {
  Results results = run_experiment({"semi_supervised", "uda_reviews", &uda_reviews::experiment, {}}, {.budget = Budget::smoke, .seeds = 1});
  REQUIRE(results.cells.size() == 9);
  std::map<std::string, double> accuracy;
  for (const CellResult& cell : results.cells)
    for (auto& [name, value] : cell.measured.metrics) {
      if (name == "reviews")
        CHECK(value == 400);
      else
        accuracy[cell.variant] = value;
    }
  CHECK(accuracy["supervised, all labels"] > 65);  // chance is 50
  for (auto& [variant, value] : accuracy) {
    CAPTURE(variant);
    CHECK(value > 35);
  }
}
