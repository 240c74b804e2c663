// Training by several processes gives what one process gives with the whole batch. Every case runs alone, and by two, three and four.
#include <doctest/doctest.h>

#include "engine/autograd/gradient_ready.h"
#include "ops/reduce.h"
#include "tests/parallel/small_training.h"

using namespace plumb;
using namespace plumb_test;

TEST_CASE("leaves_by_readiness: a leaf is complete when nothing in front of it is left, and the pass tells so in that order") {
  Tensor early = full({2}, 3.0).requires_grad_(), late = full({2}, 2.0).requires_grad_(), twice = full({2}, 1.0).requires_grad_(),
         hooked = full({2}, 1.0).requires_grad_();
  hooked.register_hook([](const Tensor& g) { return g * 2; });
  Tensor loss = sum(hooked * ((twice * early) * late + twice));
  std::vector<Tensor> told;
  std::vector<double> gradients;
  auto order = leaves_by_readiness(loss);
  backward_by_leaf(loss, [&](const Tensor& leaf) {
    told.push_back(leaf);
    gradients.push_back(to_vector(leaf.grad())[0]);
  });
  REQUIRE(told.size() == 4);
  for (size_t i = 0; i < 4; ++i) CHECK(told[i].same_as(order[i]));
  CHECK((told[0].same_as(late) && told[3].same_as(hooked)));
  std::vector<double> expected;
  for (const Tensor& t : told) expected.push_back(t.same_as(late) ? 3 : t.same_as(early) ? 2 : t.same_as(twice) ? 7 : 14);
  CHECK(gradients == expected);  // each was whole when it was told of
}

TEST_CASE("data parallel: weights, losses and norms are those of one process with the whole batch") {
  for (int64_t bytes : {int64_t{1}, int64_t{2000}, int64_t{1} << 20}) {  // a bucket a parameter, several, one
    CAPTURE(bytes);
    CHECK(largest_difference(alone<optim::AdamW>(f64, optim::AdamWOptions{.lr = 1e-2}),
                             together(f64, {.bytes = bytes}, plain_adamw({.lr = 1e-2}))) < 1e-9);
  }
  // f32 with SGD, whose step is as exact as the gradient: 5 steps of rounding in another order.
  auto sgd = [](const transformer::Gpt& model, parallel::GradientBuckets&) {
    return std::make_unique<optim::SGD>(model.parameters(), optim::SgdOptions{.lr = 0.1, .momentum = 0.9});
  };
  CHECK(largest_difference(alone<optim::SGD>(f32, optim::SgdOptions{.lr = 0.1, .momentum = 0.9}), together(f32, {.bytes = 2000}, sgd)) <
        1e-6);
}

TEST_CASE("data parallel: parts of a process's share add up before they are exchanged") {
  if (kBatch % (dist::mpi_world().size() * 3) != 0) return;
  CHECK(largest_difference(alone<optim::AdamW>(f64, optim::AdamWOptions{.lr = 1e-2}),
                           together(f64, {.bytes = 2000}, plain_adamw({.lr = 1e-2}), 3)) < 1e-9);
}

TEST_CASE("data parallel: exchanges begin while the backward pass goes on, in the order of readiness") {
  dist::Communicator& world = dist::mpi_world();
  transformer::Gpt model = fresh(f32);
  parallel::GradientBuckets buckets(model.parameters(), world, {.bytes = 1000});
  Tensor loss = loss_of(model, batch(0, 0, kBatch / world.size())) / static_cast<double>(world.size());
  std::vector<Tensor> order = leaves_by_readiness(loss);
  buckets.backward(loss);
  std::vector<Tensor> laid;
  for (const parallel::Bucket& bucket : buckets.buckets())
    for (size_t i : bucket.parameters) laid.push_back(buckets.parameters()[i]);
  REQUIRE(laid.size() == order.size());
  for (size_t i = 0; i < laid.size(); ++i) CHECK(laid[i].same_as(order[i]));
  CHECK(buckets.buckets().size() > 3);
  CHECK(buckets.started_early() == static_cast<int64_t>(buckets.buckets().size()) - 1);
}

TEST_CASE("data parallel: a parameter without a gradient anywhere has none afterwards; one that another process has takes part") {
  dist::Communicator& world = dist::mpi_world();
  Tensor all = full({3}, 1.0, f64).requires_grad_(), first = full({2}, 1.0, f64).requires_grad_(),
         nobody = full({2}, 1.0, f64).requires_grad_();
  parallel::GradientBuckets buckets({nobody, first, all}, world);
  for (int step = 0; step < 2; ++step) {
    for (const Tensor& p : {all, first, nobody}) p.zero_grad();
    Tensor loss = sum(all) * (1.0 + world.rank());
    if (world.rank() == 0) loss = loss + sum(first) * 5.0;
    buckets.backward(loss);
    double size = world.size();
    CHECK(to_vector(all.grad()) == std::vector<double>(3, size * (size + 1) / 2));
    CHECK(to_vector(first.grad()) == std::vector<double>(2, 5));
    CHECK(!nobody.grad().defined());
  }
}

TEST_CASE("traffic: what a step hands to the exchanges is the gradients' size") {
  dist::Communicator& world = dist::mpi_world();
  transformer::Gpt model = fresh(f32);
  parallel::GradientBuckets buckets(model.parameters(), world, {.bytes = 1000});
  auto step = [&] { buckets.backward(loss_of(model, batch(0, 0, 1))); };
  step();
  int64_t before = world.traffic().all_reduced;
  step();
  int64_t flags = static_cast<int64_t>(model.parameters().size()) * 8, padding = 0;
  for (const parallel::Bucket& bucket : buckets.buckets()) padding += bucket.flat.numel() - bucket.offsets.back();
  CHECK(world.traffic().all_reduced - before == 4 * (model.num_parameters() + padding) + flags);
}
