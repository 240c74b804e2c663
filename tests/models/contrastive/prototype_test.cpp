// Prototype networks: means, distances, episodes, the interval of a score, learning of classes never seen in training.
#include "models/contrastive/prototype.h"

#include <doctest/doctest.h>

#include <cmath>
#include <set>

#include "engine/data/digits/digits.h"
#include "models/optim/adam.h"
#include "ops/gradcheck.h"
#include "ops/index.h"
#include "ops/join.h"
#include "tests/models/module_gradients.h"
#include "tests/models/reference.h"

using namespace plumb;
using namespace plumb::contrastive;
using namespace plumb_test;

TEST_CASE("prototypes: class means, squared distances and logits by hand") {
  Tensor support = tensor({{0.0, 0.0}, {2.0, 0.0}, {5.0, 1.0}, {5.0, 3.0}}, f64), label = tensor({0, 0, 1, 1});
  CHECK(to_vector(prototypes(support, label, 2)) == std::vector<double>{1, 0, 5, 2});
  Tensor query = tensor({{1.0, 1.0}, {4.0, 2.0}}, f64);
  CHECK(to_vector(squared_distances(query, support)) == std::vector<double>{2, 2, 16, 20, 20, 8, 2, 2});
  CHECK(to_vector(prototype_logits(support, label, query, 2)) == std::vector<double>{-1, -17, -13, -1});
  Episode e{tensor({0, 1, 2, 3}), tensor({4, 5}), label, tensor({0, 1}), 2};
  Tensor all = tensor({{0.0, 0.0}, {2.0, 0.0}, {5.0, 1.0}, {5.0, 3.0}, {1.0, 1.0}, {4.0, 2.0}}, f64);
  CHECK(episode_loss(all, e).item() == doctest::Approx((std::log1p(std::exp(-16.0)) + std::log1p(std::exp(-12.0))) / 2));
  CHECK_THROWS_WITH_AS(prototypes(support, label, 3), "prototypes: class 2 has no example", ValueError);
  CHECK_THROWS_WITH_AS(prototypes(support, label, 1), "prototypes: label 1 is outside [0, 1)", IndexError);
  CHECK_THROWS_WITH_AS(episode_loss(query, e), "episode: embeddings are to be [6, D], they are [2, 2]", ShapeError);
}

TEST_CASE("prototypes: derivatives of an episode's loss agree with differences") {
  Episode e{tensor({0, 1, 2, 3}), tensor({4, 5, 6}), tensor({0, 0, 1, 1}), tensor({0, 1, 1}), 2};
  CHECK(gradcheck([&](const std::vector<Tensor>& x) { return std::vector<Tensor>{episode_loss(x[0], e)}; }, {test::sample({7, 3}, 1)}));
}

TEST_CASE("episodes: classes and examples are distinct, labels belong to them, and draws follow the generator") {
  std::vector<int64_t> labels;
  for (int64_t i = 0; i < 60; ++i) labels.push_back(i % 7 == 6 && i > 20 ? 0 : i % 7);  // class 6 has three examples
  EpisodeSampler sampler(labels, {.ways = 4, .shots = 2, .queries = 3});
  Generator g(5);
  std::set<int64_t> drawn;
  for (int n = 0; n < 50; ++n) {
    Episode e = sampler(g);
    REQUIRE(e.support.shape() == Shape{8});
    REQUIRE(e.query.shape() == Shape{12});
    std::vector<int64_t> places = to_vector<int64_t>(e.support), way = to_vector<int64_t>(e.support_label);
    for (int64_t p : to_vector<int64_t>(e.query)) places.push_back(p);
    for (int64_t w : to_vector<int64_t>(e.query_label)) way.push_back(w);
    CHECK(std::set<int64_t>(places.begin(), places.end()).size() == 20);
    std::vector<std::set<int64_t>> classes(4);
    std::set<int64_t> different;
    for (size_t i = 0; i < places.size(); ++i) classes[static_cast<size_t>(way[i])].insert(labels[static_cast<size_t>(places[i])]);
    for (const auto& c : classes) {
      REQUIRE(c.size() == 1);
      different.insert(*c.begin());
    }
    CHECK(different.size() == 4);
    CHECK_FALSE(different.contains(6));
    drawn.insert(different.begin(), different.end());
  }
  CHECK(drawn.size() == 6);
  Generator a(9), b(9);
  CHECK(to_vector<int64_t>(sampler(a).query) == to_vector<int64_t>(sampler(b).query));
  CHECK_THROWS_WITH_AS(EpisodeSampler(labels, {.ways = 7, .shots = 2, .queries = 3}),
                       "episodes: 7 ways of 5 examples each, but only 6 classes have as many", ValueError);
  CHECK_THROWS_WITH_AS(EpisodeSampler(labels, {.shots = 0}), "episodes: shots must be at least 1, it is 0", ValueError);
}

