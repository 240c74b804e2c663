// OVOR: worked numbers of outliers, hinges and schedule; what each stage must leave alone; the limits; the experiment.
#include "methods/continual/ovor/ovor.h"

#include <doctest/doctest.h>

#include <cmath>
#include <set>

#include "engine/data/digits/digits.h"
#include "methods/common/local_logits.h"
#include "methods/runner.h"
#include "ops/create.h"
#include "ops/elementary.h"
#include "ops/index.h"
#include "ops/matmul.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "tests/methods/check_close.h"
#include "tests/methods/measured.h"

namespace plumb::methods::ovor {
Experiment experiment();
}

using namespace plumb;
using namespace plumb::methods;
using ovor::PromptedVision;

namespace {

Tensor worked_features() { return tensor({{1.0, 0.0}, {0.9, 0.1}, {0.8, 0.3}, {0.0, 1.0}, {0.6, 0.8}}, f64); }

transformer::VisionTransformer small_tower() {
  manual_seed(3);
  return transformer::VisionTransformer(
      {.image_height = 8, .image_width = 8, .channels = 1, .patch = 4, .classes = 4, .layers = 3, .heads = 2, .width = 8, .inner = 16});
}

ContinualStream small_stream(int64_t tasks = 2) {
  return class_stream(data::digits(), {.tasks = tasks, .per_class = 8, .test_per_class = 4, .seed = 1});
}

PromptedVision prompted(const ovor::PromptOptions& options = {}) {
  manual_seed(4);
  return PromptedVision(small_tower(), options, 10);
}

ovor::OvorOptions small_options(int64_t head_epochs) {
  return {
      .epochs = 2,
      .head_epochs = head_epochs,
      .vor = {
          .lambda = 1, .margins = {-8, -2}, .sampler = {.neighbour = 3, .boundary = 4, .offsets = 10, .keep_per_class = 4}, .batch = 16}};
}

ContinualTrainOptions training(const ovor::OvorOptions& o) {
  return {.epochs = o.epochs,
          .batch = 16,
          .adam = optim::AdamOptions{.lr = 2e-3},
          .schedule = ovor::stage_one_schedule(o.epochs, o.head_epochs)};
}

ContinualTrainer<PromptedVision> learner(const PromptedVision& start, const ovor::OvorOptions& o) {
  return ContinualTrainer<PromptedVision>(start, training(o), std::make_unique<ovor::Ovor<PromptedVision>>(o));
}

std::vector<double> numbers(const nn::Module& module) {
  std::vector<double> all;
  for (const Tensor& p : module.parameters())
    for (double x : to_vector(p)) all.push_back(x);
  return all;
}

struct HeadTask {
  Tensor features, labels;
  nn::Linear head;
  HeadTask() : head((manual_seed(8), 5), 4) {
    Generator g(9);
    features = randn({20, 5}, {.generator = &g});
    labels = remainder(arange(20), tensor({2})) + 2;  // classes 2 and 3 of 4
  }
};

}  // namespace

TEST_CASE("ovor: the energy hinge by its worked numbers") {
  Tensor in = energy_score(tensor({{12.0, 1.0, 0.0}, {16.0, 2.0, 1.0}}, f64), 0, 3);
  Tensor out = energy_score(tensor({{5.0, 1.0, 0.0}, {0.5, 0.2, 0.1}}, f64), 0, 3);
  check_close(in, {-12.000023, -16.000001}, 1e-7);
  check_close(out, {-5.024745, -1.380099}, 1e-6);
  check_close(clamp_min(in + 15, 0), {2.999977, 0}, 1e-6);
  check_close(clamp_min(-3 - out, 0), {2.024745, 0}, 1e-6);
  double inliers = ovor::energy_hinge_loss(in, {}).item(), outliers = ovor::energy_hinge_loss({}, out).item();
  CHECK(inliers == doctest::Approx(1.249989).epsilon(1e-6));
  CHECK(outliers == doctest::Approx(0.762372).epsilon(1e-6));
  CHECK(0.1 * ovor::energy_hinge_loss(in, out).item() == doctest::Approx(0.201236).epsilon(1e-6));
  CHECK(ovor::energy_hinge_loss(in, out).item() == doctest::Approx(inliers + outliers).epsilon(1e-14));
  // Quadratic up to 1, then straight: energies 0.5 and 3 above the margin.
  CHECK(ovor::energy_hinge_loss(tensor({-0.5, 2.0}, f64), {}, {-1, 0}).item() == doctest::Approx((0.125 + 2.5) / 2).epsilon(1e-14));
}

