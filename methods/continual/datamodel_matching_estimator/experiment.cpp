// Do datamodels tell what really retraining without some examples does? Against other attributions of the same additive form.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "engine/autograd/backward.h"
#include "methods/common/datamodel.h"
#include "methods/common/population_training.h"
#include "methods/continual/datamodel_matching/problem.h"
#include "methods/experiment.h"
#include "models/metrics/correlation.h"
#include "ops/elementary.h"
#include "ops/index.h"
#include "ops/join.h"
#include "ops/matmul.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb::methods::datamodel_matching_estimator {
namespace {

using datamodel_matching::kClasses;
using datamodel_matching::Points;
using datamodel_matching::Recipe;
using datamodel_matching::SubsetModels;

const std::vector<double> kRidge = {5, 10, 20, 50, 100, 300};  // chosen on held-out subsets
const std::vector<double> kLasso = {5, 20, 50, 100};           // as ridge
const std::vector<double> kDampings = {1e-3, 1e-2, 1e-1};      // of influence; 1e-3 is the recipe's weight decay
const std::vector<double> kWidths = {0.5, 1, 2, 4};            // of the kernel of input similarity
constexpr double kHeldOut = 0.2;                               // share of subset models that choose, and that judge

/// Examples left out, and how that changed the mean logits.
struct LeftOut {
  std::vector<int64_t> places;
  Tensor change, again;  ///< f64 [q, C]: of one group of retrained models, and of another one
};

struct Problem {
  Recipe recipe;
  Points points;
  SubsetModels subsets;           ///< the last kHeldOut of them are never fitted
  mlp::MlpPopulation originals;   ///< a few
  std::vector<LeftOut> left_out;  ///< coherent and random sets in turn
};

int64_t fitted(const Problem& p) {
  return p.recipe.subset_models - static_cast<int64_t>(std::llround(kHeldOut * static_cast<double>(p.recipe.subset_models)));
}

/// Mean logits f64 [q, C] of models with these seeds, trained on all of S but `forget`. With the same seeds, hence the same starts,
/// differences are those of the data.
Tensor mean_logits(const Points& points, const Recipe& recipe, const std::vector<uint64_t>& seeds, const std::vector<int64_t>& forget,
                   const std::function<void(double)>& progress) {
  Tensor masks = datamodel_matching::masks_without(points, static_cast<int64_t>(seeds.size()), forget);
  return mean(to(population_logits(train_models(points, recipe, seeds, masks, progress), points.x), f64), {0});
}

Problem make_problem(Cell& cell) {
  Generator& g = default_generator();
  Recipe recipe = datamodel_matching::recipe_of(cell);
  auto progress = [&](double) { cell.progress(0); };
  Points points = datamodel_matching::make_points(recipe.trained, recipe.validation, g);
  SubsetModels subsets = train_subset_models(points, recipe, g, progress);
  int64_t models = cell.pick<int64_t>(4, 16, 64), sets = cell.pick<int64_t>(4, 16, 40);
  std::vector<uint64_t> seeds = datamodel_matching::draw_seeds(models, g), others = datamodel_matching::draw_seeds(models, g);
  Tensor all = datamodel_matching::masks_without(points, models, {});
  Problem p{recipe, points, subsets, train_models(points, recipe, seeds, all, progress), {}};
  Tensor before = mean(to(population_logits(p.originals, points.x), f64), {0});
  Tensor before_again = mean_logits(points, recipe, others, {}, progress);
  for (int64_t k = 0; k < sets; ++k) {
    auto places = k % 2 == 0 ? coherent_set(points, recipe.forget, g) : random_set(points, recipe.forget, g);
    p.left_out.push_back({places, mean_logits(points, recipe, seeds, places, progress) - before,
                          mean_logits(points, recipe, others, places, progress) - before_again});
  }
  return p;
}

// -- estimators: effects f64 [n, q, C], whose sum over F is subtracted when F is removed ---------------------------------

/// Regression on the first `count` subset models, λ chosen on a part of them.
Tensor datamodel_effects(const Problem& p, int64_t count, DatamodelPenalty penalty) {
  Tensor masks = slice(p.subsets.masks, 0, 0, count), outputs = slice(p.subsets.logits, 0, 0, count);
  DatamodelOptions options{.penalty = penalty, .sweeps = 30, .tolerance = 1e-4};
  options.lambda = choose_lambda(masks, outputs, penalty == DatamodelPenalty::ridge ? kRidge : kLasso, kHeldOut, options).lambda;
  DatamodelRegression regression(options);
  regression.fit(masks, outputs);
  return regression.coefficients();
}

/// Derivatives of every logit in all parameters, f32 [members, q, C, K].
Tensor jacobians(const mlp::MlpPopulation& models, const Tensor& x) {
  std::vector<Tensor> parameters = models.parameters(), rows;
  for (int64_t i = 0; i < x.size(0); ++i) {
    Tensor logits = sum(select(models(slice(x, 0, i, i + 1)), 1, 0), {0});  // [C]: a sum over members, which do not meet
    for (int64_t c = 0; c < kClasses; ++c) {
      std::vector<Tensor> flat;
      for (const Tensor& g : grad({select(logits, 0, c)}, parameters, {.retain_graph = true})) flat.push_back(flatten(g, 1));
      rows.push_back(cat(flat, 1));
    }
  }
  Tensor all = stack(rows, 1);  // [members, q C, K]
  return unflatten(all, 1, {x.size(0), kClasses});
}

/// Influence functions, their mean over a few of the original models.
class Influence {
 public:
  explicit Influence(const Problem& p) : points_(p.points) {
    mlp::MlpPopulation few = p.originals.part(0, std::min<int64_t>(8, p.originals.size()));
    jacobians_ = jacobians(few, p.points.x);
    logits_ = population_logits(few, p.points.x);
  }
  Tensor effects(double damping) const {
    Tensor total, labels = points_.train_labels();
    int64_t members = logits_.size(0), n = points_.trained;
    for (int64_t member = 0; member < members; ++member) {
      Tensor j = select(jacobians_, 0, member), logits = slice(select(logits_, 0, member), 0, 0, n);
      Tensor own = influence_effects(slice(j, 0, 0, n), logits, labels, j, damping);
      total = total.defined() ? total + own : own;
    }
    return total / static_cast<double>(members);
  }

