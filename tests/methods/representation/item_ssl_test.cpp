// Item SSL: worked numbers, masks and their laws, which rows get gradients, retrieval scores, mistakes, the experiments.
#include "methods/representation/item_ssl/item_ssl.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "engine/core/error.h"
#include "methods/representation/item_ssl/evaluation.h"
#include "methods/representation/item_ssl/lookup.h"
#include "methods/representation/item_ssl/trial.h"
#include "methods/runner.h"
#include "models/metrics/retrieval.h"
#include "ops/create.h"
#include "ops/elementary.h"
#include "ops/gradcheck.h"
#include "ops/index.h"
#include "ops/matmul.h"
#include "ops/normalize.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "tests/scratch.h"

using namespace plumb;
using namespace plumb::methods;
using namespace plumb::methods::item_ssl;

namespace plumb::methods::item_ssl {
Experiment experiment();
}
namespace plumb::methods::item_ssl_catalogue {
Experiment experiment();
}
namespace plumb::methods::item_ssl_lookup {
Experiment experiment();
}

namespace {

Tensor first_view() { return tensor({{1.0, .5}, {-.2, 1.0}, {.3, -1.0}}, f64); }
Tensor second_view() { return tensor({{.8, .7}, {.1, .9}, {.5, -.6}}, f64); }
Tensor queries() { return tensor({{.9, .1}, {0.0, 1.0}, {.2, -.8}}, f64); }

data::RecommendationSet small_set(int64_t tags = 12) {
  return data::power_law_catalogue({.items = 60, .users = 12, .types = 5, .taken = 10, .tags = tags}, 4);
}

void steps(TwoTower& model, const data::RecommendationSet& set, int count, uint64_t seed = 1) {
  Generator clicks(seed), views(seed + 1);
  for (int step = 0; step < count; ++step) {
    std::vector<int64_t> users, items;
    for (int i = 0; i < 16; ++i) {
      users.push_back(static_cast<int64_t>(clicks.next_below(static_cast<uint64_t>(set.users()))));
      const auto& taken = set.train[static_cast<size_t>(users.back())];
      items.push_back(taken[clicks.next_below(taken.size())]);
    }
    model.step(users, items, views);
  }
}

TwoTowerOptions small_options(Regulariser regulariser) {
  return {.width = 4, .hidden = {8}, .outputs = 4, .regulariser = regulariser, .ssl_batch = 20, .seed = 3};
}

}  // namespace

TEST_CASE("item_ssl: worked numbers 1 and 2") {
  CHECK(item_ssl_loss(first_view(), second_view(), .1).item() == doctest::Approx(.00846604).epsilon(2e-6));
  CHECK(item_ssl_loss(first_view(), second_view(), 1).item() == doctest::Approx(.564691).epsilon(2e-6));
  double main = batch_softmax_loss(queries(), first_view(), .1).item();
  CHECK(main == doctest::Approx(.00178769).epsilon(4e-6));
  Tensor log_q = plumb::log(tensor({.5, .3, .2}, f64));
  CHECK(batch_softmax_loss(queries(), first_view(), .1, {.log_q = log_q}).item() == doctest::Approx(.00140716).epsilon(4e-6));
  CHECK(main + .3 * item_ssl_loss(first_view(), second_view(), .1).item() == doctest::Approx(.00432750).epsilon(2e-6));
  Tensor unit = normalize(first_view());
  auto cosines = to_vector(matmul(unit, mT(unit)));
  CHECK(cosines[1] == doctest::Approx(.263117).epsilon(2e-6));
  CHECK(cosines[2] == doctest::Approx(-.171341).epsilon(4e-6));
  CHECK(cosines[5] == doctest::Approx(-.995580).epsilon(1e-6));
  CHECK(spread_out_loss(first_view()).item() == doctest::Approx(.363256).epsilon(2e-6));
}