TEST_CASE("ovor: boundary scores by their worked numbers, with and without the point itself") {
  check_close(ovor::boundary_scores(worked_features(), 2), {0.0122325, 0.0122325, 0.0612451, 0.4, 0.314607}, 2e-6);
  check_close(ovor::boundary_scores(worked_features(), 2, false), {0.127342, 0.0612451, 0.127342, 1.297753, 0.4}, 2e-6);
  for (bool self : {true, false}) CHECK(argmax(ovor::boundary_scores(worked_features(), 2, self)).item<int64_t>() == 3);
  check_close(ovor::boundary_scores(7 * worked_features(), 2), {0.0122325, 0.0122325, 0.0612451, 0.4, 0.314607}, 2e-6);  // directions
}

TEST_CASE("ovor: the schedule by its worked numbers") {
  optim::Schedule rate = ovor::task_schedule(5);
  double wanted[] = {1e-3, 9.25375e-4, 7.12639e-4, 3.93541e-4, 1.57073e-5};
  for (int64_t e = 0; e < 5; ++e) CHECK(1e-3 * rate(e) == doctest::Approx(wanted[e]).epsilon(1e-9));
  CHECK(ovor::task_schedule(1)(0) == 1);
  optim::Schedule by_step = ovor::stage_one_schedule(3, 2)(12);  // 4 steps an epoch
  CHECK(by_step(3) == 1);
  CHECK(by_step(4) == rate(1));
  CHECK(by_step(11) == rate(2));
  CHECK_THROWS_WITH_AS(ovor::task_schedule(0), "ovor: a schedule of 0 epochs", ValueError);
}

TEST_CASE("ovor: outliers are those candidates that are farthest from the features") {
  Generator g(1);
  ovor::OutlierOptions o{.neighbour = 2, .boundary = 2, .offsets = 6, .keep_per_class = 3, .sigma = 0.2};
  auto kept = ovor::sample_outliers(worked_features(), 1, o, g);
  CHECK(to_vector<int64_t>(kept.boundary) == std::vector<int64_t>{3, 4});
  REQUIRE(kept.rows.shape() == Shape{3, 2});
  // All twelve candidates and their scores, by loops: point 3's, then point 4's.
  Generator again(1);
  auto offset = to_vector(randn({6, 2}, {.dtype = f64, .generator = &again}));
  auto feature = to_vector(worked_features());
  auto direction = [](double a, double b) { return std::pair{a / std::hypot(a, b), b / std::hypot(a, b)}; };
  std::vector<std::array<double, 3>> candidates;
  for (int64_t b : {3, 4})
    for (int j = 0; j < 6; ++j) {
      double x = feature[2 * b] + 0.2 * offset[2 * j], y = feature[2 * b + 1] + 0.2 * offset[2 * j + 1];
      auto [u, v] = direction(x, y);
      std::vector<double> d;
      for (int i = 0; i < 5; ++i) {
        auto [p, q] = direction(feature[2 * i], feature[2 * i + 1]);
        d.push_back((u - p) * (u - p) + (v - q) * (v - q));
      }
      std::sort(d.begin(), d.end());
      candidates.push_back({d[1], x, y});
    }
  std::stable_sort(candidates.begin(), candidates.end(), [](const auto& a, const auto& b) { return a[0] > b[0]; });
  auto rows = to_vector(kept.rows), score = to_vector(kept.score);
  for (size_t k = 0; k < 3; ++k) {
    CHECK(score[k] == doctest::Approx(candidates[k][0]).epsilon(1e-12));
    CHECK(rows[2 * k] == doctest::Approx(candidates[k][1]).epsilon(1e-12));
    CHECK(rows[2 * k + 1] == doctest::Approx(candidates[k][2]).epsilon(1e-12));
    for (size_t rejected = 3; rejected < 12; ++rejected) CHECK(score[k] >= candidates[rejected][0]);
  }
}