TEST_CASE("few-shot score: exact where classes lie apart, with the interval of the mean") {
  std::vector<int64_t> labels;
  std::vector<double> points;
  for (int64_t i = 0; i < 40; ++i) labels.push_back(i % 4), points.push_back(static_cast<double>(i % 4));
  EpisodeSampler sampler(labels, {.ways = 2, .shots = 1, .queries = 4});
  Generator g(1);
  auto itself = [](const Tensor& x) { return x; };
  FewShotScore exact = evaluate_few_shot(itself, from_vector(points, {40, 1}), sampler, 20, g);
  CHECK(exact.accuracy == 1);
  CHECK(exact.interval == 0);
  FewShotScore blind = evaluate_few_shot(itself, test::sample({40, 1}, 3), sampler, 200, g);  // points that say nothing
  CHECK(std::abs(blind.accuracy - 0.5) < 0.1);
  CHECK(blind.interval > 0.01);
  CHECK(blind.interval < 0.06);  // of 8 coins: at most 1.96 · 0.5 / √200 = 0.07
  CHECK_THROWS_WITH_AS(evaluate_few_shot(itself, from_vector(points, {40, 1}), sampler, 0, g),
                       "evaluate_few_shot: needs at least one episode, not 0", ValueError);
}

TEST_CASE("conv embedding: names, sizes, derivatives, settings") {
  manual_seed(1);
  ConvEmbeddingConfig config{.channels = 1, .width = 2, .blocks = 2};
  ConvEmbedding model(config);
  CHECK(model.state().contains("encoder.1.1.running_var"));
  CHECK(model.state().at("encoder.0.0.weight").shape() == Shape{2, 1, 3, 3});
  CHECK(ConvEmbedding({}).num_parameters() == 64 * 9 + 64 + 3 * (64 * 64 * 9 + 64) + 4 * 128);
  CHECK(ConvEmbeddingConfig::from_json(config.to_json()).to_json() == config.to_json());
  model.to(f64);
  Tensor x = test::sample({3, 1, 5, 6}, 2);
  CHECK(model(x).shape() == Shape{3, 2});
  check_module_gradients(
      model, {x}, [&] { return model(x); }, 3);
  CHECK_THROWS_WITH_AS(model(zeros({1, 1, 3, 8}, f64)), "conv_embedding: takes images [B, 1, H, W] of at least 4×4, got [1, 1, 3, 8]",
                       ShapeError);
  CHECK_THROWS_WITH_AS(ConvEmbedding({.width = 0}), "conv_embedding: width must be at least 1, it is 0", ConfigError);
}

TEST_CASE("prototype network: trained on the digits 0 to 5, it tells 6 to 9 apart from one example each") {
  std::vector<Tensor> seen, unseen;
  std::vector<int64_t> seen_label, unseen_label;
  data::Dataset digits = data::digits().train();
  for (int64_t i = 0; i < 600; ++i) {
    data::Sample s = digits[i];
    int64_t label = s.label.item<int64_t>();
    (label < 6 ? seen : unseen).push_back(s.image);
    (label < 6 ? seen_label : unseen_label).push_back(label);
  }
  manual_seed(2);
  ConvEmbedding model({.channels = 1, .width = 16, .blocks = 2});
  Tensor training = stack(seen), fresh = stack(unseen);
  auto score = [&] {
    model.eval();
    Generator g(3);
    FewShotScore s = evaluate_few_shot([&](const Tensor& x) { return model(x); }, fresh,
                                       EpisodeSampler(unseen_label, {.ways = 4, .shots = 1, .queries = 5}), 60, g);
    model.train();
    return s;
  };
  double before = score().accuracy;
  EpisodeSampler sampler(seen_label, {.ways = 5, .shots = 1, .queries = 5});
  Generator g(4);
  optim::Adam adam(model.parameters(), {.lr = 3e-3});
  for (int step = 0; step < 60; ++step) {
    Episode e = sampler(g);
    adam.zero_grad();
    episode_loss(model(index_select(training, 0, cat({e.support, e.query}))), e).backward();
    adam.step();
  }
  FewShotScore after = score();
  CHECK(after.accuracy > 0.7);  // a guess is right in one of four
  CHECK(after.accuracy > before);
}
