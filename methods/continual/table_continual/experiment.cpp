// The common table of continual learning: split digits and split colour images, as streams of classes and of tasks; one network, one
// trainer, and each method's own loss and bookkeeping.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <memory>

#include "methods/common/continual_baselines.h"
#include "methods/common/pooled_cnn.h"
#include "methods/common/table_images.h"
#include "methods/continual/dst_cl/dst_cl.h"
#include "methods/continual/ovor/ovor.h"
#include "methods/continual/rehearsal_free/rehearsal_free.h"
#include "methods/continual/stationary_repr/stationary_repr.h"
#include "methods/experiment.h"
#include "ops/index.h"
#include "ops/pool.h"
#include "ops/shape.h"

namespace plumb::methods::continual_table {
namespace {

using Net = PooledCnn;
using Method = std::unique_ptr<ContinualMethod<Net>>;

// Learning rates: of softmax over what changes from task to task, of multilabel losses, whose scale is 5, and where stored examples, fixed
// directions or masks hold what was learned. The baselines' weights; examples of a class that replay stores.
constexpr double kRate = 0.02, kMultilabelRate = 0.02, kHeldRate = 0.05, kMaskedRate = 0.1, kDecay = 2e-4;
constexpr double kClip = 2;  // gradients, for all: where new classes come, softmax over all of them begins with a large loss
constexpr double kLwfWeight = 1, kEwcStrength = 10;
constexpr int64_t kWidth = 64;  // of the features; the simplex has room for one class more
constexpr int64_t kStored = 20;
constexpr double kFeatures = 1, kL2 = 0.05, kEwc = 3;  // of the rehearsal-free rows
constexpr double kCrossEntropy = 0.9;                  // its share in simplex-HOC
constexpr double kOutliers = 0.1;                      // λ of virtual outliers
constexpr double kDensity = 0.2;                       // of a task's mask

struct Shares {
  int64_t epochs;  // of a task
  bool small;
};

template <typename M, typename... Args>
Method made(Args&&... args) {
  return std::make_unique<M>(std::forward<Args>(args)...);
}

namespace rf = rehearsal_free;
Method predkd(rf::Regulariser r, double weight = 0) {
  rf::RehearsalFreeOptions options{.regulariser = r, .weight = weight};
  options.fisher.largest = 0.5 / (kEwc * kMultilabelRate);  // below where explicit steps diverge after five tasks
  return made<rf::RehearsalFree<Net>>(options);
}

Method simplex(stationary_repr::Tie tie) {
  return made<stationary_repr::CompatibleTraining<Net>>(stationary_repr::CompatibleOptions{
      .slots = kWidth + 1, .tie = tie, .lambda = kCrossEntropy, .per_class = kStored, .tie_first = false});
}

Method outliers(const Shares& s) {
  ovor::OvorOptions o{.epochs = s.epochs, .head_epochs = std::max<int64_t>(1, s.epochs / 2)};
  o.vor.lambda = kOutliers;
  o.vor.batch = 64;
  o.vor.sampler = {.neighbour = s.small ? 2 : 10, .boundary = 20, .offsets = s.small ? 10 : 100};
  return made<ovor::Ovor<Net>>(o);
}

Method sparse(const Shares& s) { return made<dst_cl::DstCl<Net>>(dst_cl::DstOptions{.density = kDensity, .interval = s.small ? 2 : 10}); }

// A row of the table: add one, and its method learns both streams of both sets.
struct Entry {
  const char* name;
  const char* about;
  Method (*make)(const Shares&);
  double rate = kRate;
  bool by_task = false;  // a method of task streams alone: in class streams every task's network is asked
};
const std::vector<Entry>& entries() {
  using R = rf::Regulariser;
  using stationary_repr::Tie;
  static const std::vector<Entry> all{
      {"fine-tuning", "softmax over the classes seen, nothing against forgetting",
       [](const Shares&) { return made<ContinualMethod<Net>>(); }},
      {"joint", "every task from the start on all examples so far: the upper bound",
       [](const Shares&) { return made<JointTraining<Net>>(); }, kHeldRate},
      {"LwF", "old outputs distilled, T = 2", [](const Shares&) { return made<Lwf<Net>>(LwfOptions{.weight = kLwfWeight}); }},
      {"EWC", "all weights held by Fisher information, an anchor a task",
       [](const Shares&) { return made<ElasticWeights<Net>>(ElasticOptions{.ewc = {.strength = kEwcStrength}}); }},
      {"replay", "20 stored examples of each class, as many as new ones in each batch",
       [](const Shares&) { return made<Replay<Net>>(kStored); }, kHeldRate},
      {"own classes alone", "softmax over the task's own classes",
       [](const Shares&) {
         return made<rf::RehearsalFree<Net>>(
             rf::RehearsalFreeOptions{.classification = rf::Classification::local_softmax, .regulariser = R::none});
       }},
      {"PredKD", "independent outputs, old ones' targets from the network of before", [](const Shares&) { return predkd(R::none); },
       kMultilabelRate},
      {"PredKD + FeatKD", "features distilled too", [](const Shares&) { return predkd(R::features, kFeatures); }, kMultilabelRate},
      {"PredKD + EWC", "backbone held by Fisher information", [](const Shares&) { return predkd(R::ewc, kEwc); }, kMultilabelRate},
      {"PredKD + L2", "backbone held near its latest weights", [](const Shares&) { return predkd(R::l2_later, kL2); }, kMultilabelRate},
      {"VOR", "own classes alone, then the head with virtual outliers", outliers},
      {"simplex + replay", "fixed class directions, 20 stored examples of each class", [](const Shares&) { return simplex(Tie::none); },
       kHeldRate},
      {"simplex-HOC", "the same, features held to the network of before by contrast", [](const Shares&) { return simplex(Tie::contrast); },
       kHeldRate},
      {"DST", "a sparse part of the network for each task; in class streams the largest output of all parts counts", sparse, kMaskedRate,
       true},
  };
  return all;
}

struct Set {
  std::string name;
  ContinualStream classes, told;  // the same tasks; in the second each has outputs of its own at a test
  Net start;
  int64_t epochs;
  uint64_t seed;
};

Set make_set(const Cell& cell, size_t which) {
  bool small = cell.budget() == Budget::smoke;
  uint64_t seed = default_generator().next_u64();
  TableImages images = table_images(kTableSets[which], small);
  data::DatasetParts parts([&] { return images.train; }, [&] { return images.test; });
  bool four = small && which == 1;  // the shapes that stand in have four classes
  ContinualStream classes = class_stream(parts, {.tasks = four ? 2 : 5,
                                                 .per_class = cell.pick<int64_t>(8, 300, 1000),
                                                 .test_per_class = cell.pick<int64_t>(6, 100, 400),
                                                 .seed = seed});
  for (ContinualTask& task : classes.tasks)
    if (!small) task.train.x = avg_pool2d(task.train.x, 2), task.test.x = avg_pool2d(task.test.x, 2);
  ContinualStream told = classes;
  told.scenario = Scenario::task;
  const Shape& shape = classes.tasks[0].train.x.shape();
  Net start({.channels = shape[1], .height = shape[2], .width = shape[3], .first = 8, .features = kWidth});
  start_without_norms(start);
  return {which == 0 ? "digits" : "colour",
          std::move(classes),
          std::move(told),
          std::move(start),
          which == 0 ? cell.pick<int64_t>(2, 4, 10) : cell.pick<int64_t>(2, 8, 30),
          seed};
}

// A learner of task streams in a class stream: it learns the same tasks told apart, and answers with every learned task's outputs from
// what it has for that task, whichever task the example is of.
class AskingAll : public ContinualLearner {
 public:
  AskingAll(ContinualLearner& inner, const ContinualStream& told) : inner_(inner), told_(told) {}
  void learn(const ContinualStream&, size_t t) override {
    inner_.learn(told_, t);
    learned_ = t + 1;
  }
  Tensor logits(const Tensor& x, size_t) override {
    Tensor all = inner_.logits(x, 0);
    for (size_t t = 1; t < learned_; ++t) {
      ClassRange own = told_.at(t).classes;
      all = slice_assign(all, narrow(inner_.logits(x, t), 1, own.begin, own.size()), 1, own.begin, own.end);
    }
    return all;
  }

