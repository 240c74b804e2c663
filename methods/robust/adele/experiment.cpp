// ADELE on small scenes of which most training masks are drawn too small or too large, against plain training, early stopping, consistency
// alone and correction at one epoch for all classes.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "engine/autograd/grad_mode.h"
#include "engine/data/dataset.h"
#include "methods/common/annotation_noise.h"
#include "methods/common/label_noise.h"
#include "methods/experiment.h"
#include "methods/robust/adele/consistency.h"
#include "methods/robust/adele/label_store.h"
#include "methods/robust/adele/scenes.h"
#include "models/metrics/confusion.h"
#include "models/optim/adam.h"
#include "models/optim/schedule.h"
#include "models/train/image_grid.h"
#include "models/unet/segmentation.h"
#include "ops/index.h"
#include "ops/join.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb::methods::adele {
namespace {

constexpr int64_t kSize = 32, kClasses = 4, kBatch = 8;
constexpr double kRate = 3e-3, kTau = 0.7;
constexpr double kBadMasks = 0.7;      // share of the training masks that are drawn too small or too large
constexpr int64_t kEvery = 5;          // epochs between two corrections of a class
constexpr double kCommonOnset = 0.25;  // of training, where all classes are corrected at one epoch
const std::vector<double> kScales{0.75, 1, 1.5};
const std::vector<std::string> kNames{"background", "disc", "bar", "ring"};

struct Problem {
  Scenes train, choose, test;
  Tensor noisy;  // [n, 32, 32]
  unet::SegmentationUnet initial;
};

Problem make_problem(const Cell& cell) {
  Generator& g = default_generator();
  int64_t n = cell.pick<int64_t>(10, 80, 300);
  Scenes train = make_scenes(n, kSize, g), choose = make_scenes(cell.pick<int64_t>(5, 30, 100), kSize, g),
         test = make_scenes(cell.pick<int64_t>(5, 100, 300), kSize, g);
  Tensor noisy = inject_annotation_noise(train.masks, kClasses, g, {.share = kBadMasks, .least = 1, .most = 2, .reference_area = 0});
  return {train, choose, test, noisy, unet::SegmentationUnet({.in_channels = 3, .classes = kClasses, .width = 8, .depth = 2})};
}

enum class Correct : uint8_t { never, at_onset, at_one_epoch };

struct Way {
  std::vector<double> scales{1};
  double lambda = 0;
  Correct correct = Correct::never;
};

Way way_of(const std::string& variant) {
  if (variant == "correction, one scale") return {.correct = Correct::at_onset};
  if (variant == "consistency") return {kScales, 1};
  if (variant == "correction at one epoch") return {kScales, 1, Correct::at_one_epoch};
  if (variant == "ADELE") return {kScales, 1, Correct::at_onset};
  return {};
}

struct Point {
  double epoch, test, choose, memorised, right;
};

struct Outcome {
  std::vector<Point> points;
  std::vector<std::vector<double>> iou;                  // of training, a class each
  std::vector<std::pair<int64_t, int64_t>> corrections;  // epoch and class
  Tensor labels;                                         // at the end
};

using Net = unet::SegmentationUnet;

// Probabilities [n, C, H, W] of all images in evaluation mode, the mean over the scales.
Tensor predict(Net& net, const Tensor& images, const std::vector<double>& scales) {
  NoGrad no_grad;
  net.eval();
  std::vector<Tensor> parts;
  for (const Tensor& part : split(images, 50)) parts.push_back(mean_probabilities(multiscale_logits(net, part, scales)));
  net.train();
  return cat(parts, 0);
}

double mean_iou(const Tensor& predicted, const Tensor& masks) {
  metrics::ConfusionMatrix counts(kClasses);
  counts.add(predicted, masks);
  return 100 * counts.mean_iou();
}

class Training {
 public:
  Training(Cell& cell, const Problem& problem, const Way& way, double share)
      : cell_(cell),
        p_(problem),
        way_(way),
        share_(share),
        epochs_(cell.pick<int64_t>(3, 40, 100)),
        net_(problem.initial),
        store_(problem.noisy, kClasses),
        onsets_(kClasses, {.r = 0.9, .entries = epochs_ + 1, .every = kEvery}) {}

