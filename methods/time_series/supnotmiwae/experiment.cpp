// Digits read row by row with 60 % of their values deleted: is a classifier that reads several imputations better and better calibrated
// than one that reads a filled series, and does hiding observed values from it (ObsDropout) make the imputations useful?
#include "methods/experiment.h"

#include <algorithm>
#include <cmath>

#include "engine/autograd/grad_mode.h"
#include "engine/data/digits/digits.h"
#include "methods/time_series/supnotmiwae/baselines.h"
#include "methods/time_series/supnotmiwae/supnotmiwae.h"
#include "models/metrics/calibration.h"
#include "models/optim/adam.h"
#include "models/train/image_grid.h"
#include "ops/create.h"
#include "ops/elementary.h"
#include "ops/index.h"
#include "ops/join.h"
#include "ops/loss.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "ops/softmax.h"

namespace plumb::methods::supnotmiwae {

Experiment experiment();

namespace {

constexpr int64_t kSteps = 8, kChannels = 8, kClasses = 10;
constexpr double kDeleted = 0.6;

/// Standardised series, some of whose values are deleted; the truth is kept to measure imputations.
struct Part {
  SeriesBatch batch;
  Tensor truth, labels;
  Part rows(const Tensor& index) const {
    auto pick = [&](const Tensor& x) { return index_select(x, 0, index); };
    return {{pick(batch.values), pick(batch.mask), pick(batch.times), pick(batch.length)}, pick(truth), pick(labels)};
  }
};
struct Data {
  Part train, validation, test;
  double scale = 1;  // grey levels (of 1) in a standardised unit
};

Part make_part(const Tensor& images, const Tensor& labels, const Tensor& kept, int64_t from, int64_t count, double center, double scale) {
  Part p;
  p.truth = (narrow(images, 0, from, count) - center) / scale;
  p.labels = contiguous(narrow(labels, 0, from, count));
  p.batch.mask = contiguous(narrow(kept, 0, from, count));
  p.batch.values = p.truth * p.batch.mask;
  p.batch.times = expand(arange(0, kSteps, 1, f32), {count, kSteps});
  p.batch.length = full({count}, kSteps, i64);
  return p;
}

Data make_data(const Cell& cell) {
  data::Dataset all = data::digits().all();
  int64_t train = cell.pick<int64_t>(96, 1200, 1200), validation = cell.pick<int64_t>(32, 200, 200),
          test = cell.pick<int64_t>(48, 397, 397);
  std::vector<Tensor> images, labels;
  for (int64_t i : to_vector<int64_t>(narrow(randperm(all.size()), 0, 0, train + validation + test))) {
    images.push_back(reshape(all[i].image, {kSteps, kChannels}));
    labels.push_back(reshape(all[i].label, {1}));
  }
  Tensor x = stack(images), y = cat(labels), kept = bernoulli(x.shape(), 1 - kDeleted, {.dtype = f32});
  Tensor seen = narrow(kept, 0, 0, train), first = narrow(x, 0, 0, train);
  double count = sum(seen).item(), center = sum(first * seen).item() / count;
  double scale = std::sqrt(sum(square(first - center) * seen).item() / count);
  return {make_part(x, y, kept, 0, train, center, scale), make_part(x, y, kept, train, validation, center, scale),
          make_part(x, y, kept, train + validation, test, center, scale), scale};
}

/// A trained variant: how it predicts, what it puts into the gaps.
struct Candidate {
  nn::Module* module = nullptr;
  std::function<Tensor(const Part&, Generator&)> loss;
  std::function<Tensor(const SeriesBatch&, Generator&, const Tensor& noise)> probabilities;
  std::function<Tensor(const SeriesBatch&, Generator&)> imputed;
  std::function<void()> project = [] {};
  int64_t epochs = 1;
};

constexpr double kDropout = 0.2;
const NetworkOptions kClassifier{.width = 32, .heads = 2, .kernel = 3, .layers = 1, .dropout = kDropout};

/// Some of the observed values hidden: what ObsDropout does for the method, as plain augmentation.
SeriesBatch hidden(const SeriesBatch& b, double beta, Generator& g) {
  if (beta == 0) return b;
  SeriesBatch h = b;
  h.mask = select(obs_dropout(b.mask, beta, 1, g), 0, 0);
  h.values = b.values * h.mask;
  return h;
}

template <typename Model>
Candidate by_logits(std::shared_ptr<Model> model, double beta = 0) {
  return {model.get(), [model, beta](const Part& p, Generator& g) { return cross_entropy((*model)(hidden(p.batch, beta, g)), p.labels); },
          [model](const SeriesBatch& b, Generator&, const Tensor& noise) { return softmax((*model)(b, noise), -1); },
          [model](const SeriesBatch& b, Generator&) { return model->imputed(b); }};
}

Candidate by_latents(const Cell& cell, double beta, bool missingness) {
  auto model = std::make_shared<SupNotMiwae>(Config{.channels = kChannels,
                                                    .classes = kClasses,
                                                    .latent = 8,
                                                    .width = 32,
                                                    .heads = 2,
                                                    .encoder_layers = 1,
                                                    .decoder_layers = 1,
                                                    .classifier_layers = 1,
                                                    .latent_deviation = 1e-3,
                                                    .data_deviation = 0.05,
                                                    .classifier_dropout = kDropout,
                                                    .prior = {.length_scale = 2},
                                                    .longest = kSteps,
                                                    .beta = beta,
                                                    .train_latents = cell.pick<int64_t>(2, 5, 10),
                                                    .train_samples = 1,
                                                    .test_latents = cell.pick<int64_t>(3, 20, 50),
                                                    .test_samples = 1,
                                                    .missingness = missingness});
  return {model.get(), [model](const Part& p, Generator& g) { return model->loss(p.batch, p.labels, g).total; },
          [model](const SeriesBatch& b, Generator& g, const Tensor& noise) { return model->predict(b, g, noise).probabilities; },
          [model](const SeriesBatch& b, Generator& g) { return model->predict(b, g).imputed; }, [model] { model->project(); }};
}

Candidate make_candidate(const Cell& cell) {
  if (cell.is("zero + mask")) return by_logits(std::make_shared<FilledClassifier>(kChannels, kClasses, Filling::zero, kClassifier));
  if (cell.is("zero + mask, beta 0.4"))
    return by_logits(std::make_shared<FilledClassifier>(kChannels, kClasses, Filling::zero, kClassifier), 0.4);
  if (cell.is("mean + mask")) return by_logits(std::make_shared<FilledClassifier>(kChannels, kClasses, Filling::channel_mean, kClassifier));
  if (cell.is("forward fill + mask"))
    return by_logits(std::make_shared<FilledClassifier>(kChannels, kClasses, Filling::forward, kClassifier));
  if (cell.is("GRU-D, beta 0.4")) return by_logits(std::make_shared<GruD>(kChannels, kClasses, 48), 0.4);
  if (cell.is("GRU-D")) return by_logits(std::make_shared<GruD>(kChannels, kClasses, 48));
  if (cell.is("supMIWAE, beta 0.4")) return by_latents(cell, 0.4, false);
  return by_latents(cell, cell.is("supnotMIWAE, beta 0.4") ? 0.4 : 0, true);
}

/// Trains for a number of epochs and keeps the weights that were best on the validation part: by negative log-likelihood, looked at every
/// other epoch.
void train(Cell& cell, const Candidate& c, const Data& d) {
  int64_t epochs = c.epochs, batch = 64, count = d.train.labels.size(0), steps = (count + batch - 1) / batch;
  optim::Adam adam(c.module->parameters(), {.lr = 2e-3});
  Generator& g = default_generator();
  double best = INFINITY;
  std::vector<Tensor> kept;
  for (int64_t epoch = 0; epoch < epochs; ++epoch) {
    c.module->train();
    Tensor order = randperm(count);
    double total = 0;
    for (int64_t s = 0; s < steps; ++s) {
      Part part = d.train.rows(narrow(order, 0, s * batch, std::min(batch, count - s * batch)));
      Tensor loss = c.loss(part, g);
      adam.zero_grad();
      loss.backward();
      adam.step();
      c.project();
      total += loss.item() / static_cast<double>(steps);
      cell.progress(0.95 * (static_cast<double>(epoch) + static_cast<double>(s) / static_cast<double>(steps)) /
                    static_cast<double>(epochs));
    }
    cell.point("training loss", "epoch", static_cast<double>(epoch + 1), total);
    if (epoch % 2 == 0 && epoch + 1 != epochs) continue;
    NoGrad guard;
    c.module->eval();
    double nll = metrics::negative_log_likelihood(c.probabilities(d.validation.batch, g, {}), d.validation.labels);
    cell.point("validation NLL", "epoch", static_cast<double>(epoch + 1), nll);
    if (!(nll < best)) continue;
    best = nll;
    kept.clear();
    for (const Tensor& p : c.module->parameters()) kept.push_back(clone(p.detach()));
  }
  NoGrad guard;
  c.module->eval();
  std::vector<Tensor> parameters = c.module->parameters();
  for (size_t i = 0; i < kept.size(); ++i) copy_data(kept[i], parameters[i]);
}

double accuracy(const Tensor& probabilities, const Tensor& labels) {
  return 100 * mean(to(argmax(probabilities, -1) == labels, f64)).item();
}

/// A judge of imputations: a classifier trained on complete series. It never saw a gap, nor any variant's fillings.
std::shared_ptr<FilledClassifier> make_judge(const Cell& cell, const Data& d) {
  auto judge = std::make_shared<FilledClassifier>(kChannels, kClasses, Filling::zero, kClassifier);
  int64_t epochs = cell.pick<int64_t>(2, 30, 60), batch = 64, count = d.train.labels.size(0);
  optim::Adam adam(judge->parameters(), {.lr = 2e-3});
  for (int64_t epoch = 0; epoch < epochs; ++epoch) {
    Tensor order = randperm(count);
    for (int64_t at = 0; at < count; at += batch) {
      Part p = d.train.rows(narrow(order, 0, at, std::min(batch, count - at)));
      adam.zero_grad();
      cross_entropy((*judge)({p.truth, ones_like(p.truth), p.batch.times, p.batch.length}), p.labels).backward();
      adam.step();
    }
  }
  judge->eval();
  return judge;
}

void evaluate(Cell& cell, const Candidate& c, const Data& d, const FilledClassifier& judge) {
  NoGrad guard;
  Generator& g = default_generator();
  const Part& t = d.test;
  Tensor p = c.probabilities(t.batch, g, {});
  double right = accuracy(p, t.labels);
  cell.metric("accuracy (%)", right);
  cell.metric("NLL (nats)", metrics::negative_log_likelihood(p, t.labels));
  cell.metric("ECE", metrics::expected_calibration_error(p, t.labels));
  cell.metric("Brier score", metrics::brier_score(p, t.labels));
  Tensor filled = c.imputed(t.batch, g), gaps = 1.0 - t.batch.mask;
  cell.metric("RMSE of imputed grey levels", d.scale * std::sqrt(sum(square(filled - t.truth) * gaps).item() / sum(gaps).item()));
  cell.metric("judge's accuracy on imputed (%)", accuracy(judge({filled, ones_like(filled), t.batch.times, t.batch.length}), t.labels));
  cell.metric("accuracy lost with noise as imputation (points)",
              right - accuracy(c.probabilities(t.batch, g, randn_like(t.truth)), t.labels));
  for (const auto& bin : metrics::top_label_bins(p, t.labels, 10))
    if (bin.count > 0) cell.point("reliability", "confidence", bin.confidence, bin.accuracy);
  Tensor shown = cat({narrow(t.truth, 0, 0, 8), narrow(t.batch.values, 0, 0, 8), narrow(filled, 0, 0, 8)});
  double darkest = min(t.truth).item();
  cell.picture("truth, observed, imputed", train::image_grid(unsqueeze((shown - darkest) * d.scale, 1), {.columns = 8}));
}

void run(Cell& cell) {
  auto d = cell.shared("data", [&] { return make_data(cell); });
  auto judge = cell.shared("judge", [&] { return make_judge(cell, *d); });
  Candidate c = make_candidate(cell);
  // A classifier of one filled series costs a tenth of the method: it may train three times as long.
  c.epochs = cell.variant().starts_with("sup") ? cell.pick<int64_t>(1, 50, 200) : cell.pick<int64_t>(1, 150, 600);
  train(cell, c, *d);
  evaluate(cell, c, *d, **judge);
}

}  // namespace

Experiment experiment() {
  return {.title = "supnotMIWAE",
          .paper = "Kim, Kim, Yun, Lee, Lee & Lee, Probabilistic Imputation for Time-series Classification with Missing Data, ICML 2023",
          .claim = "classifying several imputations, some observed values hidden, is better calibrated than classifying a filled series",
          .metrics = {{"NLL (nats)", Better::lower},
                      {"accuracy (%)"},
                      {"ECE", Better::lower},
                      {"Brier score", Better::lower},
                      {"RMSE of imputed grey levels", Better::lower},
                      {"judge's accuracy on imputed (%)"},
                      {"accuracy lost with noise as imputation (points)", Better::neither}},
          .variants = {{"zero + mask", "the training mean in the gaps, the mask as further channels"},
                       {"zero + mask, beta 0.4", "the same with observed values hidden in training, as augmentation"},
                       {"mean + mask", "the series' own mean of a channel in its gaps, and the mask"},
                       {"forward fill + mask", "the last value seen in the gaps, and the mask"},
                       {"GRU-D", "a recurrent network with learned decay to the mean"},
                       {"GRU-D, beta 0.4", "the same with observed values hidden in training"},
                       {"supnotMIWAE, beta 0", "no observed value is hidden from the classifier"},
                       {"supMIWAE, beta 0.4", "ObsDropout, but no model of what is missing"},
                       {"supnotMIWAE, beta 0.4", "the method"}},
          .baseline = "zero + mask, beta 0.4",
          .method = "supnotMIWAE, beta 0.4",
          .run = run};
}

}  // namespace plumb::methods::supnotmiwae