 private:
  ContinualLearner& inner_;
  const ContinualStream& told_;
  size_t learned_ = 0;
};

// One variant on one stream.
ContinualResult learn(Cell& cell, const Entry& entry, const Set& set, const ContinualStream& stream, double from, double share) {
  Shares shares{set.epochs, cell.budget() == Budget::smoke};
  auto count = static_cast<double>(stream.size());
  ContinualTrainer<Net> learner(
      set.start,
      {.epochs = set.epochs,
       .batch = cell.pick<int64_t>(8, 64, 64),
       .sgd = {.lr = entry.rate, .momentum = 0.9, .weight_decay = kDecay},
       .schedule = [](int64_t steps) { return optim::cosine(steps); },
       .clip = kClip,
       .seed = set.seed,
       .progress = [&](size_t t, double part) { cell.progress(from + share * (static_cast<double>(t) + part) / count); }},
      entry.make(shares));
  if (!entry.by_task || stream.scenario == Scenario::task) return run_continual(learner, stream);
  AskingAll asking(learner, set.told);
  return run_continual(asking, stream);
}

std::string heading(const char* what, const std::string& set, bool told, const char* unit) {
  return fmt::format("{}, {} {} ({})", what, set, told ? "tasks" : "classes", unit);
}

void run(Cell& cell) {
  const Entry& entry = *std::ranges::find(entries(), cell.variant(), [](const Entry& e) { return std::string(e.name); });
  std::array<double, 2> mean{};
  for (size_t which : {0, 1}) {
    auto set = cell.shared(kTableSets[which], [&] { return make_set(cell, which); });
    for (bool told : {false, true}) {
      manual_seed(set->seed);  // for what methods draw without a generator of their own
      const ContinualStream& stream = told ? set->told : set->classes;
      ContinualResult r = learn(cell, entry, *set, stream, 0.5 * static_cast<double>(which) + (told ? 0.25 : 0), 0.25);
      mean[told] += r.final_accuracy() / 2;
      cell.metric(heading("final accuracy", set->name, told, "%"), r.final_accuracy());
      cell.metric(heading("running accuracy", set->name, told, "%"), r.incremental_accuracy());
      cell.metric(heading("forgetting", set->name, told, "points"), r.forgetting());
      if (told) cell.metric(heading("forward transfer", set->name, told, "points"), r.forward_transfer());
      for (size_t t = 0; t < stream.size(); ++t) {
        double seen = 0;
        for (size_t j = 0; j <= t; ++j) seen += r.accuracy[t][j] / static_cast<double>(t + 1);
        cell.point(heading("accuracy on what was seen", set->name, told, "%"), "tasks learned", static_cast<double>(t + 1), seen);
      }
    }
  }
  cell.metric("final accuracy, classes (%)", mean[0]);
  cell.metric("final accuracy, tasks (%)", mean[1]);
}

}  // namespace

Experiment experiment() {
  std::vector<Metric> metrics{{"final accuracy, classes (%)"}, {"final accuracy, tasks (%)"}};
  for (bool told : {false, true})
    for (const char* set : {"digits", "colour"}) {
      metrics.push_back({heading("final accuracy", set, told, "%")});
      metrics.push_back({heading("running accuracy", set, told, "%")});
      metrics.push_back({heading("forgetting", set, told, "points"), Better::lower});
      if (told) metrics.push_back({heading("forward transfer", set, told, "points")});
    }
  std::vector<Variant> variants;
  for (const Entry& e : entries()) variants.push_back({e.name, e.about});
  return {
      .title = "Continual learning: one table",
      .paper = "each method's own; plumb methods names them",
      .claim =
          "five tasks of two classes of MNIST (digits) and of a CIFAR-10 subset (colour) at half resolution, once with the task unknown at "
          "a test (classes) and once with it told (tasks): the same network, batches, optimiser and epochs for all",
      .metrics = metrics,
      .variants = variants,
      .baseline = "fine-tuning",
      .method = "",
      .run = run};
}

}  // namespace plumb::methods::continual_table
