// sLCT on latents of digits with a few impulsive outliers: its changes to iCT one by one, and the controls that tell which of them work.
#include "methods/experiment.h"

#include <cmath>

#include "methods/common/digit_generation.h"
#include "methods/common/digit_oracle.h"
#include "methods/generative/slct/slct.h"
#include "models/autoencoder/principal_components.h"
#include "models/diffusion/latent_standardizer.h"
#include "models/diffusion/sampler.h"
#include "models/metrics/neighbours.h"
#include "models/optim/adam.h"
#include "models/train/image_grid.h"
#include "ops/elementary.h"
#include "ops/index.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb::methods::slct {
namespace {

using namespace diffusion;

constexpr int64_t kComponents = 16, kBatch = 128, kGroup = 8;
constexpr double kOutliers = 0.03, kFarther = 10, kBorder = 1.2, kFirstC = 0.0346, kSigmaMax = 80;
constexpr int64_t kStepCounts[] = {1, 2, 4};

// Latents of the digits: 16 principal components, each of deviation 0.5, and some of the examples ten times as far out.
class Latents {
 public:
  using Network = TimeMlp;
  explicit Latents(const DigitVectors& digits)
      : components_(digits.rows, kComponents), standardizer_(LatentStandardizer::fit(components_.encode(digits.rows))) {
    clean = standardizer_.apply(components_.encode(digits.rows));
    int64_t n = clean.size(0), far = std::llround(kOutliers * static_cast<double>(n));
    Tensor order = to(randperm(n), clean.device());
    Tensor chosen = narrow(order, 0, 0, far), kept = narrow(order, 0, far, n - far);
    rows = index_copy(clean, 0, chosen, index_select(clean, 0, chosen) * kFarther);
    clean = index_select(clean, 0, kept);
    statistics = metrics::feature_statistics(clean);
  }

  Tensor rows;   ///< [1797, 16], with outliers
  Tensor clean;  ///< those that are none
  metrics::FeatureStatistics statistics;

  TimeMlp network(bool = false) const {
    TimeMlp network({.features = kComponents});
    network.to(rows.device());
    return network;
  }
  Tensor batch(int64_t n) const { return index_select(rows, 0, to(randint(0, rows.size(0), {n}, {.dtype = i64}), rows.device())); }
  Tensor decode(const Tensor& latents) const { return components_.decode(standardizer_.invert(latents)); }

