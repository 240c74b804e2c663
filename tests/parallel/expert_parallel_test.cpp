// Experts shared out over processes: what one process with all tokens gives, forward and backward. Runs alone, and by two, three and four.
#include "models/moe/expert_parallel.h"

#include <doctest/doctest.h>

#include <cmath>
#include <memory>

#include "engine/autograd/backward.h"
#include "engine/core/generator.h"
#include "engine/dist/mpi.h"
#include "models/moe/losses.h"
#include "models/optim/adam.h"
#include "models/parallel/exchange_rows.h"
#include "models/parallel/gradient_buckets.h"
#include "ops/create.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "ops/sort.h"
#include "tests/parallel/process_shares.h"

using namespace plumb;
using namespace plumb::moe;
using plumb_test::experts_of, plumb_test::noise, plumb_test::share;

namespace {

constexpr int64_t kExperts = 13, kWidth = 6, kTokens = 24;  // tokens are divisible by up to four processes, experts are not

MoeFeedForward made(const MoeConfig& config) {
  manual_seed(3);
  MoeFeedForward layer(kWidth, config);
  layer.to(f64);
  return layer;
}

double difference(const Tensor& a, const Tensor& b) {
  REQUIRE(a.shape() == b.shape());
  double largest = 0;
  std::vector<double> x = to_vector(a), y = to_vector(b);
  for (size_t i = 0; i < x.size(); ++i) largest = std::max(largest, std::abs(x[i] - y[i]));
  return largest;
}

}  // namespace

TEST_CASE("exchange_rows: rows go where they are meant for, and gradients back; twice differentiable") {
  dist::Communicator& world = dist::mpi_world();
  int64_t size = world.size(), rank = world.rank();
  std::vector<int64_t> give, take;
  for (int64_t r = 0; r < size; ++r) {
    give.push_back((rank + 2 * r) % 3);  // some of them none
    take.push_back((r + 2 * rank) % 3);
  }
  int64_t rows = 0, taken = 0;
  for (int64_t r = 0; r < size; ++r) rows += give[static_cast<size_t>(r)], taken += take[static_cast<size_t>(r)];
  Tensor x = full({rows, 2}, 1.0 + static_cast<double>(rank), f64).requires_grad_();
  Tensor y = parallel::exchange_rows(x, give, take, world);
  REQUIRE(y.shape() == Shape{taken, 2});
  std::vector<double> expected, back;
  for (int64_t r = 0; r < size; ++r)
    for (int64_t i = 0; i < 2 * take[static_cast<size_t>(r)]; ++i) expected.push_back(1.0 + static_cast<double>(r));
  CHECK(to_vector(y) == expected);
  // Receiver r weighs by 10 (r + 1): d/dx of Σ_r 10 (r + 1) y² is 20 (r + 1) x, and of that once more 20 (r + 1).
  Tensor loss = sum(square(y)) * (10.0 * (1.0 + static_cast<double>(rank)));
  Tensor first = grad({loss}, {x}, {.create_graph = true})[0];
  for (int64_t r = 0; r < size; ++r)
    for (int64_t i = 0; i < 2 * give[static_cast<size_t>(r)]; ++i) back.push_back(20.0 * (1.0 + static_cast<double>(r)));
  std::vector<double> once = back;
  for (double& v : once) v *= 1.0 + static_cast<double>(rank);
  CHECK(to_vector(first) == once);
  CHECK(to_vector(grad({sum(first)}, {x})[0]) == back);
  CHECK_THROWS_AS(parallel::exchange_rows(x, std::vector<int64_t>(static_cast<size_t>(size) + 1, 0), take, world), ShapeError);
}

