// The table of methods, and how a recipe or CTM becomes an objective.
#include "tools/consistency_methods.h"

#include <fmt/format.h>

#include <array>

#include "methods/generative/ctm/ctm.h"
#include "methods/generative/ict/ict.h"
#include "methods/generative/scott/scott.h"
#include "methods/generative/slct/slct.h"
#include "models/diffusion/consistency_training.h"
#include "models/diffusion/sampler.h"
#include "ops/reduce.h"

namespace plumb::tools {
namespace {

using namespace diffusion;

// -- methods that are a recipe ------------------------------------------------------------------------------

ConsistencyRecipe on_grid(const ConsistencyRun& run, ConsistencyRecipe recipe) {
  recipe.pairs.sigma_min = run.sigma_min, recipe.pairs.sigma_max = run.sigma_max, recipe.pairs.rho = run.rho;
  recipe.pairs.levels = run.grid;
  return recipe;
}

ConsistencyRecipe improved(const ConsistencyRun& run) { return on_grid(run, methods::ict::improved(run.training.steps, run.s0, run.s1)); }

ConsistencyRecipe original(const ConsistencyRun& run) {
  ConsistencyRecipe recipe = methods::ict::original(run.training.steps, run.s1);
  recipe.pairs.s0 = run.s0;
  return on_grid(run, recipe);
}

// Consistency distillation as first published: one grid, all intervals alike, targets from averaged weights.
ConsistencyRecipe distillation(const ConsistencyRun& run) {
  return on_grid(run, {.pairs = {.steps = run.training.steps,
                                 .curriculum = ConsistencyCurriculum::constant,
                                 .s0 = run.s0,
                                 .s1 = run.s1,
                                 .law = IntervalLaw::uniform,
                                 .weight = IntervalWeight::one},
                       .metric = ConsistencyMetric::mean_square,
                       .target = ConsistencyTarget::average,
                       .decay = 0.95});
}

// sLCT's changes to iCT, with the paper's first c; noise is coupled within small groups, since images of few numbers would feel more.
ConsistencyRecipe latent(const ConsistencyRun& run) {
  int64_t numbers = 1;
  for (int64_t size : run.image) numbers *= size;
  return on_grid(run, methods::slct::recipe(run.training.steps, numbers, {.s0 = run.s0, .s1 = run.s1, .first_c = 0.0346, .coupling = 8}));
}

class RecipeObjective : public ConsistencyObjective {
 public:
  RecipeObjective(const ConsistencyRun& run, ConsistencyModel& model, const ConsistencyRecipe& recipe)
      : training_(model.student, model.target ? *model.target : model.student, recipe, run.sigma_data) {}
  Tensor loss(int64_t step, const Tensor& clean, const Denoiser& teacher) override {
    return mean(teacher ? training_.distillation_losses(step, clean, teacher) : training_.losses(step, clean));
  }
  void update(int64_t step) override { training_.update(step); }

 private:
  ConsistencyTraining<FewStepNetwork> training_;
};

template <ConsistencyRecipe (*recipe)(const ConsistencyRun&)>
std::unique_ptr<ConsistencyObjective> from_recipe(const ConsistencyRun& run, ConsistencyModel& model) {
  return std::make_unique<RecipeObjective>(run, model, recipe(run));
}

template <ConsistencyRecipe (*recipe)(const ConsistencyRun&)>
void check_recipe(const ConsistencyRun& run) {
  recipe(run).check();
}

// x ← f(x₀ + √(τ² − σ_min²) z, τ) down the levels.
Tensor multistep(const ConsistencyRun& run, const FewStepNetwork& network, const Tensor& x, const std::vector<double>& levels, double,
                 Generator& generator) {
  ConsistencyPrecondition precondition(run.sigma_data, run.sigma_min);
  Denoiser jump = [&](const Tensor& y, const Tensor& sigma) {
    return precondition.denoise([&](const Tensor& z, const Tensor& noise) { return network(z, noise); }, y, sigma);
  };
  return diffusion::sample(jump, x, levels, {.sampler = Sampler::consistency, .sigma_min = run.sigma_min, .generator = &generator});
}

// -- consistency trajectory models --------------------------------------------------------------------------

methods::ctm::TrajectoryModel trajectory(const ConsistencyRun& run, const FewStepNetwork& network) {
  return methods::ctm::TrajectoryModel([&network](const Tensor& x, const Tensor& time, const Tensor& end) { return network(x, time, end); },
                                       run.sigma_data);
}

methods::ctm::CtmOptions ctm_options(const ConsistencyRun& run) {
  return {.levels = run.s1 + 1,
          .max_steps = run.solver_steps,
          .sigma_min = run.sigma_min,
          .sigma_max = run.sigma_max,
          .rho = run.rho,
          .sigma_data = run.sigma_data};
}

class TrajectoryObjective : public ConsistencyObjective {
 public:
  TrajectoryObjective(const ConsistencyRun& run, ConsistencyModel& model) : run_(run), model_(model), options_(ctm_options(run)) {}
  Tensor loss(int64_t, const Tensor& clean, const Denoiser& teacher) override {
    return methods::ctm::objective(
               {trajectory(run_, model_.student), trajectory(run_, *model_.target), teacher, model_.student.last_weight()}, clean, options_)
        .loss;
  }
  void update(int64_t) override { optim::ema_update(*model_.target, model_.student, 0.999); }

