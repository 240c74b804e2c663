// SimMatchV2 on 8×8 digits with 20 labels and on small garments with 40: what do neighbours and edges add to confident pseudo-labels?
#include <fmt/format.h>

#include <cmath>

#include "engine/autograd/grad_mode.h"
#include "engine/data/digits/digits.h"
#include "engine/data/images.h"
#include "methods/common/image_sets.h"
#include "methods/common/small_cnn.h"
#include "methods/experiment.h"
#include "methods/semi_supervised/simmatchv2/simmatch.h"
#include "methods/semi_supervised/simmatchv2/simmatchv2.h"
#include "ops/index.h"
#include "ops/pointwise.h"
#include "ops/pool.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "ops/softmax.h"

namespace plumb::methods::simmatchv2 {

Experiment experiment();

namespace {

constexpr int64_t kClasses = 10, kFeatures = 64, kWidth = 32;
using Net = NormalisedTwoHead<SmallCnn>;

struct Problem {
  std::string set;
  SemiData data;
  SmallCnn backbone;
  TwoHeads heads;  // every variant begins with these weights
  augment::View weak, strong;
  uint64_t seed;
};

/// `count` examples drawn at random, as means over squares of `side` pixels.
data::Dataset reduced(const data::Dataset& from, int64_t count, int64_t side) {
  auto order = data::random_order(from.size(), default_generator());
  order.resize(static_cast<size_t>(std::min<int64_t>(count, from.size())));
  auto rows = from.subset(order).batch(count).next();
  return data::from_tensors({{"image", avg_pool2d(rows.image, side)}, {"label", rows.label}});
}

Problem finished(std::string set, SemiData data, int64_t side, augment::View weak) {
  augment::View strong = augment::rand_augment_view(augment::small_digits_policy(), weak);
  return {std::move(set),
          std::move(data),
          SmallCnn({.side = side, .features = kFeatures}),
          TwoHeads(kFeatures, kClasses, kWidth),
          weak,
          strong,
          default_generator().next_u64()};
}

Problem make_digits(int64_t per_class) {
  auto digits = data::digits();
  return finished("digits", semi_split(digits.train(), digits.test(), per_class, default_generator()), 8, augment::shift_view());
}

Problem make_garments(int64_t per_class, int64_t shrink, int64_t train, int64_t test) {
  auto garments = data::fashion_mnist();
  SemiData data =
      semi_split(reduced(garments.train(), train, shrink), reduced(garments.test(), test, shrink), per_class, default_generator());
  return finished("Fashion-MNIST", std::move(data), 28 / shrink, augment::flip_crop_view(0.5, 1, PadMode::constant));
}

SimMatchV2Options options_of(const Cell& cell, uint64_t seed) {
  SimMatchV2Options o{.threshold = 0.8, .seed = seed};
  if (cell.is("FixMatch, aligned")) o.alpha = o.edge_edge = o.node_edge = 0;
  if (cell.is("without L_nn")) o.node_node = 0;
  if (cell.is("α = 0")) o.alpha = 0;
  if (cell.is("α = 0.5")) o.alpha = 0.5;
  if (cell.is("without L_ee") || cell.is("without L_ee, L_ne")) o.edge_edge = 0;
  if (cell.is("without L_ne") || cell.is("without L_ee, L_ne")) o.node_edge = 0;
  return o;
}

/// Labels of the first `count` unlabelled examples where p is sure, by p and by propagation, from what training left.
struct LabelQuality {
  double by_p = 0, by_propagation = 0;  // per cent right; 0 where nothing is sure
};
LabelQuality label_quality(const Net& net, const SemiData& data, int64_t count, const SimMatchV2Options& o) {
  NoGrad no_grad;
  count = std::min(count, data.unlabelled.size(0));
  Tensor truth = narrow(data.truth, 0, 0, count);
  Tensor features = net.features(narrow(data.unlabelled, 0, 0, count)), p = softmax(net.head(features), 1);
  Tensor z = net.embedding(features), bank = net.embedding(net.features(data.labelled));
  Tensor places = flatten(nearest_rows(z, bank, o.neighbours));
  auto shaped = [&](const Tensor& rows) { return reshape(index_select(rows, 0, places), {z.size(0), o.neighbours, rows.size(1)}); };
  Tensor spread =
      o.alpha == 0 ? p : propagate_labels(z, p, shaped(bank), shaped(to(one_hot(data.labels, kClasses), f32)), o.temperature, o.alpha);
  Tensor sure = confidence_mask(p, o.threshold);
  UtilisationMeter plain, propagated;
  plain.add(sure, argmax(p, 1), truth);
  propagated.add(sure, argmax(spread, 1), truth);
  auto percent = [](double share) { return std::isfinite(share) ? 100 * share : 0; };
  return {percent(plain.accuracy()), percent(propagated.accuracy())};
}

/// How far the mean lengths of what the heads read lie apart between weak and strong views.
double norm_gap(const Net& net, const Problem& problem) {
  NoGrad no_grad;
  Generator g(problem.seed);
  Tensor images = narrow(problem.data.unlabelled, 0, 0, std::min<int64_t>(512, problem.data.unlabelled.size(0)));
  auto length = [&](const augment::View& view) { return mean(norm(net.features(view(images, g)), 2, {1})).item(); };
  double weak = length(problem.weak), strong = length(problem.strong);
  return std::abs(weak - strong);
}

struct Level {
  std::string name;  // as metrics have it
  double from;       // of the cell's progress
  int64_t steps;
};

class Listener {
 public:
  Listener(Cell& cell, const Level& level, std::string set) : cell_(cell), level_(level), set_(std::move(set)) {}
  void operator()(const SemiProgress& p) {
    accuracy = p.accuracy;
    auto draw = [&](const char* what, double value) {
      if (std::isfinite(value))
        cell_.point(fmt::format("{}, {} of {} (%)", what, level_.name, set_), "steps", static_cast<double>(p.step), value);
    };
    draw("test accuracy", p.accuracy);
    if (!cell_.is("supervised")) {
      draw("confident examples", p.certain);
      draw("labels of confident examples right", p.label_accuracy);
    }
    cell_.progress(level_.from + 0.5 * static_cast<double>(p.step) / static_cast<double>(level_.steps));
  }
  double accuracy = 0;

