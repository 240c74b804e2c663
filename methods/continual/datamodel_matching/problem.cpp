// Data and populations of the experiments on datamodels.
#include "methods/continual/datamodel_matching/problem.h"

#include <algorithm>

#include "engine/data/points.h"
#include "methods/common/population_training.h"
#include "ops/elementary.h"
#include "ops/index.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb::methods::datamodel_matching {
namespace {
constexpr int64_t kDimensions = 8;
constexpr double kSpread = 0.9;  // deviation of the clouds' means
}  // namespace

Tensor Points::train_x() const { return slice(x, 0, 0, trained); }
Tensor Points::train_labels() const { return slice(labels, 0, 0, trained); }

Points make_points(int64_t trained, int64_t validation, Generator& generator) {
  data::GaussianMixture mixture{.means = kSpread * randn({kClasses, kDimensions}, {.dtype = f64, .generator = &generator})};
  int64_t count = trained + validation;
  data::Batch all = data::gaussian_mixture(count, mixture, generator.next_u64()).batch(count).next();
  return {all.features, all.label, trained};
}

std::vector<int64_t> coherent_set(const Points& points, int64_t size, Generator& generator) {
  std::vector<int64_t> labels = to_vector<int64_t>(points.train_labels());
  int64_t at;
  do at = static_cast<int64_t>(generator.next_below(labels.size()));
  while (std::ranges::count(labels, labels[static_cast<size_t>(at)]) < size);
  Tensor x = points.train_x();
  std::vector<double> distance = to_vector(sum(square(x - slice(x, 0, at, at + 1)), {1}));
  std::vector<int64_t> same;
  for (size_t i = 0; i < labels.size(); ++i)
    if (labels[i] == labels[static_cast<size_t>(at)]) same.push_back(static_cast<int64_t>(i));
  std::ranges::stable_sort(same, {}, [&](int64_t i) { return distance[static_cast<size_t>(i)]; });
  same.resize(static_cast<size_t>(size));
  std::ranges::sort(same);
  return same;
}

std::vector<int64_t> random_set(const Points& points, int64_t size, Generator& generator) {
  std::vector<int64_t> order = data::random_order(points.trained, generator);
  order.resize(static_cast<size_t>(size));
  std::ranges::sort(order);
  return order;
}

Recipe recipe_of(const Cell& cell) {
  return cell.pick<Recipe>(
      {.trained = 60, .validation = 30, .forget = 5, .subset_models = 100, .population = 24, .steps = 40, .width = 16},
      {.trained = 200, .validation = 100, .forget = 10, .subset_models = 1500, .population = 100, .steps = 300, .width = 32},
      {.trained = 200, .validation = 100, .forget = 10, .subset_models = 10'000, .population = 200, .steps = 300, .width = 32});
}

mlp::MlpPopulation train_models(const Points& points, const Recipe& recipe, const std::vector<uint64_t>& seeds, const Tensor& masks,
                                const std::function<void(double)>& progress) {
  mlp::MlpPopulation models({.inputs = kDimensions, .hidden = {recipe.width}, .outputs = kClasses}, seeds);
  train_population(models, points.train_x(), points.train_labels(), masks, {.steps = recipe.steps, .progress = progress});
  return models;
}

std::vector<uint64_t> draw_seeds(int64_t count, Generator& generator) {
  std::vector<uint64_t> seeds(static_cast<size_t>(count));
  for (uint64_t& seed : seeds) seed = generator.next_u64();
  return seeds;
}

Tensor masks_without(const Points& points, int64_t members, const std::vector<int64_t>& forget) {
  return logical_not(same_masks(members, points.trained, forget));
}

SubsetModels train_subset_models(const Points& points, const Recipe& recipe, Generator& generator,
                                 const std::function<void(double)>& progress) {
  Tensor masks = subset_masks(recipe.subset_models, points.trained, 0.5, generator);
  mlp::MlpPopulation models = train_models(points, recipe, draw_seeds(recipe.subset_models, generator), masks, progress);
  return {masks, population_logits(models, points.x)};
}

}  // namespace plumb::methods::datamodel_matching
