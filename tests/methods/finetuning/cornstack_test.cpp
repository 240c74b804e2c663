// CoRNStack: curation of pairs with known noise, negatives, a training step, the corpus, and both experiments.
#include "methods/finetuning/cornstack/cornstack.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "engine/autograd/grad_mode.h"
#include "methods/finetuning/cornstack/corpus.h"
#include "methods/runner.h"
#include "models/metrics/retrieval.h"
#include "models/retrieval/contrastive.h"
#include "ops/random.h"

using namespace plumb;
using namespace plumb::methods;
using namespace plumb::methods::cornstack;

namespace plumb::methods::cornstack {
Experiment experiment();
}
namespace plumb::methods::cornstack_code {
Experiment experiment();
}

namespace {

// Six pairs without a word in common: only training tells what belongs together.
EncodedPairs strange_pairs(int64_t buckets) {
  return encode_pairs({"apple tree", "river bank", "stone wall", "night owl", "paper boat", "silver moon"},
                      {"pomme arbre", "fleuve rive", "pierre mur", "nuit hibou", "papier bateau", "argent lune"}, buckets);
}

double mrr(const retrieval::BagEncoder& encoder, const EncodedPairs& pairs) {
  Tensor truth = zeros({6, 6});
  for (int64_t i = 0; i < 6; ++i) truth.data<float>()[i * 7] = 1;
  NoGrad off;
  return metrics::mean_reciprocal_rank(retrieval::cosine_matrix(embed(encoder, pairs.query), embed(encoder, pairs.document)), truth);
}

}  // namespace

TEST_CASE("cornstack: the filter keeps clean pairs and drops corrupted ones") {
  Generator g(4);
  Corpus corpus = make_corpus(made_up_pairs(600, g), {.training = 400, .documents = 100, .queries = 50}, g);
  CHECK(corpus.query.size() == 400);
  CHECK(std::ranges::count(corpus.clean, false) == 120);
  CHECK(corpus.asked.size() == 50);
  CHECK(corpus.searched.size() == 100);
  CHECK(corpus.proxy.shape() == Shape{400, 400});
  Curation curation = curate(corpus.proxy, {.shard = 100}, g);
  double clean = 0;
  for (int64_t i : curation.kept) clean += corpus.clean[static_cast<size_t>(i)] ? 1 : 0;
  CHECK(clean / static_cast<double>(curation.kept.size()) > .9);
  CHECK(clean > .5 * 280);
  Curation strict = curate(corpus.proxy, {.shard = 400, .min_score = .3, .quantile = -1}, g);
  CHECK(strict.min_score == .3);
  CHECK(strict.kept.size() < curation.kept.size());
  CHECK_THROWS_WITH_AS(curate(corpus.proxy, {.shard = 400, .min_score = 1.1, .quantile = -1}, g),
                       "consistency_filter: none of 400 pairs has a rank below 2 and a score above 1.1; loosen one of them", ValueError);
}

TEST_CASE("cornstack: moved around nobody keeps their own, and sources are not on both sides") {
  Generator g(5);
  std::vector<int64_t> places{3, 5, 8, 9, 12}, moved = moved_around(places, g);
  for (size_t i = 0; i < places.size(); ++i) CHECK(moved[i] != places[i]);
  std::ranges::sort(moved);
  CHECK(moved == places);
  std::vector<data::TextPair> pairs;
  for (int64_t i = 0; i < 60; ++i) pairs.push_back({"source" + std::to_string(i / 3), "text" + std::to_string(i), i / 3});
  Corpus corpus = make_corpus(pairs, {.training = 100, .documents = 10, .queries = 10, .corrupted = 0}, g);
  std::set<std::string> asked(corpus.asked.begin(), corpus.asked.end());
  for (const std::string& q : corpus.query) CHECK(!asked.contains(q));
  CHECK(corpus.query.size() == 48);  // 10 of 60 are held out, and the two others of the fourth source are left out
  CHECK_THROWS_WITH_AS(make_corpus({}, {}, g), "corpus: 0 pairs are too few; at least 40", ValueError);
  CHECK_THROWS_WITH_AS(make_corpus(pairs, {.corrupted = 1}, g), "corpus: the corrupted share must be in [0, 1), it is 1", ValueError);
}