TEST_CASE("item_ssl: one item, all items alike, hits by accident, equal probabilities") {
  Tensor one = tensor({{.3, -.4}}, f64), alike = tensor({{1.0, 2.0}, {1.0, 2.0}, {1.0, 2.0}, {1.0, 2.0}}, f64);
  CHECK(item_ssl_loss(one, one, .1).item() == doctest::Approx(0).epsilon(1e-14));
  CHECK(item_ssl_loss(alike, alike, .1).item() == doctest::Approx(std::log(4)).epsilon(1e-12));
  CHECK(item_ssl_loss(zeros({4, 2}, f64), alike, .1).item() == doctest::Approx(std::log(4)).epsilon(1e-12));  // cosine 0 with all
  double plain = batch_softmax_loss(queries(), first_view(), .1).item();
  CHECK(batch_softmax_loss(queries(), first_view(), .1, {.log_q = plumb::log(full({3}, .25, f64))}).item() ==
        doctest::Approx(plain).epsilon(1e-12));
  CHECK(batch_softmax_loss(queries(), first_view(), .1, {.item = tensor({4, 9, 2})}).item() == plain);
  // All three are one item: nothing is left to be told from it.
  CHECK(batch_softmax_loss(queries(), first_view(), .1, {.item = tensor({5, 5, 5})}).item() == doctest::Approx(0).epsilon(1e-14));
  // Rows 0 and 2 are one item: each keeps its own column and 1's.
  Tensor logits = matmul(normalize(queries()), mT(normalize(first_view()))) / .1;
  auto z = to_vector(logits);
  double wanted = (std::log1p(std::exp(z[1] - z[0])) + std::log(1 + std::exp(z[3] - z[4]) + std::exp(z[5] - z[4])) +
                   std::log1p(std::exp(z[7] - z[8]))) /
                  3;
  CHECK(batch_softmax_loss(queries(), first_view(), .1, {.item = tensor({5, 1, 5})}).item() == doctest::Approx(wanted).epsilon(1e-9));
}

TEST_CASE("item_ssl: gradients of the losses are those of central differences") {
  auto main = [](const std::vector<Tensor>& x) -> std::vector<Tensor> {
    return {batch_softmax_loss(x[0], x[1], .3, {.log_q = plumb::log(tensor({.5, .3, .2}, f64)), .item = tensor({5, 1, 5})})};
  };
  auto views = [](const std::vector<Tensor>& x) -> std::vector<Tensor> { return {item_ssl_loss(x[0], x[1], .3)}; };
  auto spread = [](const std::vector<Tensor>& x) -> std::vector<Tensor> { return {spread_out_loss(x[0])}; };
  CHECK(gradcheck(main, {queries(), first_view()}).passed);
  CHECK(gradcheck(views, {first_view(), second_view()}).passed);
  CHECK(gradcheck(spread, {first_view()}).passed);
}

TEST_CASE("item_ssl: worked number 3, and the table over items by how often they were taken") {
  std::vector<int64_t> a{0, 0, 0, 1, 1, 1, 2, 2}, b{0, 0, 1, 1, 1, 1, 0, 0}, c{0, 1, 0, 1, 0, 1, 0, 1};
  std::vector<data::ItemFeature> features{
      {"a", 3, a, {}}, {"b", 2, b, {}}, {"c", 2, c, {}}, {"constant", 4, std::vector<int64_t>(8, 3), {}}};
  auto table = mutual_information_table(features, 8);
  CHECK(table[0][1] == doctest::Approx(.454454).epsilon(2e-6));
  CHECK(table[0][2] == doctest::Approx(.0424748).epsilon(2e-6));
  CHECK(table[1][2] == doctest::Approx(0).epsilon(1e-14));
  for (size_t f = 0; f < 3; ++f) CHECK(table[f][3] == doctest::Approx(0).epsilon(1e-14));
  CHECK(table[1][0] == table[0][1]);
  // Items 0 … 3 alone count, and then A says nothing of C's first values that B does not.
  auto few = mutual_information_table(features, 8, {1, 1, 1, 1, 0, 0, 0, 0});
  CHECK(few[0][1] == doctest::Approx(std::log(4) - .75 * std::log(3) + std::log(2) - (1.5 * std::log(2))).epsilon(1e-12));
  // Several values: each is drawn evenly. Items {0, 1} → x, {2} → y: H(Y) is known from the values.
  std::vector<data::ItemFeature> several{{"tags", 3, {0, 1, 2}, {0, 2, 3}}, {"y", 2, {0, 1}, {}}};
  CHECK(mutual_information_table(several, 2)[0][1] == doctest::Approx(std::log(2)).epsilon(1e-12));
}