TEST_CASE("ovor: as many outliers as asked for or as there are, and around the origin as many different ones as the copies leave") {
  Generator g(2);
  Tensor z = randn({12, 4}, {.generator = &g});
  CHECK(ovor::sample_outliers(z, 3, {.neighbour = 2, .boundary = 4, .offsets = 10, .keep_per_class = 6}, g).rows.size(0) == 18);
  CHECK(ovor::sample_outliers(z, 3, {.neighbour = 2, .boundary = 2, .offsets = 5, .keep_per_class = 6}, g).rows.size(0) == 10);
  CHECK(ovor::sample_outliers(z, 3, {.neighbour = 2, .boundary = 99, .offsets = 1, .keep_per_class = 99}, g).rows.size(0) == 12);
  auto origin =
      ovor::sample_outliers(z, 2, {.neighbour = 2, .boundary = 4, .offsets = 10, .keep_per_class = 8, .center = ovor::Center::origin}, g);
  std::set<double> different;
  for (double x : to_vector(select(origin.rows, 1, 0))) different.insert(x);
  CHECK(origin.rows.size(0) == 16);
  CHECK(different.size() == 4);  // 16 kept of 4 copies each
  // Raw queries see lengths: far candidates win whatever their direction.
  auto raw =
      ovor::sample_outliers(z, 1, {.neighbour = 2, .boundary = 12, .offsets = 20, .keep_per_class = 10, .sigma = 0.01, .raw = true}, g);
  CHECK(min(norm(raw.rows, 2, {1})).item() > mean(norm(z, 2, {1})).item());
}

TEST_CASE("ovor: with weight 0 stage two is the cross-entropy of the head alone, bit for bit") {
  HeadTask a, b;
  optim::Adam first(a.head.parameters(), {.lr = 1e-2}), second(b.head.parameters(), {.lr = 1e-2});
  ovor::VorOptions o{.lambda = 0, .batch = 8};
  Generator g(5), same(5);
  for (int epoch = 0; epoch < 2; ++epoch) {
    ovor::vor_epoch(a.head, a.features, a.labels, {2, 4}, first, o, g);
    Generator order(same.next_u64());
    same.next_u64();
    auto places = data::random_order(20, order);
    for (int64_t at : {0, 8, 16}) {
      Tensor batch = from_vector(std::vector<int64_t>(places.begin() + at, places.begin() + std::min<int64_t>(20, at + 8)));
      second.zero_grad();
      local_cross_entropy(b.head(index_select(b.features, 0, batch)), index_select(b.labels, 0, batch), 2, 4).backward();
      second.step();
    }
  }
  CHECK(numbers(a.head) == numbers(b.head));
  // The batches are the same with outliers, so what differs is the hinge.
  HeadTask c;
  optim::Adam third(c.head.parameters(), {.lr = 1e-2});
  o = {.lambda = 1, .margins = {-8, -2}, .sampler = {.neighbour = 3, .boundary = 4, .offsets = 9, .keep_per_class = 5}, .batch = 8};
  Generator other(5);
  ovor::vor_epoch(c.head, c.features, c.labels, {2, 4}, third, o, other);
  CHECK(numbers(c.head) != numbers(a.head));
}

TEST_CASE("ovor: rows of other tasks stay as they are, bit for bit") {
  HeadTask t;
  auto before = to_vector(t.head.weight), bias = to_vector(t.head.bias);
  optim::Adam adam(t.head.parameters(), {.lr = 1e-2});
  Generator g(5);
  ovor::VorOptions o{.lambda = 1, .sampler = {.neighbour = 3, .boundary = 4, .offsets = 9, .keep_per_class = 5}, .batch = 8};
  for (int epoch = 0; epoch < 3; ++epoch) ovor::vor_epoch(t.head, t.features, t.labels, {2, 4}, adam, o, g);
  auto after = to_vector(t.head.weight);
  for (size_t i = 0; i < 10; ++i) CHECK(after[i] == before[i]);
  for (size_t i = 10; i < 20; ++i) CHECK(after[i] != before[i]);
  CHECK(to_vector(t.head.bias)[1] == bias[1]);
  CHECK(to_vector(t.head.bias)[2] != bias[2]);
}

TEST_CASE("ovor: hinges lower the energy of features and raise that of outliers, one or both") {
  auto energies = [](bool inliers, bool outliers, double lambda) {
    HeadTask t;
    optim::Adam adam(t.head.parameters(), {.lr = 2e-2});
    Generator g(5);
    ovor::VorOptions o{.lambda = lambda,
                       .margins = {-6, 1},
                       .inliers = inliers,
                       .outliers = outliers,
                       .sampler = {.neighbour = 3, .boundary = 4, .offsets = 40, .keep_per_class = 10, .sigma = 0.5},
                       .batch = 8};
    for (int epoch = 0; epoch < 15; ++epoch) ovor::vor_epoch(t.head, t.features, t.labels, {2, 4}, adam, o, g);
    Generator fresh(6);
    Tensor v = ovor::sample_outliers(t.features, 2, o.sampler, fresh).rows;
    return std::pair{mean(energy_score(t.head(t.features), 2, 4)).item(), mean(energy_score(t.head(v), 2, 4)).item()};
  };
  auto plain = energies(true, true, 0), in = energies(true, false, 1), out = energies(false, true, 1);
  CHECK(in.first < plain.first - 0.5);
  CHECK(out.second > plain.second);
}

