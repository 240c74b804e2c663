// Pre-training, fine-tuning and their scores.
#include "methods/time_series/comet/study.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

#include "engine/autograd/grad_mode.h"
#include "engine/core/error.h"
#include "engine/data/dataset.h"
#include "methods/common/logistic_regression.h"
#include "methods/time_series/comet/sampling.h"
#include "models/metrics/confusion.h"
#include "models/metrics/roc.h"
#include "models/optim/adam.h"
#include "ops/activation.h"
#include "ops/create.h"
#include "ops/index.h"
#include "ops/join.h"
#include "ops/loss.h"
#include "ops/normalize.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "ops/softmax.h"

namespace plumb::methods::comet {
namespace {

constexpr int64_t kAtOnce = 256;  // windows, where nothing is learned

// Two views' vectors as one step each: SimCLR's loss is the contrast of windows by cosines over the temperature.
Tensor simclr_loss(const temporal::DilatedEncoder& encoder, const Tensor& series, double temperature, Generator& g) {
  auto view = [&] {
    Tensor z = encoder(series, time_mask(TimeMask::continuous, series.size(0), series.size(1), g));
    return unsqueeze(normalize(temporal::series_vector(z)) * (1 / std::sqrt(temperature)), 1);
  };
  Tensor first = view();
  return instance_contrast(first, view());
}

// Batches of random windows; one of a single window, which has no statistics, is left out.
template <typename F>
void each_batch(int64_t n, int64_t batch, Generator& g, F&& f) {
  Tensor order = from_vector(data::random_order(n, g));
  for (int64_t from = 0; from < n; from += batch) {
    int64_t size = std::min(batch, n - from);
    if (size > 1 || n == 1) f(narrow(order, 0, from, size));
  }
}

Tensor probabilities_of(SeriesClassifier& net, const Tensor& series) {
  NoGrad off;
  net.eval();
  std::vector<Tensor> parts;
  for (const Tensor& part : split(series, kAtOnce)) parts.push_back(softmax(net(part), 1));
  net.train();
  return cat(parts);
}

}  // namespace

Windows Windows::at(const std::vector<int64_t>& places) const {
  Tensor at = from_vector(places);
  return {index_select(series, 0, at), index_select(labels, 0, at), index_select(patients, 0, at), index_select(trials, 0, at)};
}

temporal::DilatedEncoder pretrained(temporal::DilatedEncoder encoder, const Windows& windows, const PretrainOptions& o, Generator& g) {
  if (o.kind == Pretraining::none) return encoder;
  WeightAverager<temporal::DilatedEncoder> average(encoder);
  optim::AdamW adam(encoder.parameters(), {.lr = o.lr});
  GroupedBatches batches(o.grouped ? windows.trials : arange(windows.size()), o.batch);  // without groups every window is its own
  for (int64_t epoch = 1; epoch <= o.epochs; ++epoch) {
    for (const Tensor& at : batches.epoch(g)) {
      auto own = [&](const Tensor& x) { return index_select(x, 0, at); };
      Tensor loss = o.kind == Pretraining::simclr
                        ? simclr_loss(encoder, own(windows.series), o.simclr_temperature, g)
                        : comet_loss(encoder, {own(windows.series), own(windows.patients), own(windows.trials)}, o.comet, g);
      adam.zero_grad();
      loss.backward();
      adam.step();
      average.update(encoder);
    }
    if (o.each_epoch) o.each_epoch(epoch, average.model());
  }
  temporal::DilatedEncoder result = average.model();
  result.requires_grad_(true);
  return result;
}

Tensor vectors_of(const temporal::DilatedEncoder& encoder, const Tensor& series) {
  NoGrad off;
  temporal::DilatedEncoder still = encoder;
  still.eval();
  std::vector<Tensor> parts;
  for (const Tensor& part : split(series, kAtOnce)) parts.push_back(temporal::series_vector(still(part)));
  return cat(parts);
}

SeriesClassifier::SeriesClassifier(const temporal::DilatedEncoder& from, int64_t classes, int64_t width)
    : encoder(from),
      hidden_(this, "hidden", from.config().output, width),
      norm_(this, "norm", width),
      dropout_(this, "dropout", 0.1),
      output_(this, "output", width, classes) {
  register_module("encoder", encoder);
}

Tensor SeriesClassifier::operator()(const Tensor& series) const {
  return output_(dropout_(relu(norm_(hidden_(temporal::series_vector(encoder(series)))))));
}

Scores scores_of(const Tensor& probabilities, const Tensor& labels) {
  int64_t classes = probabilities.size(1);
  metrics::ConfusionMatrix confusion(classes);
  confusion.add(argmax(probabilities, 1), labels);
  Scores s{100 * confusion.macro_f1(), 0, 0};
  for (int64_t c = 0; c < classes; ++c) {
    Tensor positive = labels == c, score = contiguous(select(probabilities, 1, c));
    int64_t count = count_nonzero(positive).item<int64_t>();
    bool told = count > 0 && count < labels.numel();
    s.auroc += told ? 100 * metrics::roc_auc(score, positive) / static_cast<double>(classes) : std::numeric_limits<double>::quiet_NaN();
    s.auprc +=
        told ? 100 * metrics::average_precision(score, positive) / static_cast<double>(classes) : std::numeric_limits<double>::quiet_NaN();
  }
  return s;
}

Scores finetuned(const temporal::DilatedEncoder& encoder, const Windows& labelled, const Windows& validation, const Windows& test,
                 int64_t classes, const FinetuneOptions& o, Generator& g) {
  SeriesClassifier net(encoder, classes), best = net;
  optim::AdamW adam(net.parameters(), {.lr = o.lr});
  double highest = -1;
  bool chooses = validation.labels.defined() && validation.size() > 0;
  for (int64_t epoch = 1; epoch <= o.epochs; ++epoch) {
    each_batch(labelled.size(), o.batch, g, [&](const Tensor& at) {
      Tensor loss = cross_entropy(net(index_select(labelled.series, 0, at)), index_select(labelled.labels, 0, at));
      adam.zero_grad();
      loss.backward();
      adam.step();
    });
    if (o.each_epoch) o.each_epoch(epoch);
    if (!chooses) continue;
    double f1 = scores_of(probabilities_of(net, validation.series), validation.labels).f1;
    if (f1 >= highest) highest = f1, best.load_state(net.state());
  }
  return scores_of(probabilities_of(chooses ? best : net, test.series), test.labels);
}

Scores frozen(const temporal::DilatedEncoder& encoder, const Windows& labelled, const Windows& test, int64_t classes) {
  Tensor train = vectors_of(encoder, labelled.series), mean = plumb::mean(train, {0}), scale = clamp_min(std_dev(train, {0}, 0), 1e-6);
  LogisticRegression regression((train - mean) / scale, labelled.labels, classes);
  return scores_of(regression.probabilities((vectors_of(encoder, test.series) - mean) / scale), test.labels);
}

std::vector<int64_t> few_windows(const Windows& windows, double share, Generator& g) {
  if (!(share > 0 && share <= 1)) throw ValueError(fmt::format("few_windows: the share must lie in (0, 1], it is {}", share));
  std::map<int64_t, std::vector<int64_t>> by_class;
  std::vector<int64_t> labels = to_vector<int64_t>(windows.labels), chosen;
  for (int64_t at : data::random_order(windows.size(), g)) by_class[labels[static_cast<size_t>(at)]].push_back(at);
  for (auto& [label, places] : by_class) {
    auto wanted = static_cast<int64_t>(std::llround(share * static_cast<double>(places.size())));
    places.resize(static_cast<size_t>(
        std::clamp<int64_t>(wanted, std::min<int64_t>(2, static_cast<int64_t>(places.size())), static_cast<int64_t>(places.size()))));
    chosen.insert(chosen.end(), places.begin(), places.end());
  }
  return chosen;
}

}  // namespace plumb::methods::comet
