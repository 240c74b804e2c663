// What both experiments on datamodels measure: points of three normal clouds, small perceptrons trained on subsets of them, forget sets.
#pragma once
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "methods/common/datamodel.h"
#include "methods/experiment.h"
#include "models/mlp/population.h"

namespace plumb::methods::datamodel_matching {

inline constexpr int64_t kClasses = 3;

/// The first `trained` points are the training set S, the others validation points.
struct Points {
  Tensor x, labels;  ///< f32 [q, d], i64 [q]
  int64_t trained;
  Tensor train_x() const;
  Tensor train_labels() const;
};
/// Three clouds in 8 dimensions, means N(0, 0.9²), deviation 1, classes at random.
Points make_points(int64_t trained, int64_t validation, Generator& generator);

/// Places in S: a random point and its nearest neighbours of the same class, `size` in all; or `size` random points.
std::vector<int64_t> coherent_set(const Points& points, int64_t size, Generator& generator);
std::vector<int64_t> random_set(const Points& points, int64_t size, Generator& generator);

/// How models of this problem are trained, and how many.
struct Recipe {
  int64_t trained, validation, forget;  ///< points of S, others, of a forget set
  int64_t subset_models, population;    ///< m; N
  int64_t steps, width;
};
Recipe recipe_of(const Cell& cell);

/// Models with these seeds, each trained on its mask's examples: masks bool [P, trained].
mlp::MlpPopulation train_models(const Points& points, const Recipe& recipe, const std::vector<uint64_t>& seeds, const Tensor& masks,
                                const std::function<void(double)>& progress);
/// `count` seeds, drawn from the generator.
std::vector<uint64_t> draw_seeds(int64_t count, Generator& generator);
/// All of S but the forget set: bool [members, trained].
Tensor masks_without(const Points& points, int64_t members, const std::vector<int64_t>& forget);

/// Masks of m random halves of S, and the logits on all points of a model trained on each.
struct SubsetModels {
  Tensor masks, logits;  ///< bool [m, trained], f32 [m, q, C]
};
SubsetModels train_subset_models(const Points& points, const Recipe& recipe, Generator& generator,
                                 const std::function<void(double)>& progress);

}  // namespace plumb::methods::datamodel_matching