TEST_CASE("ovor: without stage two it is OnePrompt, a loop written out, bit for bit") {
  ContinualStream stream = small_stream();
  PromptedVision start = prompted();
  auto o = small_options(0);
  auto trained = learner(start, o);
  PromptedVision net = start;
  for (size_t t = 0; t < 2; ++t) {
    trained.learn(stream, t);
    net.prompts.begin_task(static_cast<int64_t>(t));
    optim::Adam adam(net.parameters(), {.lr = 2e-3});
    Generator order(data::mix(data::mix(0, 0x6f72646572), t));
    const ContinualTask& task = stream.tasks[t];
    for (int64_t e = 0; e < 2; ++e) {
      adam.set_lr_scale(std::cos(99 * std::acos(-1.0) * static_cast<double>(e) / 200));
      for (const Tensor& places : methods::detail::epoch_batches(task.train.size(), 16, order)) {
        auto batch = task.train.at(places);
        adam.zero_grad();
        local_cross_entropy(net(batch.x), batch.labels, task.classes.begin, task.classes.end).backward();
        adam.step();
      }
    }
  }
  CHECK(numbers(trained.model()) == numbers(net));
  CHECK(numbers(net) != numbers(start));
}

TEST_CASE("ovor: stage two leaves prompts and tower alone, and old rows of the head through whole tasks") {
  ContinualStream stream = small_stream();
  PromptedVision start = prompted();
  auto with = learner(start, small_options(3));
  auto plain = small_options(3);
  plain.vor.lambda = 0;
  auto control = learner(start, plain);
  with.learn(stream, 0);
  control.learn(stream, 0);
  CHECK(numbers(with.model().prompts) == numbers(control.model().prompts));
  CHECK(numbers(with.model().head) != numbers(control.model().head));
  auto old_weight = to_vector(narrow(with.model().head.weight, 0, 0, 5)), old_bias = to_vector(narrow(with.model().head.bias, 0, 0, 5));
  auto prompts = numbers(with.model().prompts);
  with.learn(stream, 1);
  CHECK(to_vector(narrow(with.model().head.weight, 0, 0, 5)) == old_weight);
  CHECK(to_vector(narrow(with.model().head.bias, 0, 0, 5)) == old_bias);
  CHECK(numbers(with.model().prompts) != prompts);  // stage one goes on with the one prompt
  Tensor images = stream.tasks[0].test.x;
  CHECK(to_vector(with.model().query(images)) == to_vector(start.query(images)));
}

TEST_CASE("ovor: a prompt without rows is the frozen tower; prompts add to it what they should") {
  Tensor images = small_stream().tasks[0].test.x;
  auto tower = small_tower();
  PromptedVision none = prompted({.general = {{0}, 0}, .expert = {{1, 2}, 0}});
  none.prompts.begin_task(0);
  CHECK(to_vector(none.features(images)) == to_vector(select(tower.hidden(images), 1, 0)));
  PromptedVision one = prompted();
  CHECK(to_vector(one.features(images)) == to_vector(one.query(images)));  // no task has begun
  one.prompts.begin_task(0);
  CHECK(to_vector(one.features(images)) != to_vector(one.query(images)));
  CHECK(one.num_parameters() == 4 * 8 + 2 * 8 * 8 + 10 * 8 + 10);
  for (double x : to_vector(one.prompts.expert->weight)) CHECK((x >= 0 && x < 1));
}