TEST_CASE("item_ssl: complementary masks are disjoint and cover all; a correlated one holds its seed and what tells most of it") {
  Generator g(1);
  std::vector<std::vector<double>> mi{{0, 5, 1, 4, 2}, {5, 0, 3, 3, 1}, {1, 3, 0, 2, 2}, {4, 3, 2, 0, 1}, {2, 1, 2, 1, 0}};
  CorrelatedMask correlated(mi);
  for (FeatureMaskPattern pattern : {FeatureMaskPattern::rfm_complementary, FeatureMaskPattern::cfm})
    for (int repeat = 0; repeat < 20; ++repeat) {
      MaskPair m = draw_masks(pattern, 5, &correlated, g);
      for (size_t f = 0; f < 5; ++f) CHECK(m.first[f] != m.second[f]);
    }
  using Mask = std::vector<bool>;
  CHECK(correlated.around(0, g).first == Mask{true, true, false, true, false});   // n = 2: features 1 and 3
  CHECK(correlated.around(1, g).first == Mask{true, true, true, false, false});   // of 2 and 3, equal, the lower
  CHECK(correlated.around(4, g).first == Mask{true, false, true, false, true});
  CorrelatedMask two({{0, 1}, {1, 0}});
  for (int repeat = 0; repeat < 10; ++repeat) {
    MaskPair m = two.draw(g);
    CHECK(std::count(m.first.begin(), m.first.end(), true) == 1);
    CHECK(std::count(m.second.begin(), m.second.end(), true) == 1);
  }
  MaskPair halves = draw_masks(FeatureMaskPattern::rfm, 7, nullptr, g);
  CHECK(std::count(halves.first.begin(), halves.first.end(), true) == 3);
  CHECK(std::count(halves.second.begin(), halves.second.end(), true) == 3);
  MaskPair nothing = draw_masks(FeatureMaskPattern::none, 3, nullptr, g);
  CHECK(nothing.first == Mask(3, false));
}

TEST_CASE("item_ssl: a feature that determines all others takes a random place in the order") {
  Generator g(2);
  std::vector<std::vector<double>> mi{{0, 9, 9, 9, 9}, {9, 0, 3, 2, 1}, {9, 3, 0, 2, 1}, {9, 3, 2, 0, 1}, {9, 3, 2, 1, 0}};
  CorrelatedMask correlated(mi, {0});
  int with_id = 0;
  for (int repeat = 0; repeat < 400; ++repeat) {
    MaskPair m = correlated.around(1, g);
    CHECK(m.first[1]);
    CHECK(std::count(m.first.begin(), m.first.end(), true) == 3);
    CHECK(m.first[2]);  // of the ranked ones the first is always there: the id pushes out at most one
    with_id += m.first[0];
  }
  CHECK(std::abs(with_id - 200) < 60);  // among the first 2 of 4 places: 200 ± 10
  std::set<std::vector<bool>> around_id;
  for (int repeat = 0; repeat < 200; ++repeat) around_id.insert(correlated.around(0, g).first);
  CHECK(around_id.size() == 6);  // any two of four
}

TEST_CASE("item_ssl: items are drawn evenly and each once") {
  Generator g(3);
  std::vector<int> seen(10), first(10);
  for (int repeat = 0; repeat < 1000; ++repeat) {
    auto drawn = sample_items(10, 4, g);
    CHECK(std::set<int64_t>(drawn.begin(), drawn.end()).size() == 4);
    for (int64_t i : drawn) ++seen[static_cast<size_t>(i)];
    ++first[static_cast<size_t>(drawn[0])];
  }
  for (int n : seen) CHECK(std::abs(n - 400) < 80);  // deviation 15.5
  for (int n : first) CHECK(std::abs(n - 100) < 48);  // deviation 9.5
  auto all = sample_items(5, 5, g);
  CHECK(std::set<int64_t>(all.begin(), all.end()).size() == 5);
}

