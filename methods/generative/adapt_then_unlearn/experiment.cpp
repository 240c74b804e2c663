// Unlearning a digit: a GAN of small digits is to stop drawing ones, fours or eights, judged by a classifier of real digits.
#include "methods/generative/adapt_then_unlearn/comparison.h"

#include "methods/common/digit_oracle.h"
#include "models/train/image_grid.h"
#include "ops/elementary.h"
#include "ops/index.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "ops/sort.h"

namespace plumb::methods::adapt_then_unlearn {
namespace {

constexpr int64_t kUndesired[] = {1, 4, 8};
constexpr double kR1 = 1;

Budgets budgets(const Cell& cell) {
  return {.pretrain = cell.pick<int64_t>(900, 10'000, 60'000),
          .adapt = cell.pick<int64_t>(8, 400, 2000),
          .unlearn = cell.pick<int64_t>(32, 800, 3200),
          .anchors = cell.pick<int64_t>(2, 3, 5),
          .samples = cell.pick<int64_t>(1500, 5000, 5000),
          .final_samples = cell.pick<int64_t>(400, 5000, 15'000)};
}

Tensor rows_where(const Tensor& rows, const Tensor& chosen) { return index_select(rows, 0, flatten(nonzero(chosen))); }

Tensor drawn(const Tensor& rows, int64_t n) { return index_select(rows, 0, randint(0, rows.size(0), {n})); }

GanRecipe recipe() {
  GanRecipe r;
  r.losses.r1 = kR1;
  return r;
}

Problem problem(const DigitVectors& digits, const DigitOracle& oracle, int64_t digit, const gan::MlpGanConfig& config) {
  Tensor rest = rows_where(digits.rows, digits.labels != digit);
  auto features = [&](const Tensor& x) { return oracle.features(digits.clipped(x)); };
  return {.name = "digit " + std::to_string(digit),
          .config = config,
          .recipe = recipe(),
          .real = [&digits](int64_t n) { return digits.batch(n); },
          .real_without = [rest](int64_t n) { return drawn(rest, n); },
          .undesired = [&digits, &oracle, digit](const Tensor& x) { return oracle.classes(digits.clipped(x)) == digit; },
          .features = features,
          .without = metrics::feature_statistics(features(rest))};
}

// The digits to unlearn. A smoke test's pair is hardly trained: the one whose share of its samples is nearest to a half.
std::vector<int64_t> tasks(const Cell& cell, const DigitVectors& digits, const DigitOracle& oracle, const Pair& original) {
  if (cell.budget() != Budget::smoke) return {std::begin(kUndesired), std::end(kUndesired)};
  gan::MlpGan averaged = original.average;
  Generator random(0);
  Tensor counts = bincount(oracle.classes(digits.clipped(generated(averaged, 500, random))), {}, 10);
  return {argmin(abs(counts - 250)).item<int64_t>()};
}

void run(Cell& cell) {
  auto digits = cell.shared("digits", [] { return DigitVectors(); });
  auto oracle = cell.shared("oracle", [&] { return DigitOracle(*digits, cell.pick<int64_t>(100, 1500, 1500)); });
  gan::MlpGanConfig config{
      .features = 64, .latent = 32, .hidden = {128, 128}, .low = min(digits->rows).item(), .high = max(digits->rows).item()};
  Budgets b = budgets(cell);
  auto original = cell.shared("original", [&] {
    return trained_pair(
        cell, config, recipe(), [&](int64_t n) { return digits->batch(n); }, b.pretrain);
  });
  Compared mean{};
  std::vector<int64_t> undesired = tasks(cell, *digits, *oracle, *original);
  double weight = 1.0 / static_cast<double>(undesired.size()), done = 0;
  for (int64_t digit : undesired) {
    Problem task = problem(*digits, *oracle, digit, config);
    Compared at = compared(cell, task, *original, b, done, done + weight);
    done += weight;
    mean.area += weight * at.area, mean.pul += weight * at.pul, mean.steps_to_90 += weight * at.steps_to_90;
    mean.frechet += weight * at.frechet, mean.frechet_to_retrained += weight * at.frechet_to_retrained;
    cell.picture("samples without " + task.name, train::image_grid(digits->images(narrow(at.samples, 0, 0, 48)), {.columns = 12}));
  }
  cell.metric("area under PUL (%)", mean.area);
  cell.metric("PUL (%)", mean.pul);
  cell.metric("steps to PUL 90", mean.steps_to_90);
  cell.metric("FD", mean.frechet);
  cell.metric("FD to retrained", mean.frechet_to_retrained);
}

}  // namespace

Experiment experiment() {
  return {.title = "Adapt-then-Unlearn",
          .paper =
              "Tiwary et al., Adapt then Unlearn: Exploring Parameter Space Semantics for Unlearning in Generative Adversarial Networks, "
              "TMLR 2025",
          .claim =
              "Repelled from weights adapted to what is undesired, a GAN stops drawing it in fewer steps than by fine-tuning alone, at the "
              "same quality",
          .metrics = {{"area under PUL (%)", Better::higher},
                      {"PUL (%)", Better::higher},
                      {"steps to PUL 90", Better::lower},
                      {"FD", Better::lower},
                      {"FD to retrained", Better::lower}},
          .variants = variants(),
          .baseline = "no repulsion",
          .method = "EL2",
          .run = run};
}

}  // namespace plumb::methods::adapt_then_unlearn