  Outcome run() {
    Generator g(cell_.seed());
    optim::Adam adam(net_.parameters(), {.lr = kRate});
    optim::Schedule schedule = optim::cosine(epochs_, 1, 0.1);
    // A class that is learnt within the first epoch would have a flat history: it begins before training, where the curve has its 0.
    onsets_.record(std::vector<double>(kClasses, 0));
    for (int64_t epoch = 1; epoch <= epochs_; ++epoch) {
      adam.set_lr_scale(schedule(epoch - 1));
      onsets_.record(train_epoch(adam, g));
      for (int64_t c : corrected_now(epoch)) out_.corrections.emplace_back(epoch, c);
      if (epoch % std::max<int64_t>(1, epochs_ / 20) == 0 || epoch == epochs_) note(epoch);
      cell_.progress(share_ * static_cast<double>(epoch) / static_cast<double>(epochs_));
    }
    for (int64_t c = 0; c < kClasses; ++c) out_.iou.push_back(onsets_.history(c));
    out_.labels = store_.labels();
    return out_;
  }

 private:
  // Returns the IoU of every class: predictions at scale 1 in training mode against the labels as they were given.
  std::vector<double> train_epoch(optim::Adam& adam, Generator& g) {
    metrics::ConfusionMatrix counts(kClasses);
    Tensor weights = equal_weights(way_.scales.size());
    auto plain = static_cast<size_t>(std::find(way_.scales.begin(), way_.scales.end(), 1.0) - way_.scales.begin());
    auto order = data::random_order(p_.noisy.size(0), g);
    for (size_t from = 0; from < order.size(); from += kBatch) {
      Tensor at = from_vector(std::vector<int64_t>(order.begin() + static_cast<int64_t>(from),
                                                   order.begin() + static_cast<int64_t>(std::min(order.size(), from + kBatch))));
      auto logits = multiscale_logits(net_, index_select(p_.train.images, 0, at), way_.scales);
      Tensor loss = multiscale_loss(logits, weights, index_select(store_.labels(), 0, at), {.lambda = way_.lambda, .average = true});
      adam.zero_grad();
      loss.backward();
      adam.step();
      counts.add(argmax(logits[plain].detach(), 1), index_select(store_.original(), 0, at));
    }
    return counts.iou();
  }

  // Corrects what is due at the end of an epoch.
  std::vector<int64_t> corrected_now(int64_t epoch) {
    std::vector<int64_t> due;
    auto common = static_cast<int64_t>(std::ceil(kCommonOnset * static_cast<double>(epochs_)));
    if (way_.correct == Correct::at_onset) due = onsets_.due();
    if (way_.correct == Correct::at_one_epoch && epoch >= common && (epoch - common) % kEvery == 0) due = {1, 2, 3};
    if (due.empty()) return due;
    Tensor probabilities = predict(net_, p_.train.images, way_.scales);
    for (int64_t i = 0; i < probabilities.size(0); ++i)
      store_.correct(i, select(probabilities, 0, i), due, {.tau = kTau, .protect_foreground = true});
    return due;
  }

  void note(int64_t epoch) {
    auto classes = [&](const Tensor& images) { return argmax(predict(net_, images, {1}), 1); };
    NoiseAudit a = audit(flatten(classes(p_.train.images)), {flatten(p_.noisy), flatten(p_.train.masks)});
    out_.points.push_back({static_cast<double>(epoch), mean_iou(classes(p_.test.images), p_.test.masks),
                           mean_iou(classes(p_.choose.images), p_.choose.masks), 100 * a.memorised, 100 * a.corrected});
  }