TEST_CASE("item_ssl: with all features of both views hidden every item is the same, and the loss is log N") {
  manual_seed(1);
  auto set = small_set();
  ItemColumns columns(set);
  FeatureTower tower({.cardinalities = columns.cardinalities(), .width = 4, .hidden = {8}, .outputs = 4});
  std::vector<bool> all(columns.features().size(), true);
  auto batch = columns({0, 5, 9, 31, 44});
  Tensor z = tower(batch, all);
  CHECK(item_ssl_loss(z, tower(batch, all), .1).item() == doctest::Approx(std::log(5)).epsilon(1e-6));
  auto rows = to_vector(z);
  for (size_t i = 4; i < rows.size(); ++i) CHECK(rows[i] == rows[i % 4]);
  CHECK(item_ssl_loss(tower(batch), tower(batch), .1).item() < std::log(5) - .01);
}

TEST_CASE("item_ssl: gradients reach the rows that a view shows, and a default row only where it is learned") {
  auto set = small_set();
  ItemColumns columns(set);
  for (bool learned : {false, true}) {
    manual_seed(2);
    FeatureTower tower({.cardinalities = columns.cardinalities(), .width = 4, .hidden = {8}, .outputs = 4, .train_default = learned});
    auto batch = columns({3, 7, 20});
    std::vector<bool> first(8), second(8);
    for (size_t f = 0; f < 8; ++f) (f < 4 ? first : second)[f] = true;
    second[7] = false;
    first[7] = true;  // the tags are in the second view alone
    item_ssl_loss(tower(batch, first), tower(batch, second), .5).backward();
    for (size_t f = 0; f < 8; ++f) {
      std::set<int64_t> used;
      for (int64_t v : to_vector<int64_t>(batch[f].values)) used.insert(v);
      Tensor gradient = tower.tables[f].weight.grad();
      REQUIRE(gradient.defined());
      auto g = to_vector(gradient);
      for (int64_t row = 0; row < gradient.size(0); ++row) {
        double size = 0;
        for (size_t c = 0; c < 4; ++c) size += std::abs(g[static_cast<size_t>(row) * 4 + c]);
        CHECK((size > 0) == (used.count(row) > 0));
      }
    }
    CHECK(tower.defaults.grad().defined() == learned);
    if (learned)
      for (double v : to_vector(sum(plumb::abs(tower.defaults.grad()), {1}))) CHECK(v > 0);
    // Hidden in both views, a feature's table has no part in the loss.
    tower.zero_grad();
    first.assign(8, false);
    first[2] = true;
    item_ssl_loss(tower(batch, first), tower(batch, first), .5).backward();
    CHECK_FALSE(tower.tables[2].weight.grad().defined());
  }
}

TEST_CASE("item_ssl: values of features with several are dropped, others stay, and parts of a batch are those of the whole") {
  auto set = small_set();
  ItemColumns columns(set);
  Generator g(5);
  std::vector<int64_t> items;
  for (int64_t i = 0; i < 60; ++i) items.push_back(i);
  auto batch = columns(items), half = drop_values(batch, .5, g), same = drop_values(batch, 0, g);
  CHECK(to_vector(half[1].values) == to_vector(batch[1].values));
  CHECK(to_vector(same[7].values) == to_vector(batch[7].values));
  double before = static_cast<double>(batch[7].values.numel()), after = static_cast<double>(half[7].values.numel());
  CHECK(std::abs(after / before - .5) < .25);
  CHECK(half[7].offsets.numel() == 60);
  manual_seed(3);
  FeatureTower tower({.cardinalities = columns.cardinalities(), .width = 4, .hidden = {8}, .outputs = 4});
  CHECK(to_vector(tower(narrow_columns(half, 20, 33))) == to_vector(narrow(tower(half), 0, 20, 13)));
}