 private:
  const Points& points_;
  Tensor jacobians_, logits_;
};

/// An example raises its class's logit, and lowers the others', where it is near: e^(−‖x_i − x‖² / 2w²) (y_i − 1/C).
Tensor similarity_effects(const Problem& p, double width) {
  Tensor a = p.points.train_x(), b = p.points.x;
  Tensor distance = sum(square(unsqueeze(a, 1) - unsqueeze(b, 0)), {2});
  Tensor near = exp(-distance / (2 * width * width));
  Tensor pull = to(one_hot(p.points.train_labels(), kClasses), f32) - 1.0 / kClasses;
  return to(unsqueeze(near, 2) * unsqueeze(pull, 1), f64);
}

// -- how well they tell ----------------------------------------------------------------------------------------------------

/// Spearman's ρ; 0 where one does not vary, which predicts nothing.
double rank_correlation(const std::vector<double>& a, const std::vector<double>& b) {
  double rho = spearman_correlation(a, b);
  return std::isfinite(rho) ? rho : 0;
}

/// Mean over outputs of the rank correlation over rows: predicted and true [rows, outputs].
double correlation_by_output(const Tensor& predicted, const Tensor& truth) {
  std::vector<double> a = to_vector(mT(predicted)), b = to_vector(mT(truth));
  auto rows = static_cast<int64_t>(predicted.size(0));
  double total = 0;
  for (int64_t k = 0; k < predicted.size(1); ++k) {
    std::vector<double> x(a.begin() + k * rows, a.begin() + (k + 1) * rows), y(b.begin() + k * rows, b.begin() + (k + 1) * rows);
    total += rank_correlation(x, y);
  }
  return total / static_cast<double>(predicted.size(1));
}

struct Agreement {
  double by_set = 0;   ///< which of the sets changes an output more: mean over outputs of the rank correlation over sets
  double forget = 0;   ///< which output of the left-out points changes more: rank correlation, mean over sets
  double all = 0;      ///< of all points
  double pearson = 0;  ///< of all points
  double norm = 0;     ///< ‖predicted‖ / ‖true‖, on the left-out points
};

/// predicted[k] [q, C] of set k.
Agreement agreement(const std::vector<Tensor>& predicted, const Problem& p) {
  Agreement a;
  std::vector<Tensor> rows, truth;
  auto sets = static_cast<double>(predicted.size());
  for (size_t k = 0; k < predicted.size(); ++k) {
    const LeftOut& set = p.left_out[k];
    Tensor at = from_vector(set.places), own = index_select(predicted[k], 0, at), real = index_select(set.change, 0, at);
    rows.push_back(flatten(predicted[k]));
    truth.push_back(flatten(set.change));
    a.forget += rank_correlation(to_vector(own), to_vector(real)) / sets;
    a.all += rank_correlation(to_vector(rows.back()), to_vector(truth.back())) / sets;
    a.pearson += pearson_correlation(to_vector(rows.back()), to_vector(truth.back())) / sets;
    a.norm += norm(own).item() / norm(real).item() / sets;
  }
  a.by_set = correlation_by_output(stack(rows), stack(truth));
  return a;
}

std::vector<Tensor> predictions(const Tensor& effects, const Problem& p) {
  std::vector<Tensor> predicted;
  for (const LeftOut& set : p.left_out) predicted.push_back(removal_effect(effects, set.places));
  return predicted;
}

/// The linear datamodelling score: over subset models that nothing was fitted on.
double subset_score(const Tensor& effects, const Problem& p) {
  int64_t from = fitted(p), width = effects.numel() / effects.size(0);
  Tensor masks = to(slice(p.subsets.masks, 0, from), f64), truth = to(flatten(slice(p.subsets.logits, 0, from), 1), f64);
  return correlation_by_output(matmul(masks, reshape(effects, {effects.size(0), width})), truth);
}

/// Of candidates that need no subset models, the one with the best score on subset models that datamodels are fitted on: generous to them.
template <typename F>
Tensor best_effects(const std::vector<double>& candidates, const Problem& p, F&& effects_of) {
  Tensor best;
  double score = 0;
  int64_t from = fitted(p) - (p.recipe.subset_models - fitted(p));
  Tensor masks = to(slice(p.subsets.masks, 0, from, fitted(p)), f64),
         truth = to(flatten(slice(p.subsets.logits, 0, from, fitted(p)), 1), f64);
  for (double candidate : candidates) {
    Tensor effects = effects_of(candidate);
    double reached = correlation_by_output(matmul(masks, flatten(effects, 1)), truth);
    if (!best.defined() || reached > score) best = effects, score = reached;
  }
  return best;
}

/// Subset models that a variant's estimate takes.
int64_t models_used(const Cell& cell, const Problem& p) {
  if (cell.is("input similarity") || cell.is("influence")) return 0;
  return fitted(p) / (cell.is("ridge, a tenth of the models") ? 10 : cell.is("ridge, a third of the models") ? 3 : 1);
}

Tensor effects_of(const Cell& cell, const Problem& p) {
  if (cell.is("input similarity")) return best_effects(kWidths, p, [&](double width) { return similarity_effects(p, width); });
  if (cell.is("influence")) {
    Influence influence(p);
    return best_effects(kDampings, p, [&](double damping) { return influence.effects(damping); });
  }
  if (cell.is("LASSO")) return datamodel_effects(p, fitted(p), DatamodelPenalty::lasso);
  return datamodel_effects(p, models_used(cell, p), DatamodelPenalty::ridge);
}

void run(Cell& cell) {
  auto problem = cell.shared("models", [&] { return make_problem(cell); });
  const Problem& p = *problem;
  std::vector<Tensor> predicted;
  if (cell.is("retraining with other starts")) {
    for (const LeftOut& set : p.left_out) predicted.push_back(set.again);
  } else {
    Tensor effects = effects_of(cell, p);
    predicted = predictions(effects, p);
    cell.point("linear datamodelling score", "subset models", static_cast<double>(models_used(cell, p)), subset_score(effects, p));
  }
  Agreement a = agreement(predicted, p);
  cell.metric("rank correlation over left-out sets", a.by_set);
  cell.metric("rank correlation, left-out points", a.forget);
  cell.metric("rank correlation, all points", a.all);
  cell.metric("correlation, all points", a.pearson);
  cell.metric("predicted / true norm", a.norm);
  cell.progress(1);
}

}  // namespace

