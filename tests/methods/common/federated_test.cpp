// Federated rounds: partitions, averages by hand, FedAvg as plain training where it must be, FedProx's pull, and clients of skewed classes.
#include "methods/common/federated.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "engine/autograd/grad_mode.h"
#include "models/mlp/mlp.h"
#include "models/nn/linear.h"
#include "models/optim/sgd.h"
#include "ops/elementary.h"
#include "ops/index.h"
#include "ops/loss.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "tests/ops/samples.h"

using namespace plumb;
using namespace plumb::methods;

namespace {

// Every place from 0 to n − 1 once, ascending within a client.
bool covers(const std::vector<std::vector<int64_t>>& parts, int64_t n) {
  std::set<int64_t> seen;
  size_t total = 0;
  for (const auto& p : parts) {
    total += p.size();
    seen.insert(p.begin(), p.end());
    if (!std::is_sorted(p.begin(), p.end())) return false;
  }
  return static_cast<int64_t>(total) == n && static_cast<int64_t>(seen.size()) == n &&
         (n == 0 || (*seen.begin() == 0 && *seen.rbegin() == n - 1));
}

// Ten classes, `each` examples of a class.
Tensor labels(int64_t each) {
  std::vector<int64_t> v;
  for (int64_t c = 0; c < 10; ++c) v.insert(v.end(), static_cast<size_t>(each), c);
  return from_vector(v);
}

// The largest share of one class among a client's examples, averaged over clients.
double mean_skew(const std::vector<std::vector<int64_t>>& parts, int64_t each) {
  double sum = 0;
  for (const auto& p : parts) {
    std::vector<double> count(10);
    for (int64_t i : p) ++count[static_cast<size_t>(i / each)];
    sum += *std::max_element(count.begin(), count.end()) / static_cast<double>(p.size());
  }
  return sum / static_cast<double>(parts.size());
}

nn::Linear linear_model(uint64_t seed) {
  manual_seed(seed);
  return nn::Linear(3, 2);
}

}  // namespace

TEST_CASE("federated: partitions give every example to one client, the same for a seed") {
  Generator g(1), again(1), other(2);
  auto even = uniform_partition(103, 10, g);
  CHECK(covers(even, 103));
  for (const auto& p : even) CHECK((p.size() == 10 || p.size() == 11));
  CHECK(uniform_partition(103, 10, again) == even);
  CHECK(uniform_partition(103, 10, other) != even);
  auto skewed = dirichlet_partition(labels(100), 10, 0.1, g), mild = dirichlet_partition(labels(100), 10, 1000, g);
  CHECK(covers(skewed, 1000));
  CHECK(covers(mild, 1000));
  CHECK(mean_skew(skewed, 100) > 0.35);
  CHECK(mean_skew(mild, 100) < 0.15);
  CHECK(covers(dirichlet_partition(labels(10), 3, 1e-3, g), 100));  // shares that underflow together
  auto full_enough = dirichlet_partition(labels(100), 5, 0.2, g, 60);
  CHECK(covers(full_enough, 1000));
  for (const auto& p : full_enough) CHECK(p.size() >= 60);
  CHECK(covers(dirichlet_partition(zeros({0}, i64), 2, 1, g, 0), 0));
}

TEST_CASE("federated: a class is cut where the cumulative shares say") {
  // Of one class every client's Dirichlet entry is 1: equal shares, cut at ⌊7 k / 3⌋.
  Generator g(3);
  auto parts = dirichlet_partition(zeros({7}, i64), 3, 0.5, g);
  CHECK(parts[0].size() == 2);
  CHECK(parts[1].size() == 2);
  CHECK(parts[2].size() == 3);
}

TEST_CASE("federated: the average by hand, weights and buffers and counters") {
  StateDict a{{"w", tensor({1.0, 2.0})}, {"n", tensor({3})}}, b{{"w", tensor({5.0, -2.0})}, {"n", tensor({8})}};
  StateDict mean = average_states({a, b}, {1, 3});
  CHECK(to_vector(mean.at("w")) == std::vector<double>{4, -1});
  CHECK(to_vector(mean.at("n")) == std::vector<double>{8});
  CHECK(mean.at("w").dtype() == f32);
  Tensor kept = a.at("w");
  fill_(kept, 9.0);
  CHECK(to_vector(mean.at("w")) == std::vector<double>{4, -1});  // its own tensors
  CHECK(test::same_bits(average_states({b}, {0.1}).at("w"), b.at("w")));
  CHECK_THROWS_WITH_AS(average_states({}, {}), "average_states: there are no states", ValueError);
  CHECK_THROWS_WITH_AS(average_states({a, b}, {1}), "average_states: 2 states, but 1 weights", ValueError);
  CHECK_THROWS_WITH_AS(average_states({a, b}, {0, 0}), "average_states: no weight is above 0", ValueError);
  CHECK_THROWS_WITH_AS(average_states({a, b}, {2, -1}), "average_states: weights must be finite and not negative, one is -1",
                       ValueError);
  CHECK_THROWS_WITH_AS(average_states({a, {{"w", tensor({1.0, 2.0})}, {"m", tensor({1})}}}, {1, 1}),
                       "average_states: one state has no \"n\"", ValueError);
  CHECK_THROWS_WITH_AS(average_states({a, {{"w", tensor({1.0})}, {"n", tensor({1})}}}, {1, 1}),
                       "average_states: \"w\" is [1] in one state, [2] in the first", ShapeError);
}

