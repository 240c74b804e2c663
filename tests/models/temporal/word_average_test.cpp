// The averaging network by hand, and word vectors against an exact decomposition.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "engine/core/error.h"
#include "models/temporal/word_average.h"
#include "ops/activation.h"
#include "ops/index.h"
#include "ops/join.h"
#include "ops/linalg.h"
#include "ops/matmul.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"

using namespace plumb;
using namespace plumb::temporal;

TEST_CASE("word average: the mean of the words' embeddings, whatever their order, without padding") {
  manual_seed(1);
  WordAverage model({.vocab = 6, .embedding = 3, .hidden = 4});
  model.eval();
  Tensor tokens = tensor({{2, 3, 3, 0}, {3, 2, 3, 0}, {5, 0, 0, 0}, {0, 0, 0, 0}});
  Tensor table = model.embedding.weight.detach();
  Tensor mean = stack({(select(table, 0, 2) + 2 * select(table, 0, 3)) / 3, select(table, 0, 5), zeros({3})}, 0);
  auto wanted = to_vector(model.head(relu(model.fc(mean)))), got = to_vector(model(tokens));
  for (size_t k = 0; k < 2; ++k) {
    CHECK(got[k] == doctest::Approx(wanted[k]).epsilon(1e-5));
    CHECK(got[2 + k] == doctest::Approx(wanted[k]).epsilon(1e-5));
    CHECK(got[4 + k] == doctest::Approx(wanted[2 + k]).epsilon(1e-5));
    CHECK(got[6 + k] == doctest::Approx(wanted[4 + k]).epsilon(1e-5));
  }
  sum(model(tokens)).backward();
  for (double v : to_vector(select(model.embedding.weight.grad(), 0, 0))) CHECK(v == 0);
  model.train();
  CHECK(to_vector(model(tokens)) != to_vector(model(tokens)));  // dropout
  CHECK_THROWS_WITH_AS(model(zeros({3}, i64)), "word_average: takes tokens [B, T] of at least one token, got [3]", ShapeError);
  CHECK_THROWS_WITH_AS(WordAverage({.vocab = 4, .padding = 4}), "word_average: padding 4 is not one of 4 tokens", ConfigError);
}

TEST_CASE("word vectors: documents' means have mean 0 and deviation 1, and directions are those of the exact decomposition") {
  // Three subjects with ten words each; every document has words of one, some common ones, and no word 31.
  Generator g(2);
  constexpr int64_t kWords = 34, kDocuments = 60, kWidth = 2;
  std::vector<std::vector<int64_t>> documents;
  for (int64_t d = 0; d < kDocuments; ++d) {
    std::vector<int64_t> words;
    for (int k = 0; k < 12; ++k) words.push_back(d % 3 * 10 + static_cast<int64_t>(g.next_below(10)));
    for (int64_t w : {32, 33}) words.push_back(w);
    documents.push_back(words);
  }
  Tensor v = latent_word_vectors(documents, kWords, {.width = kWidth, .iterations = 8}, g);
  REQUIRE(v.shape() == Shape{kWords, kWidth});
  for (double x : to_vector(select(v, 0, 31))) CHECK(x == 0);
  Tensor means = zeros({kDocuments, kWidth});
  for (int64_t d = 0; d < kDocuments; ++d) {
    Tensor mean_of = mean(index_select(v, 0, from_vector(documents[static_cast<size_t>(d)])), {0});
    Tensor row = select(means, 0, d);
    copy_data(mean_of, row);
  }
  for (double m : to_vector(mean(means, {0}))) CHECK(std::abs(m) < 1e-4);
  for (double s : to_vector(mean(means * means, {0}))) CHECK(s == doctest::Approx(1).epsilon(1e-3));
  // The exact decomposition's documents span the same plane: what of the means lies outside its leading directions is small.
  Tensor x = zeros({kDocuments, kWords}, f64);
  std::vector<double> df(kWords);
  for (auto& d : documents) {
    auto words = d;
    std::ranges::sort(words);
    for (size_t k = 0; k < words.size(); ++k)
      if (k == 0 || words[k] != words[k - 1]) ++df[static_cast<size_t>(words[k])];
  }
  for (size_t d = 0; d < documents.size(); ++d)
    for (int64_t w : documents[d])
      x.data<double>()[static_cast<int64_t>(d) * kWords + w] = std::log(kDocuments / df[static_cast<size_t>(w)]);
  x = x / norm(x, 2, {1}, true);
  Tensor exact = mT(narrow(svd(x).vh, 0, 0, kWidth)), idf = zeros({kWords, 1}, f64);
  for (int64_t w = 0; w < kWords; ++w)
    idf.data<double>()[w] = df[static_cast<size_t>(w)] > 0 ? std::log(kDocuments / df[static_cast<size_t>(w)]) : 0;
  Tensor wanted = exact * idf,
         got = to(v, f64) - select(to(v, f64), 0, 32);  // word 32 is in all documents: idf 0, so it is the shift alone
  for (int64_t k = 0; k < kWidth; ++k) {                // each direction up to its sign and scale
    Tensor a = narrow(select(wanted, 1, k), 0, 0, 30), b = narrow(select(got, 1, k), 0, 0, 30);
    double cosine = sum(a * b).item() / std::sqrt(sum(a * a).item() * sum(b * b).item());
    CHECK(std::abs(cosine) > 0.999);
  }
}

TEST_CASE("word vectors: mistakes are named") {
  Generator g(3);
  CHECK_THROWS_WITH_AS(latent_word_vectors({{0}, {1}}, 5, {.width = 3}, g), "word_vectors: 2 documents of 5 words are too few for width 3",
                       ValueError);
  CHECK_THROWS_WITH_AS(latent_word_vectors({{0}, {9}}, 5, {.width = 2}, g), "word_vectors: word 9 is outside [0, 5)", IndexError);
  CHECK_THROWS_WITH_AS(latent_word_vectors({{0}, {1}}, 5, {.width = 0}, g), "word_vectors: width 0 and 4 iterations", ValueError);
}
