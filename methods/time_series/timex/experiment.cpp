// Explaining transformers that classify series: does the mask of a surrogate that keeps the classifier's relations find what matters?
#include "methods/experiment.h"

#include <algorithm>
#include <cmath>

#include "engine/autograd/grad_mode.h"
#include "engine/data/files.h"
#include "engine/io/ts.h"
#include "methods/time_series/timex/explainer.h"
#include "methods/time_series/timex/optimised_mask.h"
#include "methods/time_series/timex/series.h"
#include "models/metrics/roc.h"
#include "ops/elementary.h"
#include "ops/index.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "ops/softmax.h"

namespace plumb::methods::timex {
namespace {

constexpr double kClassifierRate = 3e-3, kExplainerRate = 3e-3;
const std::string kMasked = "AUROC with three quarters hidden, power demand";

/// A set, and the classifier that is to be explained on it.
struct Bench {
  ExplainedSeries train, validation, test;  // truth is undefined where nobody knows it
  SeriesClassifier classifier;
  double accuracy = 0;
};

ExplainedSeries rows(const ExplainedSeries& s, int64_t from, int64_t count) {
  auto some = [&](const Tensor& t) { return t.defined() ? contiguous(narrow(t, 0, from, count)) : Tensor(); };
  return {some(s.x), some(s.times), some(s.labels), some(s.truth)};
}

Bench trained(Cell& cell, const ExplainedSeries& train, const ExplainedSeries& validation, const ExplainedSeries& test, int64_t epochs) {
  int64_t classes = std::max(max(train.labels).item<int64_t>(), max(test.labels).item<int64_t>()) + 1;
  Bench b{train, validation, test, SeriesClassifier({.channels = train.x.size(2), .steps = train.x.size(1)}, classes)};
  train_classifier(b.classifier, b.train.x, b.train.times, b.train.labels,
                   {.epochs = epochs, .lr = kClassifierRate, .progress = [&](int64_t) { cell.progress(0); }});
  b.classifier.requires_grad_(false);  // explained, not trained, from here on
  NoGrad off;
  b.accuracy = mean(to(argmax(b.classifier(b.test.x, b.test.times), -1) == b.test.labels, f64)).item();
  return b;
}

template <typename Make>
Bench generated(Cell& cell, Make&& make, int64_t train) {
  Generator& g = default_generator();
  int64_t few = cell.pick<int64_t>(24, 200, 200), asked = cell.pick<int64_t>(24, 300, 1000);
  ExplainedSeries learned = make(train, g), validation = make(few, g), test = make(asked, g);
  return trained(cell, learned, validation, test, cell.pick<int64_t>(2, 60, 100));
}

ExplainedSeries of_file(const std::string& path) {
  SeriesSet set = load_ts(path);
  return {contiguous(mT(set.stacked(std::nan("")))), regular_times(set.size(), set.longest()), from_vector(set.labels), {}};
}

// Two seasons' daily demand for power in Italy, 24 hours each; where the file is not there, FreqShapes anew.
Bench power_demand(Cell& cell) {
  std::string directory = data::data_directory(),
              train = data::find_optional_data_file(directory, "timeseries", "ItalyPowerDemand_TRAIN.ts"),
              test = data::find_optional_data_file(directory, "timeseries", "ItalyPowerDemand_TEST.ts");
  if (train.empty() || test.empty()) return generated(cell, make_freq_shapes, cell.pick<int64_t>(64, 500, 1500));
  ExplainedSeries known = of_file(train), asked = of_file(test);
  Tensor order = randperm(known.labels.numel());
  for (Tensor* t : {&known.x, &known.times, &known.labels}) *t = index_select(*t, 0, order);
  int64_t n = known.labels.numel(), validation = n / 5;
  return trained(cell, rows(known, validation, n - validation), rows(known, 0, validation),
                 rows(asked, 0, std::min(asked.labels.numel(), cell.pick<int64_t>(100, 500, 1029))), cell.pick<int64_t>(3, 300, 300));
}

// The logit of the class that the classifier predicts for each series.
Score predicted_logit(const SeriesClassifier& classifier, const Tensor& x, const Tensor& times) {
  NoGrad off;
  Tensor chosen = argmax(classifier(x, times), -1, true);
  return [&classifier, times, chosen](const Tensor& at) { return squeeze(gather(classifier(at, times), -1, chosen), -1); };
}

Tensor trained_saliency(Cell& cell, const Bench& b, int64_t epochs, const std::string& set) {
  TimexOptions o{.prototypes = cell.pick<int64_t>(8, 20, 50)};
  o.straight_through = !cell.is("TimeX, soft masks");
  o.mbc = !cell.is("TimeX, no MBC");
  o.label_weight = cell.is("TimeX, no label term") ? 0 : 1;
  o.copy_weights = !cell.is("TimeX, surrogate at random");
  TimeX model(b.classifier, b.train.x, b.train.times, b.train.labels, o);
  train_timex(model, b.train.x, b.train.times, b.validation.x, b.validation.times,
              {.epochs = epochs, .lr = kExplainerRate, .progress = [&](int64_t epoch, double consistency) {
                 cell.progress(0.1);
                 cell.point("validation consistency, " + set, "epoch", static_cast<double>(epoch + 1), consistency);
               }});
  Tensor p = model.saliency(b.test.x, b.test.times);
  cell.point("standard deviation of p", "set (0 FreqShapes, 1 low variance, 2 power demand)",
             set == "FreqShapes"     ? 0
             : set == "low variance" ? 1
                                     : 2,
             std_dev(p).item());
  return p;
}

Tensor saliency(Cell& cell, const Bench& b, int64_t epochs, const std::string& set) {
  const Tensor& x = b.test.x;
  if (cell.is("random")) return rand(x.shape());
  if (cell.is("|x|")) return abs(x);
  if (cell.is("1 - |x|")) return -abs(x);
  if (cell.variant().starts_with("TimeX")) return trained_saliency(cell, b, epochs, set);
  Tensor average = mean(b.train.x, {0});
  if (cell.is("optimised mask"))
    return optimised_mask(b.classifier, x, b.test.times, average,
                          {.steps = cell.pick<int64_t>(5, 150, 300), .progress = [&] { cell.progress(0.1); }});
  Score f = predicted_logit(b.classifier, x, b.test.times);
  if (cell.is("gradient x input")) return abs(gradient_times_input(f, x));
  Tensor baseline = cell.is("integrated gradients") ? zeros_like(x) : expand(average, x.shape());
  return abs(integrated_gradients(f, x, baseline, cell.pick<int64_t>(5, 50, 50)));
}

void measure_truth(Cell& cell, const Bench& b, int64_t epochs, const std::string& set) {
  SaliencyMetrics m = mean_saliency_metrics(saliency(cell, b, epochs, set), b.test.truth);
  cell.metric("AUPRC, " + set, m.auprc);
  cell.metric("AUP, " + set, m.aup);
  cell.metric("AUR, " + set, m.aur);
}

// What the classifier still knows where the least salient steps are the training mean.
void measure_occlusion(Cell& cell, const Bench& b, int64_t epochs) {
  Tensor score = saliency(cell, b, epochs, "power demand"), average = mean(b.train.x, {0});
  NoGrad off;
  for (double share : {0.0, 0.25, 0.5, 0.75, 0.9}) {
    Tensor hidden = occlude_lowest(b.test.x, score, share, average);
    double auroc = metrics::macro_roc_auc(softmax(b.classifier(hidden, b.test.times), -1), b.test.labels);
    cell.point("AUROC by the share hidden, power demand", "share of steps hidden", share, auroc);
    if (share == 0.75) cell.metric(kMasked, auroc);
  }
}

void run(Cell& cell) {
  auto shapes = cell.shared("FreqShapes", [&] { return generated(cell, make_freq_shapes, cell.pick<int64_t>(64, 1500, 5000)); });
  auto quiet = cell.shared("low variance", [&] { return generated(cell, make_low_variance, cell.pick<int64_t>(64, 1500, 5000)); });
  auto power = cell.shared("power demand", [&] { return power_demand(cell); });
  cell.metric("accuracy of the classifier, FreqShapes (%)", 100 * shapes->accuracy);
  cell.metric("accuracy of the classifier, low variance (%)", 100 * quiet->accuracy);
  measure_truth(cell, *shapes, cell.pick<int64_t>(1, 30, 50), "FreqShapes");
  cell.progress(0.5);
  measure_truth(cell, *quiet, cell.pick<int64_t>(1, 30, 50), "low variance");
  cell.progress(0.9);
  measure_occlusion(cell, *power, cell.pick<int64_t>(1, 100, 200));
}

}  // namespace

Experiment experiment() {
  Experiment e;
  e.title = "TimeX";
  e.paper =
      "Queen, Hartvigsen, Koker, He, Tsiligkaridis and Zitnik, Encoding Time-Series Explanations through Self-Supervised Model Behavior "
      "Consistency, NeurIPS 2023";
  e.claim = "Masks of a surrogate that keeps the classifier's relations between series find what matters better than gradients do.";
  for (const std::string set : {"FreqShapes", "low variance"})
    for (const std::string measure : {"AUPRC, ", "AUP, ", "AUR, "}) e.metrics.push_back({measure + set});
  e.metrics.push_back({kMasked});
  e.metrics.push_back({"accuracy of the classifier, FreqShapes (%)", Better::neither});
  e.metrics.push_back({"accuracy of the classifier, low variance (%)", Better::neither});
  e.variants = {{"random", "uniform scores"},
                {"|x|", "large values; on FreqShapes these are the truth"},
                {"1 - |x|", "small values"},
                {"gradient x input", "of the predicted class's logit, absolute"},
                {"integrated gradients", "50 steps from 0, absolute"},
                {"integrated gradients, from the mean", "50 steps from the training mean, absolute"},
                {"optimised mask", "a mask for each series by descent (Dynamask in small), a fifth kept"},
                {"TimeX", "mask generator and surrogate, straight-through masks, all losses"},
                {"TimeX, soft masks", "the soft sample instead of 0 and 1"},
                {"TimeX, no MBC", "without the loss of relations between embeddings"},
                {"TimeX, no label term", "without the loss of relations between labels"},
                {"TimeX, surrogate at random", "the surrogate does not start as the classifier"}};
  e.baseline = "integrated gradients";
  e.method = "TimeX";
  e.run = run;
  return e;
}

}  // namespace plumb::methods::timex