TEST_CASE("federated: the proximal penalty and its gradient") {
  Tensor p = tensor({1.0, 4.0}, f64).requires_grad_(), r = tensor({0.0, 2.0}, f64);
  Tensor penalty = proximal_penalty({p}, {r}, 0.3);
  CHECK(penalty.item() == doctest::Approx(0.75));
  penalty.backward();
  CHECK(test::difference(p.grad(), tensor({0.3, 0.6}, f64)) < 1e-15);
  CHECK_THROWS_WITH_AS(proximal_penalty({p}, {r}, -1), "proximal_penalty: mu must be finite and not negative, it is -1", ValueError);
  CHECK_THROWS_WITH_AS(proximal_penalty({p}, {}, 1), "proximal_penalty: 1 parameters, but 0 to compare with", ShapeError);
  CHECK_THROWS_WITH_AS(proximal_penalty({p}, {zeros({3})}, 1), "proximal_penalty: parameter 0 is [2], its reference [3]", ShapeError);
}

TEST_CASE("federated: one step of all clients with full batches is one step on all the data") {
  Tensor x = test::sample({12, 3}, 1, f32), y = to(test::sample({12}, 2) > 0, i64);
  nn::Linear model = linear_model(1), worker = linear_model(2), central = model;
  FederatedRounds rounds(model.state(), {.clients = 3, .per_round = 3});
  optim::SGD sgd(central.parameters(), {.lr = 0.1});
  std::vector<int64_t> sizes{2, 4, 6}, starts{0, 2, 6};
  for (int round = 0; round < 20; ++round) {
    double loss = rounds.run([&](int64_t k, const StateDict& global) {
      auto i = static_cast<size_t>(k);
      Tensor xk = narrow(x, 0, starts[i], sizes[i]), yk = narrow(y, 0, starts[i], sizes[i]);
      return train_client(worker, global, static_cast<double>(sizes[i]),
                          [&](const nn::Linear& m, int64_t) { return cross_entropy(m(xk), yk); }, {.steps = 1, .lr = 0.1});
    });
    sgd.zero_grad();
    Tensor whole = cross_entropy(central(x), y);
    CHECK(loss == doctest::Approx(whole.item()).epsilon(1e-5));
    whole.backward();
    sgd.step();
  }
  CHECK(rounds.rounds() == 20);
  CHECK(test::difference(rounds.global().at("weight"), central.weight.detach()) < 1e-5);
  CHECK(test::difference(model.weight.detach(), linear_model(1).weight.detach()) == 0);  // the model it started from is left alone
}

TEST_CASE("federated: the proximal term keeps clients near the global model") {
  Tensor x = test::sample({30, 3}, 1, f32), y = to(test::sample({30}, 2) > 0, i64);
  nn::Linear model = linear_model(1), worker = linear_model(2);
  auto moved = [&](double mu) {
    ClientUpdate u = train_client(worker, model.state(), 30, [&](const nn::Linear& m, int64_t) { return cross_entropy(m(x), y); },
                                  {.steps = 50, .lr = 0.1, .mu = mu});
    NoGrad off;
    return norm(u.state.at("weight") - model.weight).item();
  };
  double free = moved(0), mild = moved(1), strong = moved(8);
  CHECK(free > 0.1);
  CHECK(mild < 0.6 * free);
  CHECK(strong < 0.4 * mild);
}