TEST_CASE("cornstack: the prefix stands before queries alone") {
  EncodedPairs pairs = encode_pairs({"a"}, {"a"}, 1 << 14);
  CHECK(pairs.query[0] == retrieval::hashed_trigrams("find a", 1 << 14));
  CHECK(pairs.document[0] == retrieval::hashed_trigrams("a", 1 << 14));
  CHECK_THROWS_WITH_AS(encode_pairs({"a"}, {}, 9), "encode_pairs: 1 queries and 0 documents", ShapeError);
}

TEST_CASE("cornstack: random negatives are different documents, never the pair's own") {
  Generator g(6);
  Negatives draw = random_negatives(5, 4);
  for (int64_t pair = 0; pair < 5; ++pair) {
    std::vector<int64_t> drawn = draw(pair, 0, g);
    std::set<int64_t> different(drawn.begin(), drawn.end());
    CHECK(different.size() == 4);
    CHECK(!different.contains(pair));
  }
  CHECK_THROWS_WITH_AS(random_negatives(5, 5), "random_negatives: 5 of 5 documents, of which one is the pair's own", ValueError);
}

TEST_CASE("cornstack: training ranks a pair's own document first, and chunks change nothing but rounding") {
  manual_seed(8);
  retrieval::BagEncoder whole({.buckets = 512, .embedding = 8, .width = 8});
  whole.to(f64);
  retrieval::BagEncoder chunked = whole;
  EncodedPairs pairs = strange_pairs(512);
  std::vector<int64_t> all{0, 1, 2, 3, 4, 5};
  double before = mrr(whole, pairs);
  RetrieverOptions options{.steps = 100, .batch = 3, .lr = 1e-2, .scale = 20, .seed = 3};
  train_retriever(whole, pairs, all, random_negatives(6, 2), options);
  options.chunk = 4;
  int64_t heard = 0;
  train_retriever(chunked, pairs, all, random_negatives(6, 2), options, [&](int64_t) { ++heard; });
  CHECK(heard == 100);
  CHECK(mrr(whole, pairs) == 1);
  CHECK(before < 1);
  std::vector<double> a = to_vector(embed(whole, pairs.query)), b = to_vector(embed(chunked, pairs.query));
  for (size_t i = 0; i < a.size(); ++i) CHECK(a[i] == doctest::Approx(b[i]).epsilon(1e-6));
  CHECK_THROWS_WITH_AS(train_retriever(whole, pairs, {1, 2}, in_batch(), {.batch = 3}),
                       "train_retriever: 2 pairs are fewer than a batch of 3", ValueError);
}

TEST_CASE("cornstack: both experiments at the smoke budget") {
  for (auto [slug, make] : {std::pair{"cornstack", &cornstack::experiment}, std::pair{"cornstack_code", &cornstack_code::experiment}}) {
    Results results = run_experiment({"finetuning", slug, make, {}}, {.budget = Budget::smoke, .seeds = 1});
    std::map<std::string, std::map<std::string, double>> at;
    for (const auto& cell : results.cells)
      for (const auto& [name, value] : cell.measured.metrics) at[cell.variant][name] = value;
    CHECK(at.size() == 11);
    for (auto& [variant, m] : at) {
      INFO(slug << ": " << variant);
      CHECK(m.at("MRR@100 (%)") > 100 * 3.0 / 80);  // of 80 documents a random order has 6 %; the smallest that is possible by luck
      CHECK(m.at("MRR@100 (%)") <= 100);
    }
    CHECK(at["noisy"]["clean among them (%)"] == doctest::Approx(70).epsilon(.02));
    CHECK(at["clean"]["clean among them (%)"] == 100);
    CHECK(at["filter"]["clean among them (%)"] > 85);
    CHECK(at["noisy, as few"]["pairs"] == at["filter"]["pairs"]);
    CHECK(at["TF-IDF"]["MRR@100 (%)"] > 20);
  }
}
