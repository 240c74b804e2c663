// Drawing from normal mixtures, and their least error.
#include "methods/classical/disc_vs_gen/mixtures.h"

#include <cmath>
#include <set>
#include <string>

#include "models/metrics/normal.h"
#include "ops/create.h"
#include "ops/elementary.h"
#include "ops/index.h"
#include "ops/linalg.h"
#include "ops/matmul.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb::methods::disc_vs_gen {
namespace {

Tensor normals(const Shape& shape, Generator& generator) { return randn(shape, {.dtype = f64, .generator = &generator}); }

Tensor draw_labels(int64_t classes, int64_t m, Generator& generator, bool all_classes) {
  if (all_classes && m < classes)
    throw ValueError("gaussian_mixture: " + std::to_string(m) + " rows cannot have all " + std::to_string(classes) + " classes");
  for (;;) {
    Tensor y = randint(0, classes, {m}, {.dtype = i64, .generator = &generator});
    if (!all_classes) return y;
    std::vector<int64_t> labels = to_vector<int64_t>(y);
    if (static_cast<int64_t>(std::set<int64_t>(labels.begin(), labels.end()).size()) == classes) return y;
  }
}

double place_of_class(int64_t k) { return k == 0 ? -1 : std::ldexp(1.0, static_cast<int>(k - 1)); }

}  // namespace

LabelledRows draw(const Mixture& mixture, int64_t m, Generator& generator, bool all_classes) {
  Tensor y = draw_labels(mixture.classes(), m, generator, all_classes);
  Tensor x = index_select(mixture.means, 0, y) + normals({m, mixture.features()}, generator) * mixture.deviation;
  if (mixture.loadings.defined()) x = x + matmul(normals({m, mixture.loadings.size(1)}, generator), mT(mixture.loadings));
  return {x, y};
}

Mixture gaussian_mixture_easy(int64_t features, int64_t classes) {
  if (features < 2 || classes < 2)
    throw ValueError("gaussian_mixture: needs 2 features and 2 classes, got " + std::to_string(features) + " and " +
                     std::to_string(classes));
  std::vector<double> place, deviation(static_cast<size_t>(features), 1.0);
  for (int64_t k = 0; k < classes; ++k) place.push_back(place_of_class(k));
  for (int64_t j = 0; j < features / 2; ++j) deviation[static_cast<size_t>(j)] = std::sqrt(static_cast<double>(features));
  return {expand(from_vector(place, {classes, 1}), {classes, features}), from_vector(deviation), {}};
}

Mixture gaussian_mixture_hard(int64_t features, int64_t classes, double strength, Generator& generator) {
  Mixture mixture = gaussian_mixture_easy(features, classes);
  mixture.loadings = normals({features, features}, generator) * (strength / std::sqrt(static_cast<double>(features)));
  return mixture;
}

double separation(const Mixture& mixture) {
  Tensor covariance = diag(square(mixture.deviation)), one = ones({mixture.features()}, f64);
  if (mixture.loadings.defined()) covariance = covariance + matmul(mixture.loadings, mT(mixture.loadings));
  return std::sqrt(sum(solve(covariance, one)).item());
}

double bayes_error(const Mixture& mixture) {
  double s = separation(mixture), total = 0;
  for (int64_t k = 1; k < mixture.classes(); ++k) total += normal_cdf(-0.5 * (place_of_class(k) - place_of_class(k - 1)) * s);
  return 2 * total / static_cast<double>(mixture.classes());
}

Mixture two_regimes(int64_t features, int64_t classes, double loading, Generator& generator) {
  return {normals({classes, features}, generator) * 0.35, ones({features}, f64), normals({features, 5}, generator) * loading};
}

}  // namespace plumb::methods::disc_vs_gen
