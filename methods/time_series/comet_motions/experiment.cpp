// COMET without patients on a real set: motions recorded by a watch, whose recordings are cut into windows.
#include <algorithm>

#include "engine/data/heartbeats.h"
#include "engine/data/time_series.h"
#include "methods/experiment.h"
#include "methods/time_series/comet/sampling.h"
#include "methods/time_series/comet/study.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb::methods::comet_motions {
namespace {

using namespace comet;

constexpr int64_t kLength = 50, kHop = 25;            // of windows, in tenths of a second: three from a recording of ten seconds
constexpr int64_t kRecordings = 1;                    // of each class, whose labels are known where few are
constexpr double kRate = 1e-3, kFinetuneRate = 1e-3;  // the same for all variants
constexpr const char *kFew = "macro-F1, one recording a class (%)", *kFewFrozen = "macro-F1, frozen, one recording a class (%)";
constexpr const char* kClasses = "classes";           // four of the published set, two of made-up heartbeats

// Every recording [C, L] as windows; its number is its trial's, and its patient's, of whom nothing is known.
Windows cut(const Tensor& recordings, const std::vector<int64_t>& labels) {
  int64_t n = recordings.size(0), windows = (recordings.size(2) - kLength) / kHop + 1;
  Tensor series = reshape(permute(sliding_window(recordings, 2, kLength, kHop), {0, 2, 3, 1}), {n * windows, kLength, recordings.size(1)});
  std::vector<int64_t> label, trial;
  for (int64_t r = 0; r < n; ++r)
    for (int64_t w = 0; w < windows; ++w) label.push_back(labels[static_cast<size_t>(r)]), trial.push_back(r);
  return {contiguous(series), from_vector(label), from_vector(trial), from_vector(trial)};
}

struct Problem {
  Windows train, test, few;
  int64_t classes;
  temporal::DilatedEncoder start;
};

// One recording of each made-up patient, in place of the published set.
SeriesSet made_up(int64_t patients, uint64_t seed) {
  data::Heartbeats h = data::heartbeats({.patients = patients, .trials = 1, .windows = 1, .length = 100, .effect = 0.3, .seed = seed});
  SeriesSet set{.class_names = {"well", "ill"}};
  for (int64_t i = 0; i < h.series.size(0); ++i) set.series.push_back(contiguous(mT(select(h.series, 0, i))));
  set.labels = to_vector<int64_t>(h.labels);
  return set;
}

Problem make_problem(const Cell& cell) {
  Generator& g = default_generator();
  auto published = cell.budget() == Budget::smoke ? std::optional<data::SeriesSetParts>() : data::find_ts_set("BasicMotions");
  data::SeriesSetParts parts = published ? *published
                                         : data::SeriesSetParts{made_up(cell.pick<int64_t>(6, 40, 40), g.next_u64()),
                                                                made_up(cell.pick<int64_t>(6, 40, 40), g.next_u64())};
  // Both parts together, dealt out anew by the seed: forty recordings say little in one split.
  int64_t half = parts.train.size();
  std::vector<int64_t> labels = parts.train.labels;
  labels.insert(labels.end(), parts.test.labels.begin(), parts.test.labels.end());
  SeriesSet all = parts.train;
  all.series.insert(all.series.end(), parts.test.series.begin(), parts.test.series.end());
  Windows windows = cut(all.stacked(), labels);
  auto classes = static_cast<int64_t>(parts.train.class_names.size());
  auto split = patient_split(windows.patients, windows.labels, {half, all.size() - half}, g);
  Windows train = windows.at(split[0]), test = windows.at(split[1]);
  Tensor mean = plumb::mean(train.series, {0, 1}), scale = clamp_min(std_dev(train.series, {0, 1}, 0), 1e-6);
  train.series = (train.series - mean) / scale, test.series = (test.series - mean) / scale;
  Windows few = train.at(patient_split(train.patients, train.labels, {std::min(half, kRecordings * classes)}, g)[0]);
  return {train, test, few, classes,
          temporal::DilatedEncoder({.channels = all.channels(),
                                    .depth = cell.pick<int64_t>(2, 3, 4),
                                    .hidden = cell.pick<int64_t>(8, 16, 32),
                                    .output = cell.pick<int64_t>(8, 32, 64)})};
}

PretrainOptions options_of(const Cell& cell) {
  PretrainOptions o{.comet = {.weights = {0, 1.0 / 3, 1.0 / 3, 1.0 / 3}, .own_views = false}};
  if (cell.is("no pre-training")) o.kind = Pretraining::none;
  if (cell.is("SimCLR")) o.kind = Pretraining::simclr;
  if (cell.is("sample + observation")) o.comet.weights = {0, 0, 0.5, 0.5};
  o.epochs = cell.pick<int64_t>(1, 50, 100);
  o.batch = cell.pick<int64_t>(16, 30, 30);
  o.lr = kRate;
  return o;
}

void run(Cell& cell) {
  auto p = cell.shared("motions", [&] { return make_problem(cell); });
  PretrainOptions o = options_of(cell);
  o.each_epoch = [&](int64_t epoch, const temporal::DilatedEncoder&) {
    cell.progress(0.7 * static_cast<double>(epoch) / static_cast<double>(o.epochs));
  };
  Generator g(cell.seed() + 1);
  temporal::DilatedEncoder encoder = pretrained(p->start, p->train, o, g);
  auto tuned = [&](const Windows& labelled, uint64_t stream) {
    manual_seed(cell.seed() * 16 + stream);
    Generator order(cell.seed() * 16 + stream);
    return finetuned(encoder, labelled, {}, p->test, p->classes,
                     {.epochs = cell.pick<int64_t>(2, 40, 40), .batch = 16, .lr = kFinetuneRate}, order);
  };
  cell.metric(kFew, tuned(p->few, 1).f1);
  cell.progress(0.8);
  cell.metric("macro-F1, all labels (%)", tuned(p->train, 2).f1);
  cell.metric(kFewFrozen, frozen(encoder, p->few, p->test, p->classes).f1);
  cell.metric("macro-F1, frozen, all labels (%)", frozen(encoder, p->train, p->test, p->classes).f1);
  cell.metric(kClasses, static_cast<double>(p->classes));
}

}  // namespace

Experiment experiment() {
  return {
      .title = "COMET on motions",
      .paper = "Wang, Han, Wang and Zhang, Contrast Everything: A Hierarchical Contrastive Framework for Medical Time-Series, NeurIPS 2023",
      .claim = "the level of recordings helps on a real set too",
      .metrics = {{kFew, Better::higher},
                  {"macro-F1, all labels (%)", Better::higher},
                  {kFewFrozen, Better::higher},
                  {"macro-F1, frozen, all labels (%)", Better::higher},
                  {kClasses, Better::neither}},
      .variants = {{"no pre-training", "the same encoder, fine-tuned from its random start"},
                   {"SimCLR", "windows' vectors of two views contrasted by cosines"},
                   {"sample + observation", "the two lower levels, as TS2Vec"},
                   {"COMET, three levels", "recordings, windows and steps: whose motions they are is not told"}},
      .baseline = "sample + observation",
      .method = "COMET, three levels",
      .run = run,
  };
}

}  // namespace plumb::methods::comet_motions
