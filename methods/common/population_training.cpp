// Full-batch training of populations. Subsets are gathered and padded with weight 0, so that small ones cost less than all examples.
#include "methods/common/population_training.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "engine/autograd/grad_mode.h"
#include "models/optim/sgd.h"
#include "ops/index.h"
#include "ops/join.h"
#include "ops/loss.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb::methods {
namespace {

/// The examples of some members: places [P, L] with weights [P, L], 0 for padding, Σ = 1 a member.
struct Gathered {
  Tensor places, weights;
};

Gathered gather_subsets(const Tensor& masks, int64_t from, int64_t to) {
  int64_t n = masks.size(1), longest = 0;
  const bool* mask = masks.data<bool>();
  std::vector<std::vector<int64_t>> subsets;
  for (int64_t p = from; p < to; ++p) {
    std::vector<int64_t>& places = subsets.emplace_back();
    for (int64_t i = 0; i < n; ++i)
      if (mask[p * n + i]) places.push_back(i);
    longest = std::max(longest, static_cast<int64_t>(places.size()));
  }
  std::vector<int64_t> places;
  std::vector<float> weights;
  for (const auto& subset : subsets)
    for (int64_t k = 0; k < longest; ++k) {
      bool there = k < static_cast<int64_t>(subset.size());
      places.push_back(there ? subset[static_cast<size_t>(k)] : subset.front());
      weights.push_back(there ? 1 / static_cast<float>(subset.size()) : 0);
    }
  return {from_vector(places, {to - from, longest}), from_vector(weights, {to - from, longest})};
}

void check(const mlp::MlpPopulation& population, const Tensor& x, const Tensor& labels, const Tensor& masks, const PopulationTraining& o) {
  if (x.rank() != 2 || labels.shape() != Shape{x.size(0)} || masks.shape() != Shape{population.size(), x.size(0)})
    throw ShapeError(fmt::format("train_population: examples {}, labels {} and masks {} for {} members", to_string(x.shape()),
                                 to_string(labels.shape()), to_string(masks.shape()), population.size()));
  if (masks.dtype() != DType::boolean) throw DTypeError("train_population: masks must be bool");
  if (o.steps < 1 || o.together < 1) throw ValueError(fmt::format("train_population: {} steps of {} members", o.steps, o.together));
  std::vector<int64_t> sizes = to_vector<int64_t>(sum(masks, {1}));
  for (size_t p = 0; p < sizes.size(); ++p)
    if (sizes[p] == 0) throw ValueError(fmt::format("train_population: member {} has no examples", p));
}

void train_part(mlp::MlpPopulation& part, const Tensor& x, const Tensor& labels, const Gathered& g, const PopulationTraining& o) {
  int64_t members = part.size(), rows = g.places.size(1);
  Tensor flat = flatten(g.places), weights = flatten(g.weights);
  Tensor inputs = reshape(index_select(x, 0, flat), {members, rows, x.size(1)}), targets = index_select(labels, 0, flat);
  optim::SGD sgd(part.parameters(), {.lr = o.lr, .momentum = o.momentum, .weight_decay = o.weight_decay});
  for (int64_t step = 0; step < o.steps; ++step) {
    Tensor each = cross_entropy(flatten(part(inputs), 0, 1), targets, {.reduction = Reduction::none});
    sgd.zero_grad();
    sum(each * weights).backward();
    sgd.step();
  }
}

}  // namespace

void train_population(mlp::MlpPopulation& population, const Tensor& x, const Tensor& labels, const Tensor& masks,
                      const PopulationTraining& options) {
  check(population, x, labels, masks, options);
  Tensor rows = contiguous_data(masks);
  for (int64_t from = 0; from < population.size(); from += options.together) {
    int64_t to = std::min(population.size(), from + options.together);
    mlp::MlpPopulation part = population.part(from, to);
    train_part(part, x, labels, gather_subsets(rows, from, to), options);
    population.put(from, part);
    if (options.progress) options.progress(static_cast<double>(to) / static_cast<double>(population.size()));
  }
}

Tensor same_masks(int64_t members, int64_t n, const std::vector<int64_t>& places) {
  Tensor row = zeros({n}, DType::boolean);
  for (int64_t i : places) {
    if (i < 0 || i >= n) throw IndexError(fmt::format("same_masks: example {} is outside [0, {})", i, n));
    row.data<bool>()[i] = true;
  }
  return clone(expand(unsqueeze(row, 0), {members, n}));
}

Tensor population_logits(const mlp::MlpPopulation& population, const Tensor& x, int64_t together) {
  NoGrad no_grad;
  std::vector<Tensor> parts;
  for (int64_t from = 0; from < population.size(); from += together)
    parts.push_back(population.part(from, std::min(population.size(), from + together))(x));
  return cat(parts, 0);
}

}  // namespace plumb::methods
