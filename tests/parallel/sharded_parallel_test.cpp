// Optimiser state shared out: the same weights, less memory, checkpoints for any number of processes. Runs alone, and by two, three and
// four.
#include <doctest/doctest.h>

#include "models/parallel/sharded_optimizer.h"
#include "tests/parallel/small_training.h"

using namespace plumb;
using namespace plumb_test;

namespace {

auto sharded_adamw(optim::AdamWOptions options) {
  return [=](const transformer::Gpt& model, parallel::GradientBuckets& buckets) {
    return std::make_unique<parallel::ShardedAdamW>(std::vector<optim::Group<optim::AdamWOptions>>{{model.parameters(), options}}, buckets);
  };
}

// One step with whole batches (`world` null) or shares of them.
template <typename Optimizer>
void one_step(const transformer::Gpt& model, Optimizer& optimizer, int64_t step, parallel::GradientBuckets* buckets) {
  optimizer.zero_grad();
  if (!buckets) {
    loss_of(model, batch(step, 0, kBatch)).backward();
  } else {
    int64_t size = buckets->processes().size(), rows = kBatch / size;
    buckets->backward(loss_of(model, batch(step, buckets->processes().rank() * rows, rows)) / static_cast<double>(size));
  }
  optimizer.step();
}

double difference(const transformer::Gpt& a, const transformer::Gpt& b) { return largest_difference(result(a, {}, {}), result(b, {}, {})); }

}  // namespace

TEST_CASE("sharded optimizer: weights, losses and norms are those of the whole optimiser") {
  for (int64_t bytes : {int64_t{1}, int64_t{2000}, int64_t{1} << 20}) {
    CAPTURE(bytes);
    CHECK(largest_difference(alone<optim::AdamW>(f64, optim::AdamWOptions{.lr = 1e-2, .weight_decay = 0.1}),
                             together(f64, {.bytes = bytes, .scatter = true}, sharded_adamw({.lr = 1e-2, .weight_decay = 0.1}))) < 1e-9);
  }
  for (double momentum : {0.0, 0.9}) {
    auto sgd = [=](const transformer::Gpt& model, parallel::GradientBuckets& buckets) {
      return std::make_unique<parallel::ShardedSGD>(
          std::vector<optim::Group<optim::SgdOptions>>{{model.parameters(), {.lr = 0.1, .momentum = momentum}}}, buckets);
    };
    CHECK(largest_difference(alone<optim::SGD>(f32, optim::SgdOptions{.lr = 0.1, .momentum = momentum}),
                             together(f32, {.bytes = 2000, .scatter = true}, sgd)) < 1e-6);
  }
}

TEST_CASE("sharded optimizer: a process keeps its share of the state") {
  dist::Communicator& world = dist::mpi_world();
  transformer::Gpt model = fresh(f32);
  parallel::GradientBuckets buckets(model.parameters(), world, {.bytes = 4000, .scatter = true});
  auto optimizer = sharded_adamw({})(model, buckets);
  CHECK(optimizer->state_bytes() == 0);
  one_step(model, *optimizer, 0, &buckets);
  int64_t whole = 2 * 4 * model.num_parameters(), padding = 2 * 4 * static_cast<int64_t>(buckets.buckets().size()) * world.size();
  CHECK(optimizer->state_bytes() <= (whole + padding) / world.size());
  Tensor sum = from_vector(std::vector<double>{static_cast<double>(optimizer->state_bytes())});
  world.all_reduce(sum);
  CHECK(sum.item() == static_cast<double>(whole));  // nothing twice, nothing left out
}

TEST_CASE("sharded optimizer: its state is that of the whole optimiser, and each goes on from the other's") {
  dist::Communicator& world = dist::mpi_world();
  const optim::AdamWOptions options{.lr = 1e-2, .weight_decay = 0.1};
  transformer::Gpt one = fresh(f64), many = fresh(f64);
  optim::AdamW whole(one.parameters(), options);
  parallel::GradientBuckets buckets(many.parameters(), world, {.bytes = 2000, .scatter = true});
  auto sharded = sharded_adamw(options)(many, buckets);
  for (int64_t step = 0; step < 3; ++step) {
    one_step(one, whole, step, nullptr);
    one_step(many, *sharded, step, &buckets);
  }
  optim::OptimizerState a = whole.state(), b = sharded->state();
  CHECK(a.scalars == b.scalars);
  REQUIRE(a.tensors.size() == b.tensors.size());
  for (auto& [name, t] : a.tensors) {
    std::vector<double> x = to_vector(t), y = to_vector(b.tensors.at(name));
    CHECK(b.tensors.at(name).shape() == t.shape());
    for (size_t i = 0; i < x.size(); ++i) CHECK(std::abs(x[i] - y[i]) < 1e-12);
  }
  // One process goes on from what several left, and several (with buckets of another layout) from that.
  transformer::Gpt one_after = many, many_after = many;
  optim::AdamW whole_after(one_after.parameters(), options);
  whole_after.load_state(b);
  parallel::GradientBuckets other(many_after.parameters(), world, {.bytes = 500, .scatter = true});
  auto sharded_after = sharded_adamw(options)(many_after, other);
  sharded_after->load_state(b);
  CHECK(sharded_after->state().tensors.size() == b.tensors.size());  // before its first step
  for (int64_t step = 3; step < 6; ++step) {
    one_step(many, *sharded, step, &buckets);
    one_step(one_after, whole_after, step, nullptr);
    one_step(many_after, *sharded_after, step, &other);
  }
  CHECK(difference(many, one_after) < 1e-9);
  CHECK(difference(many, many_after) < 1e-9);
}

TEST_CASE("sharded optimizer: what does not fit is one clear line") {
  dist::Communicator& world = dist::mpi_world();
  transformer::Gpt model = fresh(f32), narrow = fresh(f32);
  narrow.to(bf16);
  parallel::GradientBuckets whole(model.parameters(), world), scattered(narrow.parameters(), world, {.scatter = true});
  CHECK_THROWS_WITH_AS(sharded_adamw({})(model, whole), "sharded optimizer: the buckets must be made with .scatter", ValueError);
  CHECK_THROWS_WITH_AS(sharded_adamw({})(narrow, scattered), "sharded optimizer: takes parameters of f32 or f64, got bf16", DTypeError);
  CHECK_THROWS_WITH_AS(parallel::GradientBuckets(model.parameters(), world, {.bytes = 0}), "gradient buckets: a bucket of 0 bytes",
                       ValueError);
}