TEST_CASE("ovor: L2P takes the nearest keys, in order, and draws them to the queries") {
  manual_seed(1);
  ovor::PromptPool pool({{1}, 2}, 3, 4, 2);
  NoGrad off;
  Tensor keys = tensor({{{1.0, 0.0}, {0.0, 2.0}, {-1.0, 0.0}}});
  copy_data(keys, pool.keys);
  Tensor query = tensor({{3.0, 3.1}, {-1.0, -0.1}});
  auto got = pool.nearest(query, 2);
  REQUIRE(got.prefixes.size() == 2);
  CHECK_FALSE(got.prefixes[0].defined());
  // Query 0: keys 1, 0; query 1: key 2, then 1 (cosine −0.0995; key 0 has −0.995).
  auto row = [&](int64_t prompt, int64_t half) { return to_vector(select(select(select(pool.prompts, 0, 0), 0, prompt), 0, half)); };
  int64_t wanted[2][2] = {{1, 0}, {2, 1}};
  for (int64_t b = 0; b < 2; ++b)
    for (int64_t j = 0; j < 2; ++j) {
      CHECK(to_vector(select(select(got.prefixes[1].key, 0, b), 0, j)) == row(wanted[b][j], 0));
      CHECK(to_vector(select(select(got.prefixes[1].value, 0, b), 0, j)) == row(wanted[b][j], 1));
    }
  double a = std::hypot(3.0, 3.1), c = std::hypot(1.0, 0.1);
  CHECK(got.key_loss.item() == doctest::Approx((4 - (3.1 + 3.0) / a - (1 - 0.1) / c) / 2).epsilon(1e-6));
  CHECK(pool.nearest(query, 1, 1).prefixes[1].key.shape() == Shape{2, 1, 4});
  CHECK(to_vector(select(pool.nearest(query, 1, 1).prefixes[1].key, 0, 1)) == row(0, 0));  // only the first is known
}

TEST_CASE("ovor: DualPrompt trains the task's prompt, and asks its keys when the task is not known") {
  ContinualStream stream = small_stream();
  PromptedVision start = prompted({.kind = ovor::PromptKind::dual, .tasks = 2});
  auto dual = learner(start, small_options(0));
  dual.learn(stream, 0);
  auto first = to_vector(select(dual.model().prompts.pool->prompts, 1, 0)),
       other = to_vector(select(dual.model().prompts.pool->prompts, 1, 1));
  CHECK(other == to_vector(select(start.prompts.pool->prompts, 1, 1)));
  CHECK(first != to_vector(select(start.prompts.pool->prompts, 1, 0)));
  dual.learn(stream, 1);
  CHECK(to_vector(select(dual.model().prompts.pool->prompts, 1, 0)) == first);
  CHECK(to_vector(select(dual.model().prompts.pool->keys, 1, 0)) != to_vector(select(start.prompts.pool->keys, 1, 0)));
  // Keys came nearer to the queries of their tasks.
  PromptedVision& net = dual.model();
  auto distance = [&](const PromptedVision& n, size_t t) {
    return n.prompts.pool->chosen(net.query(stream.tasks[t].train.x), static_cast<int64_t>(t)).key_loss.item();
  };
  for (size_t t : {size_t{0}, size_t{1}}) CHECK(distance(net, t) < distance(start, t));
}

TEST_CASE("ovor: CODA-Prompt weighs its components, draws new ones orthogonal and holds old ones") {
  manual_seed(2);
  ovor::CodaPrompt coda({{0}, 2}, 4, 2, 3, 6);
  Generator g(1);
  coda.begin_task(0, g);
  Tensor query = tensor({{1.0, -2.0, 0.5, 0.0, 1.0, 3.0}});
  auto prefix = coda(query)[0];
  auto a = to_vector(select(coda.attention, 0, 0)), k = to_vector(select(coda.keys, 0, 0)), p = to_vector(select(coda.prompts, 0, 0)),
       q = to_vector(query);
  std::vector<double> wanted(6);
  for (size_t m = 0; m < 2; ++m) {
    double dot = 0, seen = 0, key = 0;
    for (size_t c = 0; c < 6; ++c) {
      double s = q[c] * a[m * 6 + c];
      dot += s * k[m * 6 + c], seen += s * s, key += k[m * 6 + c] * k[m * 6 + c];
    }
    for (size_t c = 0; c < 6; ++c) wanted[c] += dot / std::sqrt(seen * key) * p[m * 6 + c];
  }
  check_close(prefix.key, {wanted[0], wanted[1], wanted[2]}, 1e-5);
  check_close(prefix.value, {wanted[3], wanted[4], wanted[5]}, 1e-5);

  coda.begin_task(1, g);
  for (const Tensor& rows : {coda.attention, coda.keys, coda.prompts}) {
    Tensor all = select(rows.detach(), 0, 0), products = to(matmul(all, mT(all)), f64);
    for (int64_t i = 0; i < 4; ++i)
      for (int64_t j = 0; j < 4; ++j)
        CHECK(select(select(products, 0, i), 0, j).item() == doctest::Approx(i == j ? 1.0 : 0.0).epsilon(1e-5));
  }
  sum(square(coda(query)[0].key) + square(coda(query)[0].value)).backward();
  auto gradient = to_vector(amax(abs(select(coda.prompts.grad(), 0, 0)), {1}));
  CHECK(gradient[0] == 0);
  CHECK(gradient[1] == 0);
  CHECK(gradient[2] > 0);
  CHECK(gradient[3] > 0);
}