TEST_CASE("item_ssl: with alpha 0 the model is the plain one, bit for bit; with more it is not") {
  auto set = small_set();
  auto after = [&](Regulariser r, double alpha) {
    TwoTowerOptions o = small_options(r);
    o.alpha = alpha;
    TwoTower model(set, o);
    steps(model, set, 3);
    return to_vector(model.all_item_vectors());
  };
  auto plain = after(Regulariser::none, .3);
  CHECK(after(Regulariser::contrastive, 0) == plain);
  CHECK(after(Regulariser::spread_out, 0) == plain);
  CHECK(after(Regulariser::contrastive, .3) != plain);
  CHECK(after(Regulariser::feature_dropout, 0) != plain);
}

TEST_CASE("item_ssl: training lowers both losses, and items never clicked move with the views alone") {
  auto set = small_set();
  TwoTower model(set, small_options(Regulariser::contrastive));
  auto never = static_cast<int64_t>(std::find(model.counts().begin(), model.counts().end(), 0) - model.counts().begin());
  REQUIRE(never < 60);
  auto row_of = [&](TwoTower& m) { return to_vector(narrow(m.item_table().gather(), 0, never, 1)); };
  auto before = row_of(model);
  steps(model, set, 1);
  double main = model.main_loss(), views = model.regulariser_loss();
  steps(model, set, 60);
  CHECK(model.main_loss() < main - .1);
  CHECK(model.regulariser_loss() < views - .1);
  CHECK(row_of(model) != before);
  TwoTower plain(set, small_options(Regulariser::none));
  steps(plain, set, 20);
  CHECK(row_of(plain) == before);
}

TEST_CASE("item_ssl: retrieval scores are those of the full matrix of scores, on slices with truth cut to them") {
  Generator g(6);
  Tensor users = randn({5, 4}, {.dtype = f64, .generator = &g}), items = randn({30, 4}, {.dtype = f64, .generator = &g});
  std::vector<std::vector<int64_t>> truth{{1, 2}, {3}, {4, 5, 6}, {7}, {8, 29}}, exclude{{0, 9}, {}, {10, 11, 12}, {13}, {14}};
  std::vector<int64_t> counts(30);
  for (size_t i = 0; i < 30; ++i) counts[i] = static_cast<int64_t>(i % 7);
  auto slices = popularity_slices(counts, .2);
  CHECK(std::count(slices[1].contains.begin(), slices[1].contains.end(), true) == 6);
  auto scores = evaluate_retrieval(users, items, truth, exclude, {3, 10}, slices);
  REQUIRE(scores.size() == 3);
  for (const SliceScores& s : scores) {
    const ItemSlice& slice = *std::find_if(slices.begin(), slices.end(), [&](const ItemSlice& x) { return x.name == s.slice; });
    Tensor matrix = clone(matmul(normalize(users), mT(normalize(items)))), relevant = zeros({5, 30});
    for (size_t u = 0; u < 5; ++u) {
      for (int64_t i : exclude[u]) matrix.data<double>()[u * 30 + static_cast<size_t>(i)] = -INFINITY;
      for (int64_t i : truth[u])
        if (slice.contains[static_cast<size_t>(i)]) relevant.data<float>()[u * 30 + static_cast<size_t>(i)] = 1;
    }
    for (size_t k = 0; k < 2; ++k) {
      CHECK(s.recall[k] == doctest::Approx(metrics::recall_at_k(matrix, relevant, k == 0 ? 3 : 10)).epsilon(1e-12));
      CHECK(s.average_precision[k] == doctest::Approx(metrics::mean_average_precision(matrix, relevant, k == 0 ? 3 : 10)).epsilon(1e-12));
    }
  }
  CHECK(scores[0].users == 5);
  CHECK(std::isnan(evaluate_retrieval(users, items, std::vector<std::vector<int64_t>>(5), exclude, {3}, slices)[0].recall[0]));
}

