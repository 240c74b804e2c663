// The common table of the semi-supervised methods: one split, one network, one trainer, and each method's own loss, at 4 and 25 labels a
// class.
#include <fmt/format.h>

#include <array>

#include "methods/common/image_views.h"
#include "methods/common/pooled_cnn.h"
#include "methods/common/table_images.h"
#include "methods/experiment.h"
#include "methods/semi_supervised/semixup/semixup.h"
#include "methods/semi_supervised/shrinkmatch/shrinkmatch.h"
#include "methods/semi_supervised/simmatchv2/simmatchv2.h"
#include "methods/semi_supervised/uda/uda.h"

namespace plumb::methods::semi_supervised_table {
namespace {

constexpr std::array<int64_t, 2> kLabels{4, 25};  // a class

std::string heading(const std::string& set, int64_t per_class) { return fmt::format("{}, {} labels a class", set, per_class); }

constexpr int64_t kFeatures = 64, kEmbedding = 32;

// The backbone with ShrinkMatch's second head.
struct TwoHeads : nn::Module {
  PooledCnn backbone;
  shrinkmatch::AuxHead auxiliary;

  TwoHeads(const PooledCnn& made, const shrinkmatch::AuxHead& second) : backbone(made), auxiliary(second) {
    register_module("backbone", backbone);
    register_module("auxiliary", auxiliary);
  }
  Tensor features(const Tensor& images) const { return backbone.features(images); }
  Tensor head(const Tensor& features) const { return backbone.head(features); }
  Tensor operator()(const Tensor& images) const { return backbone(images); }
};
using Graph = simmatchv2::NormalisedTwoHead<PooledCnn>;

// What the variants of a seed share, for one set and number of labels. All begin with the same backbone.
struct Problem {
  SemiData data;
  ImageViews views;
  PooledCnn backbone;
  shrinkmatch::AuxHead auxiliary;
  simmatchv2::TwoHeads heads;
  uint64_t seed;  // of the batches
};

Problem make_problem(const Cell& cell, const std::string& set, int64_t per_class) {
  Generator& g = default_generator();
  TableImages images = table_images(set, cell.budget() == Budget::smoke);
  SemiData data = semi_split(images.train, images.test, per_class, g, true);
  const Tensor& x = data.unlabelled;
  ImageViews views = image_views(images.kind, x.size(2));
  int64_t classes = data.classes;
  PooledCnn backbone({.channels = x.size(1), .height = x.size(2), .width = x.size(3), .classes = classes, .features = kFeatures});
  return {std::move(data), views, backbone, shrinkmatch::AuxHead(kFeatures, classes), simmatchv2::TwoHeads(kFeatures, classes, kEmbedding),
          g.next_u64()};
}

// Trains one variant on one problem and records what comes of it.
class Run {
 public:
  Run(Cell& cell, const Problem& problem, std::string name, double from)
      : cell_(cell), problem_(problem), name_(std::move(name)), from_(from), options_{.steps = cell.pick<int64_t>(8, 600, 20'000),
                                                                                      .ema = cell.pick(0.3, 0.99, 0.999),
                                                                                      .evaluate_every = cell.pick<int64_t>(4, 100, 1000)} {
    options_.sgd.lr = cell.pick(0.2, 0.03, 0.03);
  }

  /// `loss` as the trainer takes it; `batches` what the method asks of them.
  template <typename Model, typename Loss>
  void train(Model model, Loss loss, SemiBatchOptions batches = {}) {
    if (batches.ratio > 0) batches.ratio = cell_.pick<int64_t>(1, 4, 7);
    batches.weak = problem_.views.weak;
    batches.strong = problem_.views.strong;
    batches.seed = problem_.seed;
    auto told = [&](Model& net, const SemiBatch& batch, int64_t step) {
      cell_.progress(from_ + static_cast<double>(step) / static_cast<double>(options_.steps) * kShare);
      return loss(net, batch, step);
    };
    auto listen = [&](const SemiProgress& p) { note(p); };
    train_semi_supervised(model, problem_.data, SemiBatcher(problem_.data, batches), options_, told, listen);
    cell_.metric(name_ + " (%)", accuracy_);
  }
  const Problem& problem() const { return problem_; }
  int64_t steps() const { return options_.steps; }

  static constexpr double kShare = 1.0 / static_cast<double>(kLabels.size() * kTableSets.size());

 private:
  void note(const SemiProgress& p) {
    auto at = static_cast<double>(p.step);
    accuracy_ = p.accuracy;
    cell_.point("test accuracy (%): " + name_, "steps", at, p.accuracy);
    if (cell_.is("supervised")) return;
    cell_.point("unlabelled examples used (%): " + name_, "steps", at, p.used);
    cell_.point("labels of used examples right (%): " + name_, "steps", at, p.label_accuracy);
  }

  Cell& cell_;
  const Problem& problem_;
  std::string name_;
  double from_, accuracy_ = 0;
  SemiTrainOptions options_;
};

void train_variant(const Cell& cell, Run& run) {
  const Problem& p = run.problem();
  if (cell.is("supervised")) run.train(p.backbone, Supervised(), {.ratio = 0, .strong_views = 0});
  else if (cell.is("FixMatch")) run.train(p.backbone, FixMatch({}, p.data));
  else if (cell.is("FlexMatch")) run.train(p.backbone, FixMatch({.flexible = true}, p.data));
  else if (cell.is("UDA")) run.train(p.backbone, uda::Uda({.steps = run.steps()}));
  else if (cell.is("ShrinkMatch"))
    run.train(TwoHeads(p.backbone, p.auxiliary), shrinkmatch::ShrinkMatch({.progress_decay = 0.99}, p.data.classes));
  else if (cell.is("Semixup"))  // T is the strong view, as everybody has it
    run.train(p.backbone, semixup::Semixup({.common = {.seed = p.seed}}));
  else {
    Graph model(p.backbone, kFeatures, p.data.classes, kEmbedding);
    model.heads.load_state(p.heads.state());
    run.train(model, simmatchv2::SimMatchV2<Graph>({.threshold = 0.8, .seed = p.seed}, p.data));
  }
}

void run(Cell& cell) {
  double done = 0;
  for (const char* set : kTableSets)
    for (int64_t per_class : kLabels) {
      std::string name = heading(set, per_class);
      auto problem = cell.shared(name, [&] { return make_problem(cell, set, per_class); });
      Run one(cell, *problem, name, done);
      train_variant(cell, one);
      done += Run::kShare;
    }
}

}  // namespace

Experiment experiment() {
  std::vector<Metric> metrics;
  for (const char* set : kTableSets)
    for (int64_t per_class : kLabels) metrics.push_back({heading(set, per_class) + " (%)"});
  return {.title = "Semi-supervised learning: one table",
          .paper = "each method's own; plumb methods names them",
          .claim =
              "test accuracy with 4 and 25 labels a class on MNIST (handwritten digits) and a CIFAR-10 subset (colour images): the same "
              "split, network, views, optimiser and steps for all",
          .metrics = metrics,
          .variants = {{"supervised", "the labelled examples alone, weak views"},
                       {"FixMatch", "θ = 0.95, hard labels"},
                       {"FlexMatch", "θ = 0.95 times each class's progress"},
                       {"UDA", "soft labels sharpened by τ = 0.4, β = 0.8"},
                       {"ShrinkMatch", "θ = 0.95, hard labels; uncertain examples in a smaller class space"},
                       {"SimMatchV2", "τ = 0.8, aligned and propagated labels, edges; with LayerNorm before its heads"},
                       {"Semixup", "weights 2, 4, 2, mixed labelled examples; T is the strong view"}},
          .baseline = "FixMatch",
          .method = "",
          .run = run};
}

}  // namespace plumb::methods::semi_supervised_table
