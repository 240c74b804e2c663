// One training run of ConR's experiments: a regressor on skewed targets, with what a variant adds to its error, judged by how many training
// examples there were.
#pragma once
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <string>
#include <vector>

#include "engine/autograd/grad_mode.h"
#include "engine/data/dataset.h"
#include "methods/common/label_density.h"
#include "methods/experiment.h"
#include "methods/robust/conr/baselines.h"
#include "methods/robust/conr/conr.h"
#include "models/augment/rand_augment.h"
#include "models/metrics/shot_groups.h"
#include "models/optim/adam.h"
#include "models/optim/schedule.h"
#include "ops/index.h"
#include "ops/join.h"
#include "ops/pointwise.h"
#include "ops/shape.h"

namespace plumb::methods::conr {

/// What all variants of a seed train on and begin with. Net has features(x) → [B, D] and head, a layer to [B, 1].
template <typename Net>
struct Problem {
  Tensor inputs, targets, test, test_targets;  ///< [n, ..], f32 [n]
  Net initial;
  uint64_t seed;  ///< of order and views
};

/// What belongs to the problem and is the same for all variants.
struct Setting {
  std::string unit;                           ///< of the targets, as headings show it
  double group_width = 1, density_width = 1;  ///< bins of shot groups, feature statistics and SupCon; of densities
  double centre = 0, scale = 1;               ///< prediction = centre + scale · the head's number
  augment::View view;                         ///< of which every example gets two
  int64_t epochs = 30, batch = 64;
  double lr = 2e-3;
  ConrOptions conr;
  double profile_width = 10;                  ///< of the bins in the chart of errors
};

/// What a variant adds to the absolute error, told from its name. It begins with LDS, FDS, "RankSim, γ = …", "SupCon, δ = …" (weights) or
/// "balanced MSE, σ = …", and may have "ConR, β = …" in it, with "τ = …" and "e = …" where they are not the setting's, and "code" for the
/// released code's denominator.
struct Recipe {
  DensityWeights weights = DensityWeights::none;
  bool smooth_features = false;
  double rank = 0, contrast = 0, beta = 0;  ///< weights; 0: not there
  double sigma = 0;                         ///< of the balanced squared error in place of the absolute one; 0: not there
  ConrOptions conr;
};
Recipe recipe_named(const std::string& variant, const ConrOptions& usual);

/// The objective of a batch of views. features [M, D], predictions and targets [M], bins i64 [M], weights [M] or undefined.
Tensor objective_of(const Recipe& recipe, const Tensor& features, const Tensor& predictions, const Tensor& targets, const Tensor& bins,
                    const Tensor& weights, Generator& generator);

/// The metrics, the first being the error of rare targets.
std::vector<Metric> error_metrics(const std::string& unit);
void report_errors(Cell& cell, const std::string& unit, const metrics::ShotErrors& errors);
/// A chart with the mean error in each stretch of targets.
void report_profile(Cell& cell, const Setting& setting, const Tensor& predictions, const Tensor& targets);

/// Trains one variant and reports.
template <typename Net>
class Trial {
 public:
  Trial(Cell& cell, const Problem<Net>& problem, Setting setting)
      : cell_(cell),
        p_(problem),
        s_(std::move(setting)),
        recipe_(recipe_named(cell.variant(), s_.conr)),
        net_(problem.initial),
        density_(p_.targets, s_.group_width),
        g_(problem.seed) {
    if (recipe_.weights != DensityWeights::none)
      weights_ = LabelDensity(p_.targets, s_.density_width).weights(p_.targets, recipe_.weights, LdsOptions{});
    if (recipe_.smooth_features) smoother_.emplace(density_.bins(), net_.head.weight.size(1));
  }

  void run() {
    int64_t n = p_.inputs.size(0), per_epoch = (n + s_.batch - 1) / s_.batch, step = 0;
    optim::Adam adam(net_.parameters(), {.lr = s_.lr});
    auto schedule = optim::cosine(s_.epochs * per_epoch, 1, 0.02);
    for (int64_t epoch = 1; epoch <= s_.epochs; ++epoch) {
      net_.train();
      auto order = data::random_order(n, g_);
      for (int64_t from = 0; from < n; from += s_.batch, ++step) {
        adam.set_lr_scale(schedule(step));
        adam.zero_grad();
        objective(from_vector(std::vector<int64_t>(order.begin() + from, order.begin() + std::min(n, from + s_.batch)))).backward();
        adam.step();
      }
      net_.eval();
      if (smoother_) update_smoother();
      cell_.progress(static_cast<double>(epoch) / static_cast<double>(s_.epochs));
      if (epoch % std::max<int64_t>(1, s_.epochs / 10) == 0) note(epoch);
    }
    NoGrad no_grad;
    report_errors(cell_, s_.unit, errors());
    report_profile(cell_, s_, predicted(p_.test), p_.test_targets);
  }

 private:
  Tensor from_features(const Tensor& features) const { return flatten(net_.head(features), 0) * s_.scale + s_.centre; }
  Tensor predicted(const Tensor& inputs) const { return from_features(net_.features(inputs)); }

  Tensor objective(const Tensor& places) {
    Tensor inputs = index_select(p_.inputs, 0, places), twice = cat({places, places});
    Tensor targets = index_select(p_.targets, 0, twice), bins = density_.bins_of(targets);
    Tensor weights = weights_.defined() ? index_select(weights_, 0, twice) : Tensor();
    Tensor first = s_.view(inputs, g_), second = s_.view(inputs, g_);
    Tensor features = net_.features(cat({first, second}));
    Tensor predictions = from_features(smoother_ ? (*smoother_)(features, bins) : features);
    return objective_of(recipe_, features, predictions, targets, bins, weights, g_);
  }

  void update_smoother() {
    NoGrad no_grad;
    smoother_->update(net_.features(p_.inputs), density_.bins_of(p_.targets));
  }

  metrics::ShotErrors errors() const { return metrics::shot_errors(predicted(p_.test), p_.test_targets, p_.targets, s_.group_width); }

  void note(int64_t epoch) const {
    NoGrad no_grad;
    auto e = errors();
    cell_.point(fmt::format("mean error ({})", s_.unit), "epochs", static_cast<double>(epoch), e.all.mean);
    cell_.point(fmt::format("mean error, few ({})", s_.unit), "epochs", static_cast<double>(epoch), e.few.mean);
  }

  Cell& cell_;
  const Problem<Net>& p_;
  Setting s_;
  Recipe recipe_;
  Net net_;
  LabelDensity density_;  // bins of the shot groups
  Generator g_;
  Tensor weights_;  // of the training examples
  std::optional<FeatureSmoother> smoother_;
};

}  // namespace plumb::methods::conr