Experiment experiment() {
  return {
      .title = "Datamodels",
      .paper =
          "Georgiev, Rinberg, Park, Garg, Ilyas, Madry, Neel: Attribute-to-Delete: Machine Unlearning via Datamodel Matching, ICLR 2025",
      .claim = "datamodels, fitted on models trained on random halves, rank what really retraining without ten examples changes",
      .metrics = {{"rank correlation over left-out sets", Better::higher},
                  {"rank correlation, left-out points", Better::higher},
                  {"rank correlation, all points", Better::higher},
                  {"correlation, all points", Better::higher},
                  {"predicted / true norm", Better::neither}},
      .variants = {{"input similarity", "near examples of a class raise its logit; width chosen"},
                   {"influence", "Gauss–Newton influence functions, mean over the original models; damping chosen"},
                   {"ridge, a tenth of the models", "datamodels from fewer subset models"},
                   {"ridge, a third of the models", "datamodels from fewer subset models"},
                   {"LASSO", "datamodels with an L1 penalty, as in the paper"},
                   {"retraining with other starts", "as many other retrained models: how well the truth is known"},
                   {"ridge", "datamodels with an L2 penalty, which DMM uses"}},
      .baseline = "influence",
      .method = "ridge",
      .run = run};
}

}  // namespace plumb::methods::datamodel_matching_estimator
