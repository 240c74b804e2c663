// Happy on digits: four known classes, then three stages of unlabelled images with two new ones each, against SimGCD and ablations.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "engine/data/digits/digits.h"
#include "engine/data/images.h"
#include "methods/common/image_sets.h"
#include "methods/continual/happy/discovery.h"
#include "methods/continual/happy/learner.h"
#include "methods/experiment.h"
#include "models/augment/augment.h"
#include "models/cluster/kmeans.h"
#include "ops/elementary.h"
#include "ops/join.h"
#include "ops/matmul.h"
#include "ops/normalize.h"
#include "ops/pointwise.h"
#include "ops/pool.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb::methods::happy {
namespace {

// Of stage 0, and of the stages after it. Nothing holds SimGCD's features, which a larger rate would sweep away.
constexpr double kKnownRate = 0.05, kStageRate = 0.1, kUnheldRate = 0.03;
constexpr int64_t kKnown = 4, kStages = 3, kViews = 6;

struct Source {
  data::DatasetParts parts;
  DiscoveryCounts counts;
  int64_t test;  ///< of each class
  bool halved;   ///< images of 28 × 28 are used at half of their resolution, but augmented before
};

Source source_of(const Cell& cell) {
  bool there = images_there("mnist");
  if (cell.budget() == Budget::smoke) return {data::digits(), {.labelled = 30, .fresh = 30, .old = 6}, 10, false};
  if (!there) return {data::digits(), {.labelled = 70, .fresh = 70, .old = 10}, 30, false};
  auto first = [](data::Dataset set, int64_t n) { return set.take(n); };
  return {{[first] { return first(data::mnist().train(), 12'000); }, [first] { return first(data::mnist().test(), 4000); }},
          {.labelled = 400, .fresh = 300, .old = 30},
          200,
          true};
}

/// Shifts of up to an eighth of the side (3 of 28 pixels are 0.11), ±15°, scales of 0.83 to 1.2.
Tensor augmented(const Tensor& images, bool halved, Generator& g) {
  Tensor views = augment::random_affine(images, {.degrees = 15, .translate = 0.11, .scale = 0.2}, g);
  return halved ? avg_pool2d(views, 2) : views;
}

Tensor views_of(const Tensor& images, bool halved, Generator& g) {
  std::vector<Tensor> views;
  for (int64_t v = 0; v < kViews; ++v) views.push_back(augmented(images, halved, g));
  return stack(views, 0);
}

DiscoveryTraining training_of(Cell& cell, double lr, int64_t epochs) {
  return {.epochs = epochs, .batch = cell.pick<int64_t>(32, 96, 128), .lr = lr, .progress = [&](double) { cell.progress(0.5); }};
}

/// What all variants of a seed begin with. The stem is fixed after stage 0, so its outputs serve all of them.
struct Beginning {
  HappyLearner learner;
  std::vector<DiscoveryStage> stages;
  std::vector<StageInputs> inputs;  ///< stems of stage 1, 2, …
  std::vector<Tensor> tests;        ///< stems of each stage's test images
};

Beginning make_beginning(Cell& cell) {
  Generator& g = default_generator();
  Source source = source_of(cell);
  const DiscoveryCounts& counts = source.counts;
  ContinualStream stream = class_stream(source.parts, {.tasks = kStages + 1,
                                                       .first = kKnown,
                                                       .per_class = std::max(counts.labelled, counts.fresh) + kStages * counts.old,
                                                       .test_per_class = source.test,
                                                       .seed = g.next_u64()});
  std::vector<DiscoveryStage> stages = discovery_stages(stream, counts, g.next_u64());
  auto seen = [&](const Tensor& images) { return source.halved ? avg_pool2d(images, 2) : images; };
  DiscoveryNet net({.side = seen(stages[0].x).size(2), .classes = kKnown});
  Beginning b{HappyLearner(net), stages, {}, {}};
  StageInputs known{views_of(stages[0].x, source.halved, g), seen(stages[0].x)};
  b.learner.learn_known(known, stages[0].truth, {}, training_of(cell, kKnownRate, cell.pick<int64_t>(15, 15, 30)), g);
  for (const DiscoveryStage& stage : stages) {
    b.tests.push_back(stems_of(b.learner.net(), seen(stage.test_x)));
    if (stage.known == 0) continue;
    Tensor views = stems_of(b.learner.net(), views_of(stage.x, source.halved, g));
    b.inputs.push_back({views, stems_of(b.learner.net(), seen(stage.x))});
    cell.progress(0.1);
  }
  return b;
}

HappyOptions options_of(const Cell& cell) {
  HappyOptions o;
  if (cell.is("SimGCD") || cell.is("SimGCD and distillation")) {
    o.soft = o.cluster_init = false;
    o.prototypes = 0;
    if (cell.is("SimGCD")) o.distillation = 0;
  }
  if (cell.is("random new rows")) o.cluster_init = false;
  if (cell.is("plain entropy")) o.soft = false;
  if (cell.is("no prototypes")) o.prototypes = 0;
  if (cell.is("uniform prototypes")) o.hardness = std::numeric_limits<double>::infinity();
  return o;
}

/// The nearest centre of k-means on the stage's features, as stage 0 left the network.
Tensor clustered(const HappyLearner& learner, const StageInputs& inputs, const Tensor& tests, int64_t classes, Generator& g) {
  Tensor unit = normalize(to(learner.features(inputs.plain), f64)), test = normalize(to(learner.features(tests), f64));
  Tensor centres = cluster::kmeans(unit, classes, {.generator = &g}).centres;
  Tensor distance = unsqueeze(sum(square(centres), {1}), 0) - 2 * matmul(test, mT(centres));
  return argmin(distance, 1);
}

/// What is kept of the stages.
struct Course {
  DiscoveryAccuracy last;
  double all = 0, fresh = 0, off = 0;  ///< means over stages; `off`: |share predicted as old − share that is old|
};

void note(Course& course, const DiscoveryAccuracy& a, const DiscoveryStage& stage, size_t t, Cell& cell) {
  double old = 100 * static_cast<double>(stage.known) / static_cast<double>(stage.known + stage.fresh), at = static_cast<double>(t);
  course.last = a;
  course.all += a.all / kStages;
  course.fresh += a.fresh / kStages;
  course.off += std::abs(a.predicted_old - old) / kStages;
  for (auto [what, value] : {std::pair{"all classes (%)", a.all},
                             {"old classes (%)", a.old},
                             {"new classes (%)", a.fresh},
                             {"classes of stage 0 (%)", a.base},
                             {"predicted as old (%)", a.predicted_old}})
    cell.point(what, "stage", at, value);
}

void run(Cell& cell) {
  auto beginning = cell.shared("stages and known classes", [&] { return make_beginning(cell); });
  HappyLearner learner = beginning->learner;
  bool frozen = cell.is("frozen and k-means");
  Generator g(cell.seed() + 1);
  const DiscoveryStage& zero = beginning->stages[0];
  double start = discovery_accuracy(argmax(learner.logits(beginning->tests[0]), 1), zero.test_labels, 0, kKnown).all;
  cell.point("classes of stage 0 (%)", "stage", 0, start);
  Course course;
  for (size_t t = 1; t < beginning->stages.size(); ++t) {
    const DiscoveryStage& stage = beginning->stages[t];
    const StageInputs& inputs = beginning->inputs[t - 1];
    Tensor predicted;
    if (frozen) {
      predicted = clustered(learner, inputs, beginning->tests[t], stage.known + stage.fresh, g);
    } else {
      double rate = cell.is("SimGCD") ? kUnheldRate : kStageRate;
      learner.discover(inputs, stage.fresh, options_of(cell), training_of(cell, rate, cell.pick<int64_t>(4, 20, 30)), g);
      predicted = argmax(learner.logits(beginning->tests[t]), 1);
    }
    note(course, discovery_accuracy(predicted, stage.test_labels, stage.known, kKnown), stage, t, cell);
    cell.progress(static_cast<double>(t) / kStages);
  }
  cell.metric("all, last stage (%)", course.last.all);
  cell.metric("old, last stage (%)", course.last.old);
  cell.metric("new, last stage (%)", course.last.fresh);
  cell.metric("all, mean of stages (%)", course.all);
  cell.metric("new, mean of stages (%)", course.fresh);
  cell.metric("classes of stage 0, lost (points)", start - course.last.base);
  cell.metric("predicted as old, last stage (%)", course.last.predicted_old);
  cell.metric("predicted as old, off by (points)", course.off);
}

}  // namespace

Experiment experiment() {
  return {.title = "Happy",
          .paper = "Ma et al., Happy: A Debiased Learning Framework for Continual Generalized Category Discovery, NeurIPS 2024",
          .claim = "a classifier that discovers new classes stage by stage neither takes everything for an old class nor forgets these",
          .metrics = {{"all, last stage (%)", Better::higher},
                      {"old, last stage (%)", Better::higher},
                      {"new, last stage (%)", Better::higher},
                      {"all, mean of stages (%)", Better::higher},
                      {"new, mean of stages (%)", Better::higher},
                      {"classes of stage 0, lost (points)", Better::lower},
                      {"predicted as old, last stage (%)", Better::neither},
                      {"predicted as old, off by (points)", Better::lower}},
          .variants = {{"frozen and k-means", "the network of stage 0, and k-means on its features"},
                       {"SimGCD", "self-distillation, contrast and the entropy over all classes, stage after stage"},
                       {"SimGCD and distillation", "held to the features of the network before"},
                       {"random new rows", "Happy without clustering for the new rows of the head"},
                       {"plain entropy", "Happy with the entropy over all classes at once"},
                       {"no prototypes", "Happy without drawn features of old classes"},
                       {"uniform prototypes", "Happy with all old classes drawn alike"},
                       {"Happy", "clustered rows, entropy in groups, prototypes by hardness, distillation"}},
          .baseline = "SimGCD and distillation",
          .method = "Happy",
          .run = run};
}

}  // namespace plumb::methods::happy
