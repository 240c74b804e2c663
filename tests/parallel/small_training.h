// A small GPT trained for a few steps, by one process with whole batches and by several with parts of them.
#pragma once
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <vector>

#include "engine/core/generator.h"
#include "engine/dist/mpi.h"
#include "models/optim/adam.h"
#include "models/optim/clip.h"
#include "models/optim/sgd.h"
#include "models/parallel/gradient_buckets.h"
#include "models/transformer/gpt.h"
#include "ops/loss.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/shape.h"

namespace plumb_test {

using namespace plumb;

inline constexpr int64_t kBatch = 12;  // divisible by up to four processes

inline transformer::GptConfig small_gpt() { return {.vocab = 11, .layers = 2, .heads = 2, .width = 8, .context = 6, .bias = true}; }

struct Tokens {
  Tensor in, target;
};
// Rows [first, first + rows) of the step's batch.
inline Tokens batch(int64_t step, int64_t first, int64_t rows) {
  Generator generator(50 + static_cast<uint64_t>(step));
  Tensor all = randint(0, 11, {kBatch, 7}, {.dtype = i64, .generator = &generator});
  Tensor own = narrow(all, 0, first, rows);
  return {narrow(own, 1, 0, 6), narrow(own, 1, 1, 6)};
}

inline Tensor loss_of(const transformer::Gpt& model, const Tokens& tokens) {
  return cross_entropy(flatten(model(tokens.in), 0, 1), flatten(tokens.target));
}

struct Trained {
  std::vector<std::vector<double>> weights;
  std::vector<double> losses, norms;
};

inline Trained result(const transformer::Gpt& model, std::vector<double> losses, std::vector<double> norms) {
  Trained t{{}, std::move(losses), std::move(norms)};
  for (const Tensor& p : model.parameters()) t.weights.push_back(to_vector(p));
  return t;
}

inline transformer::Gpt fresh(DType type) {
  manual_seed(4);
  transformer::Gpt model(small_gpt());
  model.to(type);
  return model;
}

// Five steps of one process with whole batches.
template <typename Optimizer, typename Options>
Trained alone(DType type, Options options) {
  transformer::Gpt model = fresh(type);
  Optimizer optimizer(model.parameters(), options);
  std::vector<double> losses, norms;
  for (int64_t step = 0; step < 5; ++step) {
    optimizer.zero_grad();
    Tensor loss = loss_of(model, batch(step, 0, kBatch));
    loss.backward();
    losses.push_back(loss.item());
    norms.push_back(optim::clip_grad_norm(model.parameters(), 0.5));
    optimizer.step();
  }
  return result(model, losses, norms);
}

// The same by all processes; `optimizer_of` makes what steps.
template <typename Make>
Trained together(DType type, parallel::BucketOptions bucket_options, Make&& optimizer_of, int64_t parts = 1) {
  dist::Communicator& world = dist::mpi_world();
  transformer::Gpt model = fresh(type);
  parallel::GradientBuckets buckets(model.parameters(), world, bucket_options);
  auto optimizer = optimizer_of(model, buckets);
  int64_t rows = kBatch / world.size() / parts;
  std::vector<double> losses, norms;
  for (int64_t step = 0; step < 5; ++step) {
    optimizer->zero_grad();
    double own = 0;
    for (int64_t part = 0; part < parts; ++part) {
      Tensor loss = loss_of(model, batch(step, (world.rank() * parts + part) * rows, rows)) / static_cast<double>(parts * world.size());
      own += loss.item();
      part + 1 < parts ? loss.backward() : buckets.backward(loss);
    }
    Tensor sum = from_vector(std::vector<double>{own});
    world.all_reduce(sum);
    losses.push_back(sum.item());
    norms.push_back(buckets.clip_norm(0.5));
    optimizer->step();
  }
  return result(model, losses, norms);
}

inline double largest_difference(const Trained& a, const Trained& b) {
  double largest = 0;
  REQUIRE(a.weights.size() == b.weights.size());
  for (size_t i = 0; i < a.weights.size(); ++i)
    for (size_t k = 0; k < a.weights[i].size(); ++k) largest = std::max(largest, std::abs(a.weights[i][k] - b.weights[i][k]));
  for (size_t i = 0; i < a.losses.size(); ++i)
    largest = std::max({largest, std::abs(a.losses[i] - b.losses[i]), std::abs(a.norms[i] - b.norms[i])});
  return largest;
}

inline auto plain_adamw(optim::AdamWOptions options) {
  return [=](const transformer::Gpt& model, parallel::GradientBuckets&) {
    return std::make_unique<optim::AdamW>(model.parameters(), options);
  };
}

}  // namespace plumb_test