 private:
  ConsistencyRun run_;
  ConsistencyModel& model_;
  methods::ctm::CtmOptions options_;
};

std::unique_ptr<ConsistencyObjective> from_ctm(const ConsistencyRun& run, ConsistencyModel& model) {
  return std::make_unique<TrajectoryObjective>(run, model);
}

// Jumps from level to level, the last one to σ_min.
Tensor jumps(const ConsistencyRun& run, const FewStepNetwork& network, const Tensor& x, const std::vector<double>& levels, double gamma,
             Generator& generator) {
  std::vector<double> times = levels;
  times.push_back(run.sigma_min);
  return methods::ctm::gamma_sample(trajectory(run, network), x, times, gamma, generator);
}

// -- stochastic consistency distillation ---------------------------------------------------------------------

methods::scott::Options scott_options(const ConsistencyRun& run) {
  return {.levels = run.grid.empty() ? karras_sigmas(run.s1 + 1, run.sigma_min, run.sigma_max, run.rho, GridOrder::ascending) : run.grid,
          .rule = NoiseRule::eta(0.2),
          .adversarial = 0};
}

class StochasticObjective : public ConsistencyObjective {
 public:
  StochasticObjective(const ConsistencyRun& run, ConsistencyModel& model)
      : model_(model), options_(scott_options(run)), pairs_(options_.pairs()), precondition_(run.sigma_data, run.sigma_min) {}
  Tensor loss(int64_t step, const Tensor& clean, const Denoiser& teacher) override {
    NoisePair pair = distilled(pairs_.draw(step, clean), teacher, options_.rule, options_.sub_steps);
    return methods::scott::objective(pair, read(model_.student), read(*model_.target), options_).loss;
  }
  void update(int64_t) override { optim::ema_update(*model_.target, model_.student, options_.decay); }

 private:
  Denoiser read(const FewStepNetwork& network) const {
    return [this, &network](const Tensor& x, const Tensor& sigma) {
      return precondition_.denoise([&](const Tensor& y, const Tensor& noise) { return network(y, noise); }, x, sigma);
    };
  }
  ConsistencyModel& model_;
  methods::scott::Options options_;
  PairSampler pairs_;
  ConsistencyPrecondition precondition_;
};

std::unique_ptr<ConsistencyObjective> from_scott(const ConsistencyRun& run, ConsistencyModel& model) {
  return std::make_unique<StochasticObjective>(run, model);
}

// -- the table --------------------------------------------------------------------------------------------

void grid_of(ConsistencyRun& run, int64_t s0, int64_t s1) { run.s0 = s0, run.s1 = s1; }

constexpr std::array kMethods{
    ConsistencyMethod{"ict", "improved consistency training, without a teacher (Song & Dhariwal 2024)", false, false, false,
                      [](ConsistencyRun& r) { grid_of(r, 10, 160); }, check_recipe<improved>, from_recipe<improved>, multistep},
    ConsistencyMethod{"ct", "consistency training as first published (Song et al. 2023)", false, false, true,
                      [](ConsistencyRun& r) { grid_of(r, 2, 150); }, check_recipe<original>, from_recipe<original>, multistep},
    ConsistencyMethod{"cd", "consistency distillation of a diffusion U-Net (Song et al. 2023)", true, false, true,
                      [](ConsistencyRun& r) { grid_of(r, 17, 17); }, check_recipe<distillation>, from_recipe<distillation>, multistep},
    ConsistencyMethod{"ctm", "consistency trajectory model, distilled from a diffusion U-Net (Kim et al. 2024)", true, true, true,
                      [](ConsistencyRun& r) { grid_of(r, 17, 17); }, [](const ConsistencyRun& r) { ctm_options(r).check(); }, from_ctm,
                      jumps},
    ConsistencyMethod{"slct", "iCT with the Cauchy distance, coupled noise and a denoising loss, for data with outliers (Dao et al. 2025)",
                      false, false, false, [](ConsistencyRun& r) { grid_of(r, 10, 160); }, check_recipe<latent>, from_recipe<latent>,
                      multistep},
    ConsistencyMethod{"scott", "consistency distillation along the SDE of a diffusion U-Net (Liu et al. 2024)", true, false, true,
                      [](ConsistencyRun& r) { grid_of(r, 124, 124); }, [](const ConsistencyRun& r) { scott_options(r).check(); },
                      from_scott, multistep},
};

}  // namespace

std::span<const ConsistencyMethod> consistency_methods() { return kMethods; }

std::string consistency_method_names() {
  std::string names;
  for (const ConsistencyMethod& m : kMethods) names += (names.empty() ? "" : ", ") + std::string(m.name);
  return names;
}

const ConsistencyMethod& consistency_method(const std::string& name) {
  for (const ConsistencyMethod& m : kMethods)
    if (m.name == name) return m;
  throw ConfigError("--method " + name + " is unknown; choose from " + consistency_method_names());
}

}  // namespace plumb::tools
