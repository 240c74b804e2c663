// Learning classes two by two without stored data: what is distilled or held, with which classification loss, from scratch and from a
// network pre-trained on garments.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <memory>

#include "engine/data/digits/digits.h"
#include "engine/data/images.h"
#include "engine/data/shapes.h"
#include "methods/common/image_sets.h"
#include "methods/common/pooled_cnn.h"
#include "methods/continual/rehearsal_free/rehearsal_free.h"
#include "methods/experiment.h"
#include "ops/pool.h"

namespace plumb::methods::rehearsal_free {
namespace {

using Net = PooledCnn;

constexpr int64_t kTasks = 5;
// Learning rates of softmax and of multilabel losses, whose scale is 5.
constexpr double kSoftmaxRate = 0.02, kMultilabelRate = 0.02, kDecay = 2e-4;
constexpr double kClip = 2;  // of gradients, for all: where new classes come, softmax over all of them begins with a large loss
// What regularisers weigh, from scratch and from a pre-trained start.
// EWC's importances are cut at this share of 1 / (μ_e rate): the sum over five tasks then stays below where explicit steps diverge.
constexpr double kStiffest = 0.5;
struct Weights {
  double features, l2, ewc;
};
constexpr Weights kScratch{1, 0.05, 3}, kPretrained{1, 0.05, 3};

// The smallest budget has two steps a task, so that what begins at 0 has a say.
int64_t batch_of(const Cell& cell) { return cell.pick<int64_t>(12, 32, 64); }

struct Settings {
  const char* name;
  Weights weights;
  Net start;
};
struct Problem {
  ContinualStream stream;
  std::vector<Settings> settings;
  uint64_t seed;
};

struct Sources {
  data::DatasetParts stream, other;  // classes that come two by two, and what a network was trained on before
  bool halved;
};

data::DatasetParts first_of(const data::DatasetParts& parts, int64_t train, int64_t test) {
  return {[parts, train] { return parts.train().take(train); }, [parts, test] { return parts.test().take(test); }};
}

// MNIST and Fashion-MNIST in half their resolution where they are; tests always take the digits that the library carries, and rendered
// shapes to begin with.
Sources sources_of(const Cell& cell) {
  if (cell.budget() != Budget::smoke && images_there("mnist") && images_there("fashion_mnist"))
    return {first_of(data::mnist(), 8000, 3000), first_of(data::fashion_mnist(), 5000, 100), true};
  auto shapes = [] { return data::shapes(100, {.size = 8, .channels = 1, .max_shapes = 1}); };
  return {data::digits(), {shapes, shapes}, false};
}

Net new_net(int64_t side) {
  Net net({.channels = 1, .height = side, .width = side, .first = 8, .features = 64});
  start_without_norms(net);
  return net;
}

// A copy of `start` trained on all classes of the other data at once; its head is a new one.
Net pretrained(const Net& start, const Sources& sources, int64_t epochs, int64_t batch, uint64_t seed) {
  ContinualStream all = class_stream(sources.other, {.tasks = 1, .seed = seed});
  if (sources.halved) all.tasks[0].train.x = avg_pool2d(all.tasks[0].train.x, 2);
  ContinualTrainer<Net> trainer(start, {.epochs = epochs,
                                        .batch = batch,
                                        .sgd = {.lr = kSoftmaxRate, .momentum = 0.9, .weight_decay = kDecay},
                                        .clip = kClip,
                                        .seed = seed});
  trainer.learn(all, 0);
  Net net = trainer.model();
  net.head = start.head;
  return net;
}

Problem make_problem(const Cell& cell) {
  uint64_t seed = default_generator().next_u64();
  Sources sources = sources_of(cell);
  ContinualStream stream = class_stream(
      sources.stream,
      {.tasks = kTasks, .per_class = cell.pick<int64_t>(12, 300, 600), .test_per_class = cell.pick<int64_t>(10, 200, 200), .seed = seed});
  for (ContinualTask& task : stream.tasks)
    if (sources.halved) task.train.x = avg_pool2d(task.train.x, 2), task.test.x = avg_pool2d(task.test.x, 2);
  Net scratch = new_net(stream.tasks[0].train.x.size(2));
  Net before = pretrained(scratch, sources, cell.pick<int64_t>(1, 6, 20), batch_of(cell), seed);
  return {std::move(stream), {{"from scratch", kScratch, scratch}, {"pre-trained", kPretrained, before}}, seed};
}

struct Row {
  const char* name;
  Classification classification;
  Regulariser regulariser;
  const char* about;
};
using C = Classification;
using R = Regulariser;
constexpr std::array kRows{
    Row{"naive, CE", C::softmax, R::none, "softmax over all classes seen"},
    Row{"naive, BCE", C::global_bce, R::none, "independent outputs for all classes seen, old ones' target 0"},
    Row{"local BCE", C::local_bce, R::none, "independent outputs for the task's own classes"},
    Row{"FT++", C::local_softmax, R::none, "softmax over the task's own classes"},
    Row{"CE + KD", C::softmax_distilled, R::none, "softmax, and distillation of softened old outputs (LwF)"},
    Row{"PredKD", C::predkd, R::none, "independent outputs, old ones' targets from the network of before (LwF.MC)"},
    Row{"PredKD + FeatKD", C::predkd, R::features, "features held by distillation"},
    Row{"PredKD + EWC", C::predkd, R::ewc, "backbone held by Fisher information"},
    Row{"PredKD + L2", C::predkd, R::l2, "backbone held near its latest weights, from the first task on"},
    Row{"PredKD + L2, later", C::predkd, R::l2_later, "from the second task on"},
    Row{"PredKD + L2, then EWC", C::predkd, R::l2_then_ewc, "L2 in the first task, EWC afterwards"},
    Row{"PredKD, frozen", C::predkd, R::freeze, "the head alone is trained"},
    Row{"local BCE + FeatKD", C::local_bce, R::features, "own classes alone, features distilled"},
    Row{"local BCE + EWC", C::local_bce, R::ewc, "own classes alone, backbone held by Fisher information"},
    Row{"local BCE + L2", C::local_bce, R::l2, "own classes alone, backbone held near its latest weights"},
    Row{"BCE + FeatKD", C::global_bce, R::features, "all classes seen"},
    Row{"BCE + EWC", C::global_bce, R::ewc, "all classes seen"},
    Row{"BCE + L2", C::global_bce, R::l2, "all classes seen"},
    Row{"CE + FeatKD", C::softmax, R::features, "all classes seen"},
    Row{"CE + EWC", C::softmax, R::ewc, "all classes seen"},
    Row{"CE + L2", C::softmax, R::l2, "all classes seen"},
    Row{"FT++ + L2", C::local_softmax, R::l2, "softmax over the task's own classes"},
};
constexpr const char* kJoint = "joint";
constexpr const char* kReplay = "replay";
constexpr int64_t kStored = 20;  // examples of each class

double weight_of(Regulariser r, const Weights& w) {
  if (r == R::features) return w.features;
  return r == R::ewc || r == R::l2_then_ewc ? w.ewc : w.l2;
}

bool softmax_like(Classification c) { return c == C::softmax || c == C::softmax_distilled || c == C::local_softmax; }

struct Training {
  std::unique_ptr<ContinualMethod<Net>> method;
  double rate;
};
Training training_of(const std::string& variant, const Weights& weights) {
  if (variant == kJoint) return {std::make_unique<JointTraining<Net>>(), kSoftmaxRate};
  if (variant == kReplay) return {std::make_unique<Replay<Net>>(kStored), kSoftmaxRate};
  const Row& row = *std::ranges::find(kRows, variant, [](const Row& r) { return std::string(r.name); });
  RehearsalFreeOptions options{.classification = row.classification,
                               .regulariser = row.regulariser,
                               .weight = weight_of(row.regulariser, weights),
                               .l2_weight = weights.l2};
  double rate = softmax_like(row.classification) ? kSoftmaxRate : kMultilabelRate;
  options.fisher.largest = kStiffest / (weights.ewc * rate);
  return {std::make_unique<RehearsalFree<Net>>(options), rate};
}

double mean_seen(const ContinualResult& r, size_t t) {
  double sum = 0;
  for (size_t j = 0; j <= t; ++j) sum += r.accuracy[t][j];
  return sum / static_cast<double>(t + 1);
}

void run(Cell& cell) {
  auto problem = cell.shared("problem", [&] { return make_problem(cell); });
  for (size_t k = 0; k < problem->settings.size(); ++k) {
    const Settings& setting = problem->settings[k];
    auto at = [&](double share) { cell.progress((static_cast<double>(k) + share) / static_cast<double>(problem->settings.size())); };
    Training training = training_of(cell.variant(), setting.weights);
    ContinualTrainer<Net> learner(setting.start,
                                  {.epochs = cell.pick<int64_t>(1, 4, 20),
                                   .batch = batch_of(cell),
                                   .sgd = {.lr = training.rate, .momentum = 0.9, .weight_decay = kDecay},
                                   .clip = kClip,
                                   .seed = problem->seed,
                                   .progress = [&](size_t t, double share) { at((static_cast<double>(t) + share) / kTasks); }},
                                  std::move(training.method));
    ContinualResult result = run_continual(learner, problem->stream, [&](size_t t, const ContinualResult& r) {
      cell.point(fmt::format("accuracy on the classes seen, {} (%)", setting.name), "tasks learned", static_cast<double>(t + 1),
                 mean_seen(r, t));
    });
    cell.metric(fmt::format("final accuracy, {} (%)", setting.name), result.final_accuracy());
    cell.metric(fmt::format("forgetting, {} (points)", setting.name), result.forgetting());
    cell.metric(fmt::format("mean of running accuracies, {} (%)", setting.name), result.incremental_accuracy());
    cell.metric(fmt::format("predicted as of the last task, {} (%)", setting.name), result.recency);
    cell.metric(fmt::format("told the task, {} (%)", setting.name), result.within_accuracy());
  }
}

}  // namespace

Experiment experiment() {
  std::vector<Metric> metrics;
  for (auto [form, better] : {std::pair{"final accuracy, {} (%)", Better::higher},
                              {"forgetting, {} (points)", Better::lower},
                              {"mean of running accuracies, {} (%)", Better::higher},
                              {"predicted as of the last task, {} (%)", Better::neither},
                              {"told the task, {} (%)", Better::higher}})
    for (const char* setting : {"pre-trained", "from scratch"}) metrics.push_back({fmt::format(fmt::runtime(form), setting), better});
  std::vector<Variant> variants{{kJoint, "every task from the start on the examples of all tasks so far: the upper bound"},
                                {kReplay, "20 stored examples of each class, as many as new ones in each batch: not rehearsal-free"}};
  for (const Row& row : kRows) variants.push_back({row.name, row.about});
  return {.title = "Rehearsal-free",
          .paper = "Smith, Tian, Halbe, Hsu & Kira, A Closer Look at Rehearsal-Free Continual Learning, CVPR Workshops 2023",
          .claim =
              "Five tasks of two digits, one head, nothing stored: from a pre-trained network, plain L2 to the latest weights beats EWC "
              "and the "
              "distillation of features, each beside the distillation of predictions",
          .metrics = metrics,
          .variants = variants,
          .baseline = "PredKD",
          .method = "PredKD + L2",
          .run = run};
}

}  // namespace plumb::methods::rehearsal_free
