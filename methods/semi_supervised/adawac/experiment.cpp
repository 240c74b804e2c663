// AdaWAC on scenes of digits, dense, sparse and empty ones: do weights that play against the network find out which images carry the loss,
// and does that help?
#include "methods/experiment.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "engine/autograd/grad_mode.h"
#include "engine/data/digits/digits.h"
#include "methods/semi_supervised/adawac/pairs.h"
#include "models/metrics/correlation.h"
#include "models/metrics/segmentation.h"
#include "models/optim/adam.h"
#include "models/train/image_grid.h"
#include "models/unet/segmentation.h"
#include "ops/index.h"
#include "ops/join.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb::methods::adawac {

Experiment experiment();

namespace {

constexpr int64_t kBatch = 16;
constexpr double kLambda = 2, kEta = 1, kDiceRatio = 0.5;
constexpr double kEntropy = 0.01;    // of percentile DRO
constexpr double kQuantile = 0.421;  // of trim-ratio, as on Synapse

struct Problem {
  Scenes train, cut, test;  // `cut`: the same training images, half of the digits missing in the masks
  unet::SegmentationUnet initial;
  uint64_t seed;
};

data::Batch all_rows(const data::Dataset& set) { return set.batch(set.size()).next(); }

Problem make_problem(int64_t train, int64_t test) {
  auto digits = data::digits();
  auto seen = all_rows(digits.train()), unseen = all_rows(digits.test());
  uint64_t seed = default_generator().next_u64();
  Generator scenes(seed), again(seed), others(seed + 1);
  return {digit_scenes(train, seen.image, seen.label, {}, scenes), digit_scenes(train, seen.image, seen.label, {.cut = 0.5}, again),
          digit_scenes(test, unseen.image, unseen.label, {}, others),
          unet::SegmentationUnet({.in_channels = 1, .classes = 3, .width = 8, .depth = 2}), seed};
}

/// A variant's loss of a batch of pairs, and how much each image's cross-entropy counted.
class Objective {
 public:
  Objective(const Cell& cell, int64_t samples)
      : name_(cell.variant()),
        ratio_(cell.variant().ends_with("no Dice") ? 0 : kDiceRatio),
        adversary_(samples, kEta),
        batch_weights_(samples, kEta, cell.is("percentile DRO") ? kEntropy : 0),
        weight_(static_cast<size_t>(samples), std::nan("")) {}

  bool single_view() const { return name_ == "ERM" || name_ == "reweight only" || name_ == "percentile DRO"; }

  Tensor of_pair(const unet::SegmentationUnet& net, const PairBatch& batch) {
    PairParts parts = pair_parts(net, batch, kLambda);
    note_values(batch.index, parts);
    if (name_.starts_with("AdaWAC")) return weighted(parts, batch, adversary_.update(batch.index, parts.ce, parts.dac));
    if (name_ == "pseudo-AdaWAC") return weighted(parts, batch, nonempty(batch.mask1));
    if (name_ == "ACR only") return weighted(parts, batch, full({batch.index.numel()}, 0.5));
    if (name_ == "trim-train" || name_ == "trim-ratio") {
      Tensor keep = name_ == "trim-train" ? nonempty(batch.mask1) : trim_quantile_mask(parts.ce, kQuantile);
      note(batch.index, 0.5 * keep);
      return trimmed_loss(parts, keep, ratio_);
    }
    note(batch.index, ones({batch.index.numel()}));  // paired ERM
    return ratio_ * parts.dice + (1 - ratio_) * mean(parts.ce);
  }

  Tensor of_view(const unet::SegmentationUnet& net, const Tensor& image, const Tensor& mask, const Tensor& index) {
    Tensor logits = net(image), ce = unet::per_sample_cross_entropy(logits, mask);
    Tensor dice = unet::soft_dice_loss_with_logits(logits, mask), weights;
    double count = static_cast<double>(index.numel());
    if (name_ == "ERM")
      weights = full({index.numel()}, 1 / count);
    else
      weights = batch_weights_.update(index, ce);
    note(index, count * weights);
    return ratio_ * dice + (1 - ratio_) * sum(weights * ce);
  }

  /// Of each image at its last visit; NaN if it had none.
  const std::vector<double>& weights() const { return weight_; }
  /// The means of ce and dac over the images of a kind since the last call; NaN without.
  std::array<double, 2> values(const Scenes& scenes, SceneKind kind);
  void forget_values() { seen_.clear(); }