 private:
  autoencoder::PrincipalComponents components_;
  LatentStandardizer standardizer_;
};

// Samples on this side of the border between examples and outliers.
struct Inliers {
  Tensor rows;
  double share_beyond;
};
Inliers inliers(const Tensor& samples) {
  std::vector<double> size = to_vector(sqrt(mean(square(samples), {1})));
  std::vector<int64_t> near;
  for (size_t i = 0; i < size.size(); ++i)
    if (size[i] < kBorder) near.push_back(static_cast<int64_t>(i));
  double beyond = 1 - static_cast<double>(near.size()) / static_cast<double>(size.size());
  return {near.empty() ? Tensor() : index_select(samples, 0, to(from_vector(near), samples.device())), beyond};
}

double distance(const Latents& latents, const Tensor& samples) {
  Tensor near = inliers(samples).rows;
  if (!near.defined() || near.size(0) < 2 * kComponents) return INFINITY;
  return metrics::frechet_distance(metrics::feature_statistics(near), latents.statistics);
}

// Generates n latents in M steps.
using SampleWith = std::function<Tensor(int64_t n, int64_t steps)>;

void measure(Cell& cell, const DigitVectors& digits, const Latents& latents, const SampleWith& sample) {
  auto oracle = cell.shared("oracle", [&] { return DigitOracle(digits, cell.pick<int64_t>(40, 1500, 1500)); });
  int64_t n = cell.pick<int64_t>(200, 4000, 10'000);
  for (int64_t steps : kStepCounts)
    cell.point("Fréchet distance", "sampling steps", static_cast<double>(steps), distance(latents, sample(n, steps)));
  Tensor one = sample(n, 1);
  Inliers near = inliers(one);
  cell.metric("FD, 1 step", distance(latents, one));
  cell.metric("FD, 2 steps", distance(latents, sample(n, 2)));
  cell.metric("FD, 4 steps", distance(latents, sample(n, 4)));
  cell.metric("outliers (%)", 100 * near.share_beyond);
  bool enough = near.rows.defined() && near.rows.size(0) > 100;
  int64_t judged = std::min<int64_t>(enough ? near.rows.size(0) : 0, cell.pick<int64_t>(200, 1000, 2000));
  Tensor real = narrow(latents.clean, 0, 0, std::min<int64_t>(latents.clean.size(0), cell.pick<int64_t>(200, 1000, 1000)));
  cell.metric("recall (%)", enough ? 100 * metrics::precision_recall(real, narrow(near.rows, 0, 0, judged), 3).recall : 0);
  cell.metric("FID of digit features", enough ? metrics::frechet_distance(oracle->features(latents.decode(near.rows)),
                                                                          oracle->features(latents.decode(latents.clean)))
                                              : INFINITY);
  for (int64_t steps : {1, 2})
    cell.picture(steps == 1 ? "samples, 1 step" : "samples, 2 steps",
                 train::image_grid(digits.images(latents.decode(sample(48, steps))), {.columns = 12}));
}

Tensor noise(const Cell& cell, int64_t n, Generator& generator) {
  return randn({n, kComponents}, {.device = cell.device(), .generator = &generator}) * kSigmaMax;
}

std::vector<double> levels(int64_t steps) {
  if (steps == 1) return {kSigmaMax};
  return steps == 2 ? std::vector<double>{kSigmaMax, 0.8} : std::vector<double>{kSigmaMax, 5, 1, 0.3};
}

// The recipe and the norm of a variant's network.
struct Arm {
  ConsistencyRecipe recipe;
  HiddenNorm norm = HiddenNorm::none;
};

Arm arm_of(const Cell& cell, int64_t steps, int64_t s1) {
  if (cell.is("iLCT")) return {{.pairs = {.steps = steps, .s1 = s1}}};  // iCT's defaults: pseudo-Huber of one norm, c = 0.00054 √d
  Options o{.s1 = s1, .first_c = kFirstC, .coupling = kGroup};
  auto huber = [&] { o.metric = ConsistencyMetric::pseudo_huber_mean; };
  auto bare = [&] { o.coupling = 0, o.share = 0, o.factor = 0; };
  if (cell.is("Huber, c constant")) huber(), bare(), o.adaptive = false;
  if (cell.is("Huber, c adaptive")) huber(), bare();
  if (cell.is("Huber, c adaptive + OT + diffusion")) huber();
  if (cell.is("Cauchy, c constant")) bare(), o.adaptive = false;
  if (cell.is("Geman-McClure, c adaptive")) o.metric = ConsistencyMetric::geman_mcclure, bare();
  if (cell.is("Cauchy, c adaptive")) bare();
  if (cell.is("Cauchy, c adaptive + diffusion")) o.coupling = 0;
  if (cell.is("Cauchy, c adaptive + OT")) o.share = 0, o.factor = 0;
  if (cell.is("sLCT, OT over the whole batch")) o.coupling = kBatch;
  HiddenNorm norm = cell.is("sLCT, layer norm")           ? HiddenNorm::layer
                    : cell.is("sLCT, norm without scale") ? HiddenNorm::non_scaling
                                                          : HiddenNorm::none;
  return {recipe(steps, kComponents, o), norm};
}

void run_diffusion(Cell& cell, const DigitVectors& digits, const Latents& latents, int64_t steps) {
  TimeMlp network = train_denoiser_of(latents, {.steps = steps}, [&](double share) { cell.progress(share); });
  measure(cell, digits, latents, [&](int64_t n, int64_t) {
    Generator generator(cell.seed() ^ 0x51c7);
    return diffusion::sample(denoiser(network), noise(cell, n, generator), karras_sigmas_to_zero(40), {.sampler = Sampler::heun});
  });
}

void run(Cell& cell) {
  auto digits = cell.shared("digits", [&] { return DigitVectors(cell.device()); });
  auto latents = cell.shared("latents", [&] { return Latents(*digits); });
  auto steps = cell.pick<int64_t>(20, 4000, 100'000), s1 = cell.pick<int64_t>(160, 160, 640);
  if (cell.is("latent diffusion")) return run_diffusion(cell, *digits, *latents, steps);
  Arm arm = arm_of(cell, steps, s1);
  TimeMlp network({.features = kComponents, .norm = arm.norm});
  network.to(cell.device());
  ConsistencyTraining<TimeMlp> training(network, arm.recipe);
  optim::Adam adam(network.parameters(), {.lr = 1e-3});
  optim::Ema<TimeMlp> average(network, {.decay = 0.999, .warmup = true});
  FiniteSteps finite;
  auto sample = [&](int64_t n, int64_t calls) {
    Generator generator(cell.seed() ^ 0x51c7);
    Tensor x = noise(cell, n, generator);
    return diffusion::sample(training.denoiser(average.model), x, levels(calls),
                             {.sampler = Sampler::consistency, .generator = &generator});
  };
  for (int64_t k = 0; k < steps; ++k) {
    if (k % 25 == 0) cell.progress(static_cast<double>(k) / static_cast<double>(steps));
    if ((k + 1) % (steps / 10) == 0)
      cell.point("Fréchet distance while training, 1 step", "training step", static_cast<double>(k + 1),
                 distance(*latents, sample(cell.pick<int64_t>(100, 2000, 4000), 1)));
    Tensor loss = mean(training.losses(k, latents->batch(kBatch)));
    if (!finite.learnable(loss)) continue;
    adam.zero_grad();
    loss.backward();
    adam.step();
    training.update(k);
    average.update(network);
  }
  measure(cell, *digits, *latents, sample);
}

}  // namespace

Experiment experiment() {
  return {.title = "sLCT",
          .paper = "Dao, Doan, Liu, Le & Metaxas, Improved Training Technique for Latent Consistency Models, ICLR 2025",
          .claim =
              "Latents with outliers defeat consistency training; the Cauchy distance with a c that follows the grid, and coupled noise, "
              "repair it",
          .metrics = {{"FD, 1 step", Better::lower},
                      {"FD, 2 steps", Better::lower},
                      {"FD, 4 steps", Better::lower},
                      {"outliers (%)", Better::neither},
                      {"recall (%)", Better::higher},
                      {"FID of digit features", Better::lower}},
          .variants = {{"iLCT", "iCT on latents: pseudo-Huber of one norm, c = 0.00054 √d"},
                       {"Huber, c constant", "pseudo-Huber of the mean of squares, c = 0.0346"},
                       {"Huber, c adaptive", "control: the schedule of c without the Cauchy distance"},
                       {"Huber, c adaptive + OT + diffusion", "control: everything but the Cauchy distance"},
                       {"Cauchy, c constant", "control: the Cauchy distance without the schedule of c"},
                       {"Geman-McClure, c adaptive", "the other distance that damps outliers"},
                       {"Cauchy, c adaptive", "both"},
                       {"Cauchy, c adaptive + diffusion", "and the denoising loss at the lowest noise"},
                       {"Cauchy, c adaptive + OT", "and noise coupled within groups of 8"},
                       {"sLCT, OT over the whole batch", "sLCT with noise coupled over all 128 examples"},
                       {"sLCT, layer norm", "sLCT with layer norms in the network"},
                       {"sLCT, norm without scale", "sLCT with layer norms without a learned weight"},
                       {"latent diffusion", "the same network as a denoiser, 40 Heun steps in every column"},
                       {"sLCT", "Cauchy, adaptive c, coupled noise, denoising loss"}},
          .baseline = "iLCT",
          .method = "sLCT",
          .run = run,
          .follows_device = true};
}

}  // namespace plumb::methods::slct