TEST_CASE("item_ssl: rows of a power law: each has its probability, and no more rows are asked for than there are") {
  Generator g(7);
  auto numbers = power_law_rows(4, 20'000, 1, g);
  std::vector<double> share(4);
  for (int64_t n : numbers) share[static_cast<size_t>(n)] += 1. / 20'000;
  for (size_t r = 0; r < 4; ++r)
    CHECK(share[r] == doctest::Approx(std::log((static_cast<double>(r) + 2) / (static_cast<double>(r) + 1)) / std::log(5)).epsilon(.05));
  parallel::ShardedEmbedding table(1000, 8);
  LookupCost cost = lookup_cost(table, {.batch = 64, .exponent = 1.1, .repeats = 3}, g);
  CHECK(cost.fetch_ns > 0);
  CHECK(cost.step_ns > cost.fetch_ns);
  CHECK((cost.different > 0 && cost.different < 1));
  CHECK_THROWS_WITH_AS(power_law_rows(0, 3, 1, g), "power_law_rows: 3 of 0 rows", ValueError);
}

TEST_CASE("item_ssl: a share of the clicks leaves users and items as they are") {
  auto set = small_set();
  Generator g(8);
  auto few = with_share(set, .3, g);
  size_t all = 0, left = 0;
  for (size_t u = 0; u < set.train.size(); ++u) {
    all += set.train[u].size();
    left += few.train[u].size();
    for (int64_t item : few.train[u]) CHECK(std::count(set.train[u].begin(), set.train[u].end(), item) == 1);
  }
  CHECK(left == all * 3 / 10);
  CHECK(few.test == set.test);
}

TEST_CASE("item_ssl: a model is trained on MovieLens' files, films without genres and all") {
  plumb_test::Scratch scratch;
  std::string films = "movieId,title,genres\n", ratings = "userId,movieId,rating,timestamp\n";
  const char* genres[] = {"Comedy", "Drama|War", "(no genres listed)", "Comedy|War|Horror"};
  for (int film = 0; film < 80; ++film)
    films += std::to_string(3 * film + 1) + ",A film (" + std::to_string(1920 + film) + ")," + genres[film % 4] + "\n";
  for (int user = 1; user <= 9; ++user)
    for (int i = 0; i < 7; ++i)
      ratings += std::to_string(user) + "," + std::to_string(3 * ((user * 11 + i * i) % 80) + 1) + "," + std::to_string(1 + i % 5) + "," +
                 std::to_string(i) + "\n";
  scratch.put("movies.csv", films);
  scratch.put("ratings.csv", ratings);
  auto set = data::movielens(scratch.path(""), {.test = 2});
  CHECK(set.items == 80);
  CHECK(set.users() == 9);
  TwoTower model(set, small_options(Regulariser::contrastive));
  CHECK(model.columns().cardinalities() == std::vector<int64_t>{80, 4, 31});
  steps(model, set, 5);
  CHECK(std::isfinite(model.regulariser_loss()));
  auto scores = evaluate_retrieval(model.user_vectors({0, 1, 2, 3, 4, 5, 6, 7, 8}), model.all_item_vectors(), set.test, set.train, {50},
                                   popularity_slices(model.counts()));
  CHECK(scores[0].users == 9);
  CHECK((scores[0].recall[0] > 0 && scores[0].recall[0] <= 1));
}

TEST_CASE("item_ssl: mistakes are named") {
  Generator g(9);
  auto set = small_set();
  TwoTower model(set, small_options(Regulariser::none));
  CHECK_THROWS_WITH_AS(model.step({0}, {60}, g), "item_ssl: item 60 was never seen: the catalogue has 60 items", IndexError);
  CHECK_THROWS_WITH_AS(model.step({12}, {0}, g), "item_ssl: user 12 was never seen: there are 12 users", IndexError);
  CHECK_THROWS_WITH_AS(model.step({0, 1}, {0}, g), "item_ssl: 2 users with 1 items; a step takes pairs", ShapeError);
  CHECK_THROWS_WITH_AS(model.item_vectors({-1}), "item_ssl: item -1 was never seen: the catalogue has 60 items", IndexError);
  Tensor some = rand({2, 3});
  CHECK_THROWS_WITH_AS(evaluate_retrieval(some, some, {{5}, {}}, {{}, {}}, {1}, {}),
                       "evaluate_retrieval: item 5 was never seen: the catalogue has 2 items", IndexError);
  CHECK_THROWS_WITH_AS(evaluate_retrieval(some, some, {{0}, {}}, {{1}, {}}, {2}, {}),
                       "evaluate_retrieval: k must lie in [1, 1], what is left of the catalogue, it is 2", ValueError);
  CHECK_THROWS_WITH_AS(log_probabilities({3, 0}, {1}), "log_probabilities: item 1 was never seen in training", ValueError);
  CHECK_THROWS_WITH_AS(log_probabilities({3, 0}, {2}), "log_probabilities: item 2 is outside the catalogue of 2 items", IndexError);
  CHECK_THROWS_WITH_AS(batch_softmax_loss(queries(), first_view(), .1, {.log_q = tensor({0.0, -INFINITY, 0.0}, f64)}),
                       "batch_softmax_loss: log_q of column 1 is -inf; was its item never seen?", ValueError);
  CHECK_THROWS_WITH_AS(item_ssl_loss(first_view(), zeros({2, 2}, f64), .1), "item_ssl_loss: takes pairs [n, D], got [3, 2] and [2, 2]",
                       ShapeError);
  CHECK_THROWS_WITH_AS(item_ssl_loss(first_view(), second_view(), 0), "item_ssl_loss: the temperature must be positive, it is 0",
                       ValueError);
  CHECK_THROWS_WITH_AS(spread_out_loss(zeros({1, 3})), "spread_out_loss: takes at least 2 items, got 1", ValueError);
  CHECK_THROWS_WITH_AS(draw_masks(FeatureMaskPattern::rfm, 1, nullptr, g), "draw_masks: two views take at least 2 features, there is 1",
                       ValueError);
  CHECK_THROWS_WITH_AS(draw_masks(FeatureMaskPattern::cfm, 3, nullptr, g), "draw_masks: cfm takes the mutual information of 3 features",
                       ValueError);
  CHECK_THROWS_WITH_AS(CorrelatedMask(std::vector<std::vector<double>>(1)), "correlated_mask: takes at least 2 features, got 1",
                       ValueError);
  CHECK_THROWS_WITH_AS(sample_items(3, 4, g), "sample_items: 4 different ones of 3", ValueError);
  CHECK_THROWS_WITH_AS(with_variant({}, "XFM", {}), "item_ssl: there is no variant \"XFM\"", ValueError);
  CHECK_THROWS_WITH_AS(FeatureTower({.cardinalities = {3, 0}})({{tensor({0}), {}, {}}, {tensor({0}), {}, {}}}),
                       "feature_tower: feature 1 comes without its rows", ValueError);
}

TEST_CASE("item_ssl: the experiments measure every variant at the smoke budget") {
  Results small = run_experiment({"representation", "item_ssl", &item_ssl::experiment, {}}, {.budget = Budget::smoke, .seeds = 1});
  REQUIRE(small.cells.size() == 6);
  for (const CellResult& cell : small.cells) {
    CAPTURE(cell.variant);
    std::map<std::string, double> m(cell.measured.metrics.begin(), cell.measured.metrics.end());
    CHECK(m["recall@50 (%)"] > 25);  // 50 of 190 candidates by chance: 26 %
    CHECK(m["recall@50 (%)"] <= 100);
    CHECK(m["MAP@10 (%)"] <= m["recall@50 (%)"]);
  }
  Results large =
      run_experiment({"representation", "item_ssl_catalogue", &item_ssl_catalogue::experiment, {}}, {.budget = Budget::smoke, .seeds = 1});
  CHECK(large.cells.size() == 8);
  Results cost =
      run_experiment({"representation", "item_ssl_lookup", &item_ssl_lookup::experiment, {}}, {.budget = Budget::smoke, .seeds = 1});
  REQUIRE(cost.cells.size() == 3);
  for (const CellResult& cell : cost.cells) {
    std::map<std::string, double> m(cell.measured.metrics.begin(), cell.measured.metrics.end());
    CHECK(m["lookup and update, most items (ns)"] > m["lookup, most items (ns)"]);
    CHECK((m["different rows (%)"] < 100 && m["different rows (%)"] > 1));
  }
}