TEST_CASE("federated: clients are drawn by seed and round alone, and each finds its own random numbers") {
  FederatedRounds rounds({{"w", zeros({1})}}, {.clients = 10, .per_round = 4, .seed = 7}),
      other({{"w", zeros({1})}}, {.clients = 10, .per_round = 4, .seed = 8});
  std::set<int64_t> met;
  int same = 0;
  for (int64_t r = 0; r < 30; ++r) {
    auto c = rounds.clients_of(r);
    CHECK(c.size() == 4);
    CHECK(std::is_sorted(c.begin(), c.end()));
    CHECK(std::set<int64_t>(c.begin(), c.end()).size() == 4);
    met.insert(c.begin(), c.end());
    same += c == other.clients_of(r);
  }
  CHECK(met.size() == 10);
  CHECK(same < 5);
  manual_seed(3);
  uint64_t before = default_generator().offset();
  std::vector<double> drawn;
  auto client = [&](int64_t k, const StateDict&) {
    drawn.push_back(rand({1}).item());
    return ClientUpdate{{{"w", full({1}, static_cast<double>(k))}}, 1, static_cast<double>(k)};
  };
  double loss = rounds.run(client);
  CHECK(default_generator().offset() == before);
  auto c = rounds.clients_of(0);
  double mean_client = static_cast<double>(c[0] + c[1] + c[2] + c[3]) / 4;
  CHECK(loss == doctest::Approx(mean_client));
  CHECK(rounds.global().at("w").item() == doctest::Approx(mean_client));
  CHECK(std::set<double>(drawn.begin(), drawn.end()).size() == 4);
  rounds.run(client, [](const StateDict& global, const std::vector<ClientUpdate>& updates) {  // a damped server
    StateDict next = average_states({global, updates[0].state}, {1, 1});
    return next;
  });
  CHECK(rounds.global().at("w").item() == doctest::Approx(0.5 * (mean_client + static_cast<double>(rounds.clients_of(1)[0]))));
}

TEST_CASE("federated: clients that each know few classes learn all of them together") {
  // Four classes around corners of a square.
  Tensor label = to(floor(test::sample({400}, 1, f64, 0, 3.9999)), i64);
  Tensor centre = index_select(tensor({{-1.0, -1.0}, {-1.0, 1.0}, {1.0, -1.0}, {1.0, 1.0}}), 0, label),
         x = centre + test::sample({400, 2}, 2, f32, -0.6, 0.6);
  Generator g(5);
  auto parts = dirichlet_partition(label, 6, 0.3, g, 10);
  manual_seed(1);
  mlp::Mlp model({.inputs = 2, .hidden = {16}, .outputs = 4}), worker = model;
  auto accuracy = [&](const StateDict& state) {
    worker.load_state(state);
    NoGrad off;
    return mean(to(argmax(worker(x), 1) == label, f64)).item();
  };
  auto trained = [&](double mu) {
    FederatedRounds rounds(model.state(), {.clients = 6, .per_round = 3, .seed = 1});
    for (int r = 0; r < 40; ++r)
      rounds.run([&](int64_t k, const StateDict& global) {
        Tensor mine = from_vector(parts[static_cast<size_t>(k)]), xs = index_select(x, 0, mine), ys = index_select(label, 0, mine);
        return train_client(worker, global, static_cast<double>(mine.numel()),
                            [&](const mlp::Mlp& m, int64_t) { return cross_entropy(m(xs), ys); }, {.steps = 5, .lr = 0.2, .mu = mu});
      });
    return accuracy(rounds.global());
  };
  CHECK(trained(0) > 0.9);
  CHECK(trained(0.1) > 0.9);
}

TEST_CASE("federated: what cannot be is named") {
  Generator g(0);
  CHECK_THROWS_WITH_AS(uniform_partition(3, 4, g), "uniform_partition: 3 examples do not go round 4 clients", ValueError);
  CHECK_THROWS_WITH_AS(dirichlet_partition(labels(1), 0, 1, g), "dirichlet_partition: clients must be at least 1, they are 0", ValueError);
  CHECK_THROWS_WITH_AS(dirichlet_partition(labels(1), 2, 0, g), "dirichlet_partition: alpha must be positive and finite, it is 0",
                       ValueError);
  CHECK_THROWS_WITH_AS(dirichlet_partition(labels(1) - 1, 2, 1, g), "dirichlet_partition: label 0 is negative, -1", ValueError);
  CHECK_THROWS_WITH_AS(dirichlet_partition(labels(1), 4, 1, g, 3),
                       "dirichlet_partition: 10 examples are too few for 3 for each of 4 clients", ValueError);
  CHECK_THROWS_WITH_AS(dirichlet_partition(ones({3}), 2, 1, g), "dirichlet_partition: labels are integers, not f32", DTypeError);
  CHECK_THROWS_WITH_AS(dirichlet_partition(labels(100), 10, 0.01, g, 100),
                       "dirichlet_partition: no draw of 1000 left each client 100 examples; take a larger alpha or fewer clients",
                       ValueError);
  CHECK_THROWS_WITH_AS(FederatedRounds({}, {.clients = 3, .per_round = 4}),
                       "federated rounds: 4 clients a round are more than the 3 there are", ConfigError);
  CHECK_THROWS_WITH_AS(FederatedRounds({}, {.clients = 3, .per_round = 0}), "federated rounds: per_round must be at least 1, it is 0",
                       ConfigError);
  nn::Linear m = linear_model(1);
  CHECK_THROWS_WITH_AS(train_client(m, m.state(), 1, [](const nn::Linear& l, int64_t) { return sum(l.weight); }, {.steps = 0}),
                       "federated client: steps must be at least 1, it is 0", ConfigError);
}