TEST_CASE("expert parallel: forward and backward are those of one process with all tokens, whatever the router and the capacity") {
  dist::Communicator& world = dist::mpi_world();
  struct Kind {
    const char* router;
    double capacity;
    int64_t top_k;
  };
  Tensor all = noise({kTokens, kWidth}, 5), weight = noise({kTokens, kWidth}, 6), ids = remainder(arange(kTokens), scalar_tensor(7, i64));
  for (const Kind& kind : {Kind{"softmax", 0, 2}, Kind{"softmax", 0.6, 2}, Kind{"sigmoid", 1, 3}, Kind{"switch", 0.5, 1},
                           Kind{"hash", 0.7, 2}, Kind{"expert_choice", 1.5, 2}}) {
    CAPTURE(kind.router);
    CAPTURE(kind.capacity);
    MoeConfig config{.experts = kExperts,
                     .top_k = kind.top_k,
                     .router = kind.router,
                     .capacity = kind.capacity,
                     .token_ids = 7,
                     .inner = 5,
                     .shared_inner = 4,
                     .gated = true,
                     .bias = true};
    MoeFeedForward one = made(config), many = one;
    Tensor x = clone(all).requires_grad_();
    Routing routing = one.router(x, ids);
    Tensor y = one.forward(x, routing), balance = has_gate(one.router.kind) ? load_balance_loss(routing) : Tensor();
    Tensor loss = sum(y * weight) + importance_loss(routing);
    (balance.defined() ? loss + balance : loss).backward();

    share_out_experts(many, world);
    parallel::ShardedParameters sharded = parallel::sharded_parameters(many);
    CHECK(many.experts.up.weight.shape() == experts_of(one.experts.up.weight).shape());
    parallel::GradientBuckets buckets(sharded.same(many.parameters()), world);
    Tensor own_x = clone(share(all)).requires_grad_();
    Routing own = many.router(own_x, share(ids));
    Tensor own_y = many.forward(own_x, own),
           own_loss = sum(own_y * share(weight)) + importance_loss(own) / static_cast<double>(world.size());
    if (balance.defined()) own_loss = own_loss + load_balance_loss(own) / static_cast<double>(world.size());
    buckets.backward(own_loss);
    CHECK(difference(own_y, share(y)) < 1e-12);
    CHECK(difference(own_x.grad(), share(x.grad())) < 1e-12);
    CHECK(to_vector(own.chosen_by_all) == to_vector(routing.chosen));
    auto wanted = one.named_parameters(), found = many.named_parameters();
    REQUIRE(wanted.size() == found.size());
    for (size_t i = 0; i < wanted.size(); ++i) {
      CAPTURE(wanted[i].name);
      Tensor expected = wanted[i].tensor.grad(), got = found[i].tensor.grad();
      if (wanted[i].name.starts_with("experts.")) expected = experts_of(expected);
      REQUIRE(got.defined());
      CHECK(difference(got, expected) < 1e-12);
    }
  }
}

TEST_CASE("load_loss counts the tokens of all processes") {
  dist::Communicator& world = dist::mpi_world();
  Tensor logits = noise({kTokens, kExperts}, 7), noisy = logits + noise({kTokens, kExperts}, 8) * 0.3,
         deviation = full({kTokens, kExperts}, 0.3, f64);
  auto routing = [&](const Tensor& some_logits, const Tensor& some_noisy, dist::Communicator* processes) {
    Tensor best = topk(some_noisy, 2).indices;
    Routing r = route_tokens(best, full(best.shape(), 0.5, f64), kExperts);
    r.logits = some_logits, r.noisy_logits = some_noisy, r.noise_deviation = narrow(deviation, 0, 0, best.size(0)), r.processes = processes;
    return r;
  };
  Tensor all = clone(logits).requires_grad_(), own = clone(share(logits)).requires_grad_();
  Tensor one = load_loss(routing(all, noisy, nullptr)), many = load_loss(routing(own, share(noisy), &world));
  CHECK(many.item() == doctest::Approx(one.item()).epsilon(1e-12));
  one.backward();
  (many / static_cast<double>(world.size())).backward();
  CHECK(difference(own.grad(), share(all.grad())) < 1e-12);
}