  Cell& cell_;
  const Problem& p_;
  Way way_;
  double share_;
  int64_t epochs_;
  Net net_;
  LabelStore store_;
  OnsetSchedule onsets_;
  Outcome out_;
};

// True, given and present labels of the first scenes below their images.
Tensor picture_of(const Problem& p, const Tensor& labels) {
  int64_t n = std::min<int64_t>(8, labels.size(0));
  auto rows = [n](const Tensor& masks) {  // each class in its own colour
    return to(narrow(permute(one_hot(narrow(masks, 0, 0, n), kClasses), {0, 3, 1, 2}), 1, 1, kClasses - 1), f32);
  };
  Tensor images = clamp(narrow(p.train.images, 0, 0, n), 0, 1);
  return train::image_grid(cat({images, rows(p.train.masks), rows(p.noisy), rows(labels)}, 0), {.columns = n});
}

void report(Cell& cell, const Outcome& o) {
  for (const Point& at : o.points) {
    cell.point("test mIoU (%)", "epochs", at.epoch, at.test);
    cell.point("corrupted training pixels predicted as labelled (%)", "epochs", at.epoch, at.memorised);
    cell.point("corrupted training pixels predicted as they are (%)", "epochs", at.epoch, at.right);
  }
  for (int64_t c = 1; c < kClasses; ++c) {
    auto at = static_cast<size_t>(c);
    for (size_t e = 0; e < o.iou[at].size(); ++e)
      if (std::isfinite(o.iou[at][e]))
        cell.point("training IoU with the given labels", "epochs", static_cast<double>(e), o.iou[at][e], kNames[at]);
  }
  for (const auto& [epoch, c] : o.corrections)
    cell.point("classes corrected", "epochs", static_cast<double>(epoch), static_cast<double>(c), kNames[static_cast<size_t>(c)]);
}

void run(Cell& cell) {
  auto problem = cell.shared("scenes", [&] { return make_problem(cell); });
  const Problem& p = *problem;
  bool plain = cell.is("cross entropy") || cell.is("early stopping");
  Way way = way_of(cell.variant());
  Outcome outcome =
      plain ? *cell.shared("plain training", [&] { return Training(cell, p, way, 1).run(); }) : Training(cell, p, way, 1).run();
  report(cell, outcome);
  const auto& points = outcome.points;
  auto by = [&](double Point::*what) {
    return *std::max_element(points.begin(), points.end(), [what](const Point& a, const Point& b) { return a.*what < b.*what; });
  };
  Point judged = cell.is("early stopping") ? by(&Point::choose) : points.back();
  cell.metric("test mIoU (%)", judged.test);
  cell.metric("test mIoU, best epoch (%)", by(&Point::test).test);
  cell.metric("corrupted pixels as labelled (%)", judged.memorised);
  cell.metric("corrupted pixels as they are (%)", judged.right);
  cell.metric("mIoU of labels in use (%)", mean_iou(outcome.labels, p.train.masks));
  if (cell.is("ADELE")) cell.picture("scenes, true labels, given labels, corrected labels", picture_of(p, outcome.labels));
}

}  // namespace

Experiment experiment() {
  return {
      .title = "ADELE",
      .paper =
          "Liu, Liu, Zhu, Shen, Fernandez-Granda: Adaptive Early-Learning Correction for Segmentation from Noisy Annotations, CVPR 2022",
      .claim =
          "with most training masks drawn too small or too large, correcting each class's labels from the onset of its own memorisation "
          "keeps "
          "the last epoch's test mIoU up",
      .metrics = {{"test mIoU (%)"},
                  {"test mIoU, best epoch (%)", Better::neither},
                  {"corrupted pixels as labelled (%)", Better::lower},
                  {"corrupted pixels as they are (%)"},
                  {"mIoU of labels in use (%)"}},
      .variants = {{"cross entropy", "one scale, the last epoch"},
                   {"early stopping", "cross entropy; the epoch chosen on 30 scenes with true masks"},
                   {"consistency", "three scales, cross-entropy and consistency, no correction"},
                   {"correction at one epoch", "as ADELE, but all classes from the same epoch on, a quarter of training"},
                   {"correction, one scale", "each class from its onset on, without the other scales and consistency"},
                   {"ADELE", "three scales, consistency, each class corrected from its onset on"}},
      .baseline = "cross entropy",
      .method = "ADELE",
      .run = run};
}

}  // namespace plumb::methods::adele