 private:
  struct Seen {
    size_t index;
    double ce, dac;
  };
  Tensor weighted(const PairParts& parts, const PairBatch& batch, const Tensor& beta) {
    note(batch.index, beta);
    return adawac_loss(parts, beta, ratio_);
  }
  void note(const Tensor& index, const Tensor& weights) {
    auto at = to_vector<int64_t>(index);
    auto w = to_vector(weights);
    for (size_t j = 0; j < at.size(); ++j) weight_[static_cast<size_t>(at[j])] = w[j];
  }
  void note_values(const Tensor& index, const PairParts& parts) {
    auto at = to_vector<int64_t>(index);
    auto ce = to_vector(parts.ce.detach()), dac = to_vector(parts.dac.detach());
    for (size_t j = 0; j < at.size(); ++j) seen_.push_back({static_cast<size_t>(at[j]), ce[j], dac[j]});
  }

  std::string name_;
  double ratio_;
  SampleWeights adversary_;
  BatchWeights batch_weights_;
  std::vector<double> weight_;
  std::vector<Seen> seen_;
};

std::array<double, 2> Objective::values(const Scenes& scenes, SceneKind kind) {
  std::array<double, 2> sums{};
  double count = 0;
  for (const Seen& s : seen_)
    if (scenes.kinds[s.index] == kind) sums[0] += s.ce, sums[1] += s.dac, ++count;
  return {sums[0] / count, sums[1] / count};
}

struct Quality {
  double dice = 0, hd = 0;                     // of dense images, both classes
  double sparse_dice = 0, false_positive = 0;  // of sparse images; share of the pixels of empty ones
};

Quality judged(const unet::SegmentationUnet& net, const Scenes& test) {
  NoGrad no_grad;
  Quality q;
  double dense = 0, sparse = 0, empty_images = 0;
  auto n = static_cast<int64_t>(test.kinds.size());
  for (int64_t start = 0; start < n; start += 50) {
    int64_t count = std::min<int64_t>(50, n - start);
    Tensor predicted = argmax(net(narrow(test.set.images, 0, start, count)), 1);
    for (int64_t i = 0; i < count; ++i) {
      Tensor p = contiguous(select(predicted, 0, i)), t = contiguous(select(test.set.masks, 0, start + i));
      SceneKind kind = test.kinds[static_cast<size_t>(start + i)];
      if (kind == SceneKind::empty) {
        q.false_positive += mean(to(p != 0, f64)).item();
        ++empty_images;
        continue;
      }
      double dice = 0.5 * (metrics::dice_score(p == 1, t == 1) + metrics::dice_score(p == 2, t == 2));
      if (kind == SceneKind::sparse) {
        q.sparse_dice += dice;
        ++sparse;
      } else {
        q.dice += dice;
        q.hd += 0.5 * (metrics::hd95(p == 1, t == 1) + metrics::hd95(p == 2, t == 2));
        ++dense;
      }
    }
  }
  return {100 * q.dice / dense, q.hd / dense, 100 * q.sparse_dice / sparse, 100 * q.false_positive / empty_images};
}

double mean_weight(const std::vector<double>& weights, const Scenes& scenes, SceneKind kind) {
  double total = 0, count = 0;
  for (size_t i = 0; i < weights.size(); ++i)
    if (scenes.kinds[i] == kind && std::isfinite(weights[i])) total += weights[i], ++count;
  return count > 0 ? total / count : 0;
}

/// Between weights and density, of the images that were seen; 0 where all weigh the same.
double weight_correlation(const std::vector<double>& weights, const Scenes& scenes) {
  std::vector<double> w, d;
  for (size_t i = 0; i < weights.size(); ++i)
    if (std::isfinite(weights[i])) w.push_back(weights[i]), d.push_back(scenes.density[i]);
  double r = w.size() < 2 ? 0 : pearson_correlation(w, d);
  return std::isfinite(r) ? r : 0;
}

void draw_epoch(Cell& cell, int64_t epoch, Objective& objective, const Scenes& scenes) {
  auto at = static_cast<double>(epoch + 1);
  auto draw = [&](const std::string& chart, double y, const char* line) {
    if (std::isfinite(y)) cell.point(chart, "epochs", at, y, line);
  };
  for (auto [kind, name] : {std::pair(SceneKind::dense, "dense"), {SceneKind::sparse, "sparse"}, {SceneKind::empty, "empty"}}) {
    draw("weight of the cross-entropy", mean_weight(objective.weights(), scenes, kind), name);
    if (!cell.variant().starts_with("AdaWAC")) continue;
    auto [ce, dac] = objective.values(scenes, kind);
    draw("cross-entropy, " + cell.variant(), ce, name);
    draw("disagreement, " + cell.variant(), dac, name);
  }
  objective.forget_values();
}

void train(Cell& cell, unet::SegmentationUnet& net, Objective& objective, const Scenes& scenes, uint64_t seed, int64_t epochs) {
  optim::Adam adam(net.parameters(), {.lr = 3e-3});
  PairBatcher batches(scenes.set, kBatch, seed);
  auto step = [&](auto&& loss) {
    adam.zero_grad();
    loss().backward();
    adam.step();
  };
  net.train();
  for (int64_t epoch = 0; epoch < epochs; ++epoch) {
    for (int64_t b = 0; b < batches.batches(); ++b) {
      PairBatch batch = batches.next();
      if (objective.single_view()) {  // as many views, in twice the steps
        step([&] { return objective.of_view(net, batch.image1, batch.mask1, batch.index); });
        step([&] { return objective.of_view(net, batch.image2, batch.mask2, batch.index); });
      } else {
        step([&] { return objective.of_pair(net, batch); });
      }
      cell.progress((static_cast<double>(epoch) + static_cast<double>(b) / static_cast<double>(batches.batches())) /
                    static_cast<double>(epochs));
    }
    draw_epoch(cell, epoch, objective, scenes);
  }
  net.eval();
}

/// The first dense test images, their masks, and what the network says of them; classes as grey levels.
void draw_scenes(Cell& cell, const unet::SegmentationUnet& net, const Scenes& test) {
  NoGrad no_grad;
  std::vector<int64_t> dense;
  for (size_t i = 0; i < test.kinds.size() && dense.size() < 6; ++i)
    if (test.kinds[i] == SceneKind::dense) dense.push_back(static_cast<int64_t>(i));
  if (dense.empty()) return;
  Tensor at = from_vector(dense), images = index_select(test.set.images, 0, at);
  auto grey = [](const Tensor& classes) { return 0.5 * to(unsqueeze(classes, 1), f32); };
  Tensor rows = cat({images, grey(index_select(test.set.masks, 0, at)), grey(argmax(net(images), 1))}, 0);
  cell.picture(fmt::format("scenes, masks, and what {} says", cell.variant()), train::image_grid(rows, {.columns = at.numel()}));
}

void run(Cell& cell) {
  int64_t images = cell.pick<int64_t>(16, 400, 400);
  auto problem = cell.shared("scenes", [&] { return make_problem(images, cell.pick<int64_t>(24, 200, 200)); });
  const Scenes& scenes = cell.variant().ends_with("cut masks") ? problem->cut : problem->train;
  unet::SegmentationUnet net = problem->initial;
  Objective objective(cell, images);
  train(cell, net, objective, scenes, problem->seed, cell.pick<int64_t>(1, 10, 30));
  Quality quality = judged(net, problem->test);
  if (cell.is("AdaWAC") || cell.is("paired ERM")) draw_scenes(cell, net, problem->test);
  cell.metric("foreground Dice, dense images (%)", quality.dice);
  cell.metric("HD95, dense images (pixels)", quality.hd);
  cell.metric("foreground Dice, sparse images (%)", quality.sparse_dice);
  cell.metric("false positive pixels, empty images (%)", quality.false_positive);
  cell.metric("correlation of weight and density", weight_correlation(objective.weights(), scenes));
  cell.metric("weight of the cross-entropy, dense", mean_weight(objective.weights(), scenes, SceneKind::dense));
  cell.metric("weight of the cross-entropy, empty", mean_weight(objective.weights(), scenes, SceneKind::empty));
}

}  // namespace

