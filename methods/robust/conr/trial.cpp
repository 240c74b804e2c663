// What the variants of ConR's experiments are, and what is reported of them.
#include "methods/robust/conr/trial.h"

#include <map>

#include "methods/common/masked_contrastive.h"

namespace plumb::methods::conr {

namespace {

// The number that follows `what` in a name.
double number_in(const std::string& name, const std::string& what, double otherwise) {
  auto at = name.find(what);
  return at == std::string::npos ? otherwise : std::stod(name.substr(at + what.size()));
}

}  // namespace

Recipe recipe_named(const std::string& v, const ConrOptions& usual) {
  Recipe r;
  if (v.starts_with("LDS")) r.weights = DensityWeights::sqrt_inverse;
  r.smooth_features = v.starts_with("FDS");
  r.rank = number_in(v, "γ = ", 0);
  r.contrast = number_in(v, "δ = ", 0);
  r.sigma = number_in(v, "σ = ", 0);
  r.beta = number_in(v, "β = ", 0);
  r.conr = usual;
  r.conr.tau = number_in(v, "τ = ", usual.tau);
  r.conr.e = number_in(v, "e = ", usual.e);
  if (v.find("code") != std::string::npos) r.conr.denominator = Denominator::code;
  return r;
}

Tensor objective_of(const Recipe& recipe, const Tensor& features, const Tensor& predictions, const Tensor& targets, const Tensor& bins,
                    const Tensor& weights, Generator& generator) {
  Tensor loss = recipe.sigma > 0 ? balanced_mse(predictions, targets, recipe.sigma) : weighted_l1(predictions, targets, weights);
  if (recipe.rank > 0) loss = loss + rank_similarity(features, targets, generator) * recipe.rank;
  if (recipe.contrast > 0) loss = loss + supervised_contrastive(features, bins, recipe.conr.tau) * recipe.contrast;
  if (recipe.beta > 0) loss = loss + conr_loss(features, targets, predictions, recipe.conr, weights) * recipe.beta;
  return loss;
}

std::vector<Metric> error_metrics(const std::string& unit) {
  std::vector<Metric> all;
  for (const char* what : {"few", "MAE", "many", "medium", "geometric mean", "few, geometric mean"})
    all.push_back({fmt::format("{} ({})", what, unit), Better::lower});
  return all;
}

void report_errors(Cell& cell, const std::string& unit, const metrics::ShotErrors& e) {
  auto named = error_metrics(unit);
  double values[] = {e.few.mean, e.all.mean, e.many.mean, e.medium.mean, e.all.geometric, e.few.geometric};
  for (size_t k = 0; k < named.size(); ++k) cell.metric(named[k].name, values[k]);
}

void report_profile(Cell& cell, const Setting& s, const Tensor& predictions, const Tensor& targets) {
  struct Sum {
    double error = 0, count = 0;
  };
  std::map<double, Sum> bins;
  auto guessed = to_vector(predictions), wanted = to_vector(targets);
  for (size_t i = 0; i < wanted.size(); ++i) {
    Sum& bin = bins[std::floor(wanted[i] / s.profile_width)];
    bin.error += std::abs(guessed[i] - wanted[i]);
    ++bin.count;
  }
  for (const auto& [bin, sum] : bins)
    cell.point(fmt::format("mean error by the true target ({})", s.unit), s.unit, (bin + 0.5) * s.profile_width, sum.error / sum.count);
}

}  // namespace plumb::methods::conr
