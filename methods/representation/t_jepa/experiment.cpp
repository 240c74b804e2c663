// T-JEPA's frozen features against raw rows and against an encoder that was not trained at all, with and without the REG token.
#include <algorithm>

#include "engine/autograd/grad_mode.h"
#include "engine/data/step_batches.h"
#include "methods/common/probe.h"
#include "methods/experiment.h"
#include "methods/representation/t_jepa/collapse.h"
#include "methods/representation/t_jepa/t_jepa.h"
#include "methods/representation/t_jepa/tables.h"
#include "ops/index.h"
#include "ops/shape.h"

namespace plumb::methods::t_jepa {
namespace {

/// What a variant's features are made by.
struct Recipe {
  bool encoded = true, trained = true;
  int64_t n_reg = 1;
  Init init = Init::official;
  bool standardise = false;  ///< numbers to mean 0 and deviation 1 instead of [0, 1]
  MaskOptions masks = {};
  double ema_start = 0.99;
  double longer = 1;         ///< times the epochs
};

Recipe recipe_of(const Cell& cell) {
  Recipe wide{.init = Init::xavier,
              .standardise = true,
              .masks = {.context_min = 0.4, .context_max = 0.7, .target_min = 0.15, .target_max = 0.4},
              .ema_start = 0.996,
              .longer = 2};
  if (cell.is("raw")) return {.encoded = false, .trained = false};
  if (cell.is("random encoder")) return {.trained = false};
  if (cell.is("T-JEPA without REG")) return {.n_reg = 0};
  if (cell.is("T-JEPA")) return {};
  wide.trained = cell.is("T-JEPA, wide init");
  return wide;
}

/// A variant's features of a whole table, and how it came to them.
struct Features {
  Tensor values;             ///< [N, ..]
  double intra_ratio = 1;    ///< variance over rows after pre-training, by that of the encoder's start
};

Tensor rows_of(const Tensor& x, const Tensor& places) { return x.defined() ? index_select(x, 0, places) : x; }

double intra_of(const Tensor& features, const Table& table) {
  Generator pairs(0);
  return collapse_metrics(index_select(features, 0, table.train), pairs).intra;
}

/// Pre-trains on the training rows, without their labels.
void pretrain(TJepaTrainer& trainer, const Tensor& numbers, const Table& table, int64_t steps, Cell& cell) {
  std::vector<std::pair<std::string, Tensor>> fields;
  if (numbers.defined()) fields.push_back({"features", index_select(numbers, 0, table.train)});
  if (table.categories.defined()) fields.push_back({"tokens", index_select(table.categories, 0, table.train)});
  data::StepBatches batches(data::from_tensors(fields), {.batch = 128, .seed = cell.seed()});
  Generator masks(cell.seed());
  double sum = 0;
  const int64_t every = std::max<int64_t>(1, steps / 40);
  for (int64_t step = 0; step < steps; ++step) {
    data::Batch batch = batches(step);
    sum += trainer.step(batch.features, batch.tokens, masks);
    if ((step + 1) % every != 0) continue;
    cell.point("pre-training loss, " + table.name, "step", static_cast<double>(step + 1), sum / static_cast<double>(every));
    sum = 0;
    cell.progress(0.5);
  }
}

Features features_of(const Recipe& recipe, const Table& table, int64_t epochs, Cell& cell) {
  if (!recipe.encoded) return {raw_features(table)};
  Tensor numbers = scaled_numbers(table, recipe.standardise);
  EncoderOptions options{.numeric = numbers.defined() ? numbers.size(1) : 0, .cardinalities = table.cardinalities, .n_reg = recipe.n_reg};
  options.type_embedding = options.numeric > 0 && !options.cardinalities.empty();
  options.init = recipe.init;
  manual_seed(cell.seed() + 1);  // all encoders of a seed start alike where their shapes do
  if (!recipe.trained) {
    TabularEncoder encoder(options);
    return {extract_features(encoder, numbers, table.categories)};
  }
  int64_t a_epoch = std::max<int64_t>(1, table.train.size(0) / 128),
          steps = static_cast<int64_t>(static_cast<double>(epochs * a_epoch) * recipe.longer);
  TrainerOptions training{
      .masks = recipe.masks, .steps = std::max<int64_t>(2, steps), .warmup = 3 * steps / 40, .lr = 1e-3, .ema_start = recipe.ema_start};
  TJepaTrainer trainer(options, {}, training);
  double start = intra_of(extract_features(trainer.target(), numbers, table.categories), table);
  pretrain(trainer, numbers, table, training.steps, cell);
  Features result{extract_features(trainer.target(), numbers, table.categories)};
  result.intra_ratio = intra_of(result.values, table) / start;
  return result;
}

/// Test accuracy in percent of a head whose learning rate was chosen on validation rows; trained on the first `labels` training rows.
double head_accuracy(const Tensor& features, const Table& table, int64_t labels, std::vector<int64_t> hidden, Cell& cell) {
  Tensor train = slice(table.train, 0, 0, labels);
  manual_seed(cell.seed() + 2);
  ProbeOptions options{
      .hidden = std::move(hidden), .epochs = cell.pick<int64_t>(10, 50, 50), .seed = cell.seed(), .progress = [&] { cell.progress(0.5); }};
  options.batch = std::min<int64_t>(128, std::max<int64_t>(16, train.size(0) / 8));
  std::vector<double> lrs = cell.budget() == Budget::smoke ? std::vector<double>{1e-2} : std::vector<double>{1e-3, 3e-3, 1e-2};
  Probe probe = best_probe(rows_of(features, train), rows_of(table.labels, train), rows_of(features, table.validation),
                           rows_of(table.labels, table.validation), table.classes, lrs, options);
  return 100 * probe.accuracy(rows_of(features, table.test), rows_of(table.labels, table.test));
}

void run(Cell& cell) {
  Recipe recipe = recipe_of(cell);
  auto digits = cell.shared("digits", [&] { return digit_table(cell.pick<int64_t>(500, 1797, 1797), default_generator()); });
  auto mixed = cell.shared("mixed", [&] {
    Generator& g = default_generator();
    return cell.budget() == Budget::smoke ? generated_table(300, g) : mixed_table(cell.pick<int64_t>(300, 4000, 30'000), g);
  });
  const int64_t all = INT64_MAX;
  Features of_digits = features_of(recipe, *digits, cell.pick<int64_t>(2, 40, 300), cell);
  cell.metric("digits, linear (%)", head_accuracy(of_digits.values, *digits, all, {}, cell));
  cell.metric("digits, linear, 200 labels (%)", head_accuracy(of_digits.values, *digits, 200, {}, cell));
  cell.metric("digits, MLP (%)", head_accuracy(of_digits.values, *digits, all, {64}, cell));
  Features of_mixed = features_of(recipe, *mixed, cell.pick<int64_t>(2, 30, 100), cell);
  cell.metric("mixed table, linear (%)", head_accuracy(of_mixed.values, *mixed, all, {}, cell));
  cell.metric("mixed table, MLP (%)", head_accuracy(of_mixed.values, *mixed, all, {64}, cell));
  cell.metric("digits, intra after / before", of_digits.intra_ratio);
  cell.metric("mixed table, intra after / before", of_mixed.intra_ratio);
  if (cell.is("T-JEPA") && cell.budget() != Budget::smoke) {
    std::string chart = "digits, linear (%), without (0) and with (1) the REG token's latent";
    cell.point(chart, "REG", 0, head_accuracy(slice(of_digits.values, 1, 1), *digits, all, {}, cell));
    cell.point(chart, "REG", 1, head_accuracy(of_digits.values, *digits, all, {}, cell));
  }
  cell.progress(1);
}

}  // namespace

Experiment experiment() {
  return {
      .title = "T-JEPA",
      .paper = "Thimonier et al., T-JEPA: Augmentation-Free Self-Supervised Learning for Tabular Data, ICLR 2025",
      .claim =
          "Frozen features learned by predicting the latents of hidden columns serve small classifiers better than raw rows, and than an "
          "encoder that was never trained",
      .metrics = {{"digits, linear (%)", Better::higher},
                  {"digits, linear, 200 labels (%)", Better::higher},
                  {"digits, MLP (%)", Better::higher},
                  {"mixed table, linear (%)", Better::higher},
                  {"mixed table, MLP (%)", Better::higher},
                  {"digits, intra after / before", Better::neither},
                  {"mixed table, intra after / before", Better::neither}},
      .variants = {{"raw", "scaled numbers and 0/1 columns for categories"},
                   {"random encoder", "T-JEPA's encoder as it starts, frozen"},
                   {"random encoder, wide init", "the same with Xavier weights and standardised numbers"},
                   {"T-JEPA without REG", "pre-trained without the token that all rows share"},
                   {"T-JEPA", "official initial weights, numbers in [0, 1]"},
                   {"T-JEPA, wide init", "Xavier weights, standardised numbers, larger contexts, slower average, twice the epochs"}},
      .baseline = "random encoder",
      .method = "T-JEPA",
      .run = run,
  };
}

}  // namespace plumb::methods::t_jepa