Experiment experiment() {
  return {.title = "AdaWAC",
          .paper =
              "Dong, Xie, Ward: Adaptively Weighted Data Augmentation Consistency Regularization for Robust Optimization under Concept "
              "Shift, ICML 2023",
          .claim =
              "weights of each image, learned against the network, separate dense from empty images, and segmentation is better than "
              "with the plain mean over the same views",
          .metrics = {{"foreground Dice, dense images (%)"},
                      {"HD95, dense images (pixels)", Better::lower},
                      {"foreground Dice, sparse images (%)"},
                      {"false positive pixels, empty images (%)", Better::lower},
                      {"correlation of weight and density", Better::neither},
                      {"weight of the cross-entropy, dense", Better::neither},
                      {"weight of the cross-entropy, empty", Better::neither}},
          .variants = {{"ERM", "one view a step, in twice the steps"},
                       {"paired ERM", "both views, the plain mean of cross-entropies"},
                       {"ACR only", "cross-entropy and agreement, half each, for every image"},
                       {"reweight only", "weights by the loss, normalised over the batch; one view a step"},
                       {"percentile DRO", "the same, held towards equal weights by an entropy"},
                       {"trim-train", "images with an empty mask are left out"},
                       {"trim-ratio", "the 42 % of a batch with the lowest cross-entropy are left out"},
                       {"pseudo-AdaWAC", "the oracle: cross-entropy where there is foreground, agreement where there is none"},
                       {"AdaWAC", "λ = 2, η = 1, r = 0.5"},
                       {"paired ERM, no Dice", "r = 0"},
                       {"AdaWAC, no Dice", "r = 0: the weighted objective alone"},
                       {"paired ERM, cut masks", "half of the digits are missing in the training masks"},
                       {"AdaWAC, cut masks", "the same: the adversary raises the weight of wrong masks"}},
          .baseline = "paired ERM",
          .method = "AdaWAC",
          .run = run};
}

}  // namespace plumb::methods::adawac