TEST_CASE("ovor: mistakes are named") {
  Generator g(1);
  Tensor z = worked_features();
  CHECK_THROWS_WITH_AS(ovor::sample_outliers(z, 2, {}, g), "ovor: the neighbour K = 50 must lie in [1, 5], the number of features",
                       ValueError);
  CHECK_THROWS_WITH_AS(ovor::boundary_scores(z, 5, false), "ovor: the neighbour K = 6 must lie in [1, 5], the number of features",
                       ValueError);
  CHECK_THROWS_WITH_AS(ovor::sample_outliers(z, 2, {.neighbour = 2, .sigma = 0}, g), "ovor: sigma must be positive, it is 0", ValueError);
  CHECK_THROWS_WITH_AS(ovor::sample_outliers(z, 0, {.neighbour = 2}, g), "ovor: outliers for 0 classes", ValueError);
  CHECK_THROWS_WITH_AS(ovor::energy_hinge_loss(z, z, {-3, -3}), "ovor: the inliers' margin -3 must be below the outliers' -3", ValueError);
  HeadTask t;
  optim::Adam adam(t.head.parameters());
  ovor::VorOptions o{.sampler = {.neighbour = 3}};
  CHECK_THROWS_WITH_AS(ovor::vor_epoch(t.head, t.features, t.labels, {1, 4}, adam, o, g), "ovor: class 1 has no examples", ValueError);
  CHECK_THROWS_WITH_AS(ovor::vor_epoch(t.head, t.features, t.labels, {2, 3}, adam, o, g),
                       "ovor: label 3 is outside the task's classes [2, 3)", IndexError);
  CHECK_THROWS_WITH_AS(ovor::vor_epoch(t.head, t.features, t.labels, {2, 2}, adam, o, g), "ovor: the task has no classes: [2, 2)",
                       ValueError);
  CHECK_THROWS_WITH_AS(prompted({.expert = {{1, 2}, 7}}), "prefix: the length of a prompt must be even, half keys and half values; it is 7",
                       ValueError);
  CHECK_THROWS_WITH_AS(prompted({.kind = ovor::PromptKind::l2p, .expert = {{1}, 5}}),
                       "ovor: the length of a prompt must be even, half keys and half values; it is 5", ValueError);
  CHECK_THROWS_WITH_AS(prompted({.expert = {{3}, 4}}), "ovor: a prompt for block 3 of a tower of 3", ValueError);
  CHECK_THROWS_WITH_AS(ovor::CodaPrompt({{0}, 2}, 5, 2, 3, 6), "ovor: 5 components cannot be shared out evenly over 2 tasks", ValueError);
  CHECK_THROWS_WITH_AS(ovor::CodaPrompt({{0}, 2}, 8, 2, 3, 6), "ovor: 8 components cannot be orthogonal in 6 dimensions", ValueError);
  ContinualStream stream = small_stream();
  auto done = learner(prompted(), small_options(0));
  CHECK_THROWS_WITH_AS(done.learn(stream, 2), "continual: no classes are left for task 3: the stream's 2 tasks have brought all 10",
                       ValueError);
}

TEST_CASE("ovor: the experiment measures every variant at the smoke budget") {
  Results results = run_experiment({"continual", "ovor", &ovor::experiment, {}}, {.budget = Budget::smoke, .seeds = 1});
  REQUIRE(results.cells.size() == 22);
  for (const CellResult& cell : results.cells) {
    CAPTURE(cell.variant);
    double final_accuracy = measured(results, cell.variant, "final accuracy (%)"),
           across = measured(results, cell.variant, "taken for another task's (%)");
    CHECK((final_accuracy >= 0 && final_accuracy <= 100));
    CHECK(across <= 100 - final_accuracy + 1e-9);  // an example of another task's class is an error
    CHECK(measured(results, cell.variant, "accuracy within the task (%)") >= final_accuracy - 1e-9);
  }
  CHECK(measured(results, "joint", "forgetting (points)") == 0);
  CHECK(measured(results, "CODA-P", "passes for an image") == 2);
  CHECK(measured(results, "OVOR", "passes for an image") == 1);
}