 private:
  Cell& cell_;
  Level level_;
  std::string set_;
};

void run_level(Cell& cell, const Level& level, const Problem& problem) {
  Net net(problem.backbone, kFeatures, kClasses, kWidth, !cell.is("without LayerNorm"));
  net.heads.load_state(problem.heads.state());
  SemiBatchOptions batches{.ratio = 4,
                           .strong_views = cell.is("two strong views") ? 2 : 1,
                           .weak = problem.weak,
                           .strong = problem.strong,
                           .seed = problem.seed};
  if (cell.is("supervised")) batches.ratio = 0, batches.strong_views = 0;
  SemiTrainOptions training{.steps = level.steps,
                            .sgd = {.lr = 0.03, .momentum = 0.9, .weight_decay = 1e-4, .nesterov = true},
                            .decay_vectors = true,
                            .evaluate_every = std::max<int64_t>(1, level.steps / cell.pick<int64_t>(1, 10, 10))};
  SimMatchV2Options options = options_of(cell, problem.seed);
  Listener listener(cell, level, problem.set);
  SemiBatcher batcher(problem.data, batches);
  auto train = [&](auto&& loss) { return train_semi_supervised(net, problem.data, batcher, training, loss, listener).model; };
  Net trained = cell.is("supervised") ? train(Supervised())
                : cell.is("SimMatch") ? train(SimMatch<Net>({.threshold = options.threshold, .seed = problem.seed}, problem.data))
                                      : train(SimMatchV2<Net>(options, problem.data));
  LabelQuality quality = label_quality(trained, problem.data, cell.pick<int64_t>(150, 2000, 10000), options);
  cell.metric(fmt::format("test accuracy, {} (%)", level.name), listener.accuracy);
  cell.metric(fmt::format("confident labels right by p, {} (%)", level.name), quality.by_p);
  cell.metric(fmt::format("confident labels right by ŷ, {} (%)", level.name), quality.by_propagation);
  cell.metric(fmt::format("feature norm gap, {}", level.name), norm_gap(trained, problem));
}

void run(Cell& cell) {
  auto digits = cell.shared("digits", [] { return make_digits(2); });
  run_level(cell, {"20 labels", 0, cell.pick<int64_t>(10, 600, 1500)}, *digits);
  bool garments = images_there("fashion_mnist") && cell.budget() != Budget::smoke;
  auto harder =
      cell.shared("harder", [&] { return garments ? make_garments(4, cell.pick<int64_t>(4, 4, 2), 2040, 1000) : make_digits(4); });
  run_level(cell, {"40 labels", 0.5, cell.pick<int64_t>(4, 400, 1500)}, *harder);
}

}  // namespace

Experiment experiment() {
  std::vector<Metric> metrics;
  for (const char* level : {"20 labels", "40 labels"}) {
    metrics.push_back({fmt::format("test accuracy, {} (%)", level)});
    metrics.push_back({fmt::format("confident labels right by p, {} (%)", level), Better::neither});
    metrics.push_back({fmt::format("confident labels right by ŷ, {} (%)", level), Better::neither});
    metrics.push_back({fmt::format("feature norm gap, {}", level), Better::neither});
  }
  return {.title = "SimMatchV2",
          .paper = "Zheng, You, Huang, Luo, Wang, Qian, Xu: SimMatchV2: Semi-Supervised Learning with Graph Consistency, ICCV 2023",
          .claim =
              "with few labels, agreement of nodes and edges between views is more accurate than confident pseudo-labels alone, and "
              "spreads less",
          .metrics = metrics,
          .variants = {{"supervised", "the labelled examples alone, weak views; same heads and LayerNorm, as in all but one"},
                       {"FixMatch, aligned", "L_nn alone, α = 0: soft aligned labels of the same averaged teacher"},
                       {"SimMatch", "labels smoothed by, and compared through, the labelled bank"},
                       {"SimMatchV2", "α = 0.1, λ = 1, 0.5, 0.5, τ = 0.8"},
                       {"without L_nn", "no pseudo-labels"},
                       {"α = 0", "pseudo-labels are not propagated"},
                       {"α = 0.5", "propagated further"},
                       {"without L_ee", "edges need not agree"},
                       {"without L_ne", "labels are not read off edges"},
                       {"without L_ee, L_ne", "propagated pseudo-labels alone"},
                       {"without LayerNorm", "heads read the backbone's feature as it is"},
                       {"two strong views", "S = 2: half as much work again in a step"}},
          .baseline = "FixMatch, aligned",
          .method = "SimMatchV2",
          .run = run};
}

}  // namespace plumb::methods::simmatchv2