TEST_CASE("sharded parameters: a checkpoint holds the experts of all processes, for any number of them") {
  dist::Communicator& world = dist::mpi_world();
  MoeFeedForward one = made({.experts = kExperts, .inner = 5, .bias = true}), many = one;
  share_out_experts_of(many, world);
  parallel::ShardedParameters sharded = parallel::sharded_parameters(many);
  StateDict a = one.state(), b = sharded.whole(many, many.state());
  REQUIRE(a.size() == b.size());
  for (auto& [name, t] : a) CHECK(to_vector(b.at(name)) == to_vector(t));
  for (auto& [name, t] : sharded.own(many, a)) CHECK(to_vector(t) == to_vector(many.state().at(name)));

  StateDict odd = a;
  odd.at("experts.up.weight") = narrow(a.at("experts.up.weight"), 0, 0, 12);
  CHECK_THROWS_WITH_AS(sharded.own(many, odd), "sharded parameters: \"experts.up.weight\" is [12, 5, 6], it should have 13 rows",
                       ShapeError);
}

TEST_CASE("sharded parameters: an optimiser's state is that of one process, and goes back") {
  dist::Communicator& world = dist::mpi_world();
  MoeFeedForward one = made({.experts = kExperts, .inner = 5}), many = one;
  share_out_experts_of(many, world);
  parallel::ShardedParameters sharded = parallel::sharded_parameters(many);
  auto stepped = [&](MoeFeedForward& layer, auto&& part) {
    auto adam = std::make_unique<optim::AdamW>(layer.parameters());
    std::vector<Tensor> parameters = layer.parameters(), wholes = one.parameters();
    for (size_t i = 0; i < parameters.size(); ++i) parameters[i].set_grad(clone(part(noise(wholes[i].shape(), i), parameters[i])));
    adam->step();
    return adam;
  };
  auto adam = stepped(many, [&](const Tensor& whole, const Tensor& p) { return sharded.contains(p) ? experts_of(whole) : whole; });
  optim::OptimizerState found = sharded.whole_state(*adam);
  auto alone = stepped(one, [](const Tensor& whole, const Tensor&) { return whole; });
  optim::OptimizerState wanted = alone->state();
  REQUIRE(found.tensors.size() == wanted.tensors.size());
  for (auto& [name, t] : wanted.tensors) CHECK(difference(found.tensors.at(name), t) == 0);
  for (auto& [name, t] : sharded.own_state(*adam, wanted).tensors) CHECK(to_vector(t) == to_vector(adam->state().tensors.at(name)));
}

TEST_CASE("sharded parameters: a clipped norm counts gradients that only one process has") {
  dist::Communicator& world = dist::mpi_world();
  Tensor same = full({2}, 0.0, f64).requires_grad_(), own = full({1}, 0.0, f64).requires_grad_();
  parallel::ShardedParameters sharded(world);
  sharded.add(own, world.size());
  parallel::GradientBuckets buckets(sharded.same({same, own}), world);
  buckets.backward(sum(same) * (3.0 / world.size()));
  own.set_grad(full({1}, 4.0, f64));
  double norm = std::sqrt(2 * 9.0 + 16.0 * world.size());
  CHECK(sharded.clip_grad_norm(buckets, {same, own}, INFINITY) == doctest::Approx(norm).epsilon(1e-14));
  CHECK(sharded.clip_grad_norm(buckets, {same, own}, 1) == doctest::Approx(norm).epsilon(1e-14));
  CHECK(own.grad().item() == doctest::Approx(4 / norm).epsilon(1e-14));
  CHECK(to_vector(same.grad())[1] == doctest::Approx(3 / norm).epsilon(1e-14));
}

TEST_CASE("expert parallel: what does not fit is one clear line") {
  dist::Communicator& world = dist::mpi_world();
  if (world.size() > 1) {
    MoeFeedForward few = made({.experts = 1, .top_k = 1, .inner = 5});
    CHECK_THROWS_WITH_AS(
        share_out_experts(few, world),
        ("moe: " + std::to_string(world.size()) + " processes are more than the experts, 1; start so many at most").c_str(), ConfigError);
  }
  MoeFeedForward twice = made({.experts = kExperts, .inner = 5});
  share_out_experts(twice, world);
  CHECK_THROWS_WITH_AS(share_out_experts(twice, world), "moe: the experts are shared out already", ConfigError);
}
