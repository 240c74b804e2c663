// Galleries that outlive their model: an encoder of garments is trained on digits task by task and replaced half-way, and every later model
// is asked about every earlier one's gallery.
#include <fmt/format.h>

#include <array>
#include <memory>
#include <string>
#include <vector>

#include "engine/data/digits/digits.h"
#include "engine/data/images.h"
#include "methods/common/image_sets.h"
#include "methods/continual/stationary_repr/stationary_repr.h"
#include "methods/experiment.h"
#include "models/contrastive/prototype.h"
#include "models/metrics/compatibility.h"
#include "models/metrics/confusion.h"
#include "ops/index.h"
#include "ops/join.h"
#include "ops/pool.h"
#include "ops/shape.h"

namespace plumb::methods::stationary_repr {
namespace {

constexpr int64_t kSlots = 64, kClasses = 10, kWidth = 16, kTasks = 4, kReplacedAt = 2;
constexpr int64_t kNewInBatch = 32;  // and as many stored ones
constexpr double kRate = 0.02, kLastRate = 0.01,
                 kDecay = 5e-4;                           // of SGD with momentum 0.9; the last as a share of the first; every variant
constexpr double kLambda = 0.9, kMu = 10, kDistance = 0.3;  // of the method; of the distance to the previous features
constexpr int64_t kStored = 20;

struct Encoder : nn::Module {
  contrastive::ConvEmbedding backbone;
  nn::Linear projection, head;
  explicit Encoder(int64_t side)
      : backbone({.channels = 1, .width = kWidth, .blocks = 2}),
        projection(this, "projection", kWidth * (side / 4) * (side / 4), kSlots - 1, {.bias = false}),
        head(this, "head", kSlots - 1, kClasses) {
    register_module("backbone", backbone);
  }
  Tensor features(const Tensor& x) const { return projection(backbone(x)); }
  Tensor operator()(const Tensor& x) const { return head(features(x)); }
};

struct Examples {
  Tensor x, labels;
};

// Digits for the learner; garments, or digits on their sides, for the third party.
struct Sources {
  data::DatasetParts local;
  Examples third_party;
};

Examples all_of(const data::Dataset& set) {
  auto rows = set.batch(set.size()).next();
  return {rows.image, rows.label};
}

bool with_files(const Cell& cell) {
  return cell.budget() == Budget::full || (cell.budget() == Budget::usual && images_there("mnist") && images_there("fashion_mnist"));
}

Sources sources_of(const Cell& cell, Generator& g) {
  if (with_files(cell)) {
    auto halved = [](const data::Dataset& set) { return set.map("image", [](Tensor image) { return avg_pool2d(image, 2); }); };
    data::Dataset train = halved(data::mnist().train().take(10'000)), test = halved(data::mnist().test().take(5'000));
    return {data::DatasetParts([train] { return train; }, [test] { return test; }),
            all_of(halved(data::fashion_mnist().train().take(cell.pick<int64_t>(0, 5'000, 60'000))))};
  }
  auto halves = data::digits().all().split({0.5, 0.5}, {.seed = g.next_u64(), .stratified = true});
  Examples upright = all_of(halves[0]);
  return {data::DatasetParts([train = halves[0]] { return train; }, [test = halves[1]] { return test; }),
          {rot90(upright.x, 1, 2, 3), upright.labels}};
}

struct Problem {
  ContinualStream stream;
  Examples query, gallery;                  // digits of all ten classes
  std::vector<Encoder> simplex, learnable;  // the third party's two encoders, with either classifier
};

// The first `count` of each class in random order are the gallery, the next the queries.
void share_out(Problem& p, const Examples& test, int64_t count, Generator& g) {
  auto labels = to_vector<int64_t>(test.labels);
  std::vector<int64_t> taken(kClasses, 0), gallery, query;
  for (int64_t i : data::random_order(test.labels.numel(), g)) {
    int64_t place = taken[static_cast<size_t>(labels[static_cast<size_t>(i)])]++;
    if (place < count)
      gallery.push_back(i);
    else if (place < 2 * count)
      query.push_back(i);
  }
  auto some = [&](const std::vector<int64_t>& at) {
    return Examples{index_select(test.x, 0, from_vector(at)), index_select(test.labels, 0, from_vector(at))};
  };
  p.gallery = some(gallery), p.query = some(query);
}

Encoder pretrained(Encoder net, const Examples& examples, int64_t epochs, bool simplex, Generator& g) {
  FixedClassifier classifier(kSlots);
  int64_t n = examples.labels.numel(), batch = 64, steps = epochs * ((n + batch - 1) / batch), step = 0;
  optim::SGD sgd(net.parameters(), {.lr = 0.05, .momentum = 0.9, .weight_decay = kDecay});
  auto schedule = optim::cosine(steps, 1, kLastRate);
  for (int64_t epoch = 0; epoch < epochs; ++epoch)
    for (const Tensor& places : methods::detail::epoch_batches(n, batch, g)) {
      sgd.set_lr_scale(schedule(step++));
      sgd.zero_grad();
      Tensor z = net.features(index_select(examples.x, 0, places));
      cross_entropy(simplex ? classifier(z) : net.head(z), index_select(examples.labels, 0, places)).backward();
      sgd.step();
    }
  return net;
}

// A from half of the images in short training, B from all of them: two networks that have not begun alike.
std::vector<Encoder> third_party(const Cell& cell, const std::array<Encoder, 2>& starts, const Examples& all, bool simplex, Generator& g) {
  int64_t half = all.labels.numel() / 2;
  Examples some{narrow(all.x, 0, 0, half), narrow(all.labels, 0, 0, half)};
  return {pretrained(starts[0], some, cell.pick<int64_t>(1, 2, 2), simplex, g),
          pretrained(starts[1], all, cell.pick<int64_t>(1, 8, 20), simplex, g)};
}

Problem make_problem(const Cell& cell) {
  Generator& g = default_generator();
  Sources sources = sources_of(cell, g);
  bool files = with_files(cell);
  ClassStreamOptions o{
      .tasks = kTasks, .first = 4, .per_class = files ? 300 : cell.pick<int64_t>(12, 80, 80), .test_per_class = files ? 100 : 40};
  o.seed = g.next_u64();
  int64_t side = files ? 14 : 8;
  std::array<Encoder, 2> starts{Encoder(side), Encoder(side)};
  Problem p{class_stream(sources.local, o),
            {},
            {},
            third_party(cell, starts, sources.third_party, true, g),
            third_party(cell, starts, sources.third_party, false, g)};
  FixedClassifier(kSlots).check_room(kClasses, p.stream.outputs());
  share_out(p, all_of(sources.local.test()), files ? 100 : 40, g);
  return p;
}

// Every task a network of its own, from scratch on all data so far.
class IndependentTraining : public JointTraining<Encoder> {
 public:
  explicit IndependentTraining(int64_t side) : side_(side) {}
  void begin_task(Encoder& model, const TaskContext&) override { model.load_state(Encoder(side_).state()); }

 private:
  int64_t side_;
};

CompatibleOptions options_of(const Cell& cell) {
  CompatibleOptions o{.slots = kSlots, .lambda = kLambda, .hoc = {.mu = kMu}, .distance_weight = kDistance, .per_class = kStored};
  bool replay = cell.is("ER") || cell.is("ER, head kept");
  if (replay || cell.is("learnable + HOC")) o.head = Head::learnable;
  if (replay || cell.is("simplex, CE alone")) o.tie = Tie::none;
  o.keep_head = cell.is("ER, head kept");
  if (cell.is("simplex + distance")) o.tie = Tie::distance;
  if (cell.is("d-Simplex-HOC, e⁰")) o.hoc.same = SameClass::as_zero;
  return o;
}

std::unique_ptr<ContinualMethod<Encoder>> method_of(const Cell& cell, const Problem& p, const std::vector<Encoder>& offered) {
  if (cell.is("independent")) return std::make_unique<IndependentTraining>(p.query.x.size(2));
  auto replacement = [&offered](size_t task) { return task == kReplacedAt ? &offered[1] : nullptr; };
  return std::make_unique<CompatibleTraining<Encoder>>(options_of(cell), replacement);
}

// Percent, of queries by each model for the galleries of it and those before.
class Judge {
 public:
  explicit Judge(const Problem& problem) : p_(problem) {}
  void add(Encoder& model) {
    NoGrad no_grad;
    model.eval();
    Tensor query = model.features(p_.query.x);
    galleries_.push_back(model.features(p_.gallery.x));
    std::vector<double> row;
    for (const Tensor& gallery : galleries_)
      row.push_back(100 * metrics::identification_accuracy(query, p_.query.labels, gallery, p_.gallery.labels, kClasses));
    scores.push_back(row);
  }
  // Models from before and after the replacement.
  double across() const {
    double total = 0, pairs = 0;
    for (size_t t = kReplacedAt; t < scores.size(); ++t)
      for (size_t i = 0; i < kReplacedAt; ++i, ++pairs) total += scores[t][i];
    return total / pairs;
  }
  metrics::CompatibilityMatrix scores;

 private:
  const Problem& p_;
  std::vector<Tensor> galleries_;
};

double known_accuracy(ContinualTrainer<Encoder>& trainer, const ContinualExamples& examples, ClassRange among) {
  return 100 * metrics::accuracy(predict_among(continual_logits(trainer, examples.x, 0), among), examples.labels);
}

void run(Cell& cell) {
  auto problem = cell.shared("digits and two encoders", [&] { return make_problem(cell); });
  const Problem& p = *problem;
  bool simplex = !cell.is("independent") && options_of(cell).head == Head::simplex;
  const std::vector<Encoder>& offered = simplex ? p.simplex : p.learnable;
  ContinualTrainOptions o{
      .epochs = cell.pick<int64_t>(1, 14, 70), .batch = kNewInBatch, .sgd = {.lr = kRate, .momentum = 0.9, .weight_decay = kDecay}};
  o.decay_vectors = false;
  o.schedule = [](int64_t steps) { return optim::cosine(steps, 1, kLastRate); };
  o.freeze_norms = false;
  o.seed = cell.seed();
  o.progress = [&](size_t task, double share) { cell.progress((static_cast<double>(task) + share) / kTasks); };
  ContinualTrainer<Encoder> trainer(offered[0], o, method_of(cell, p, offered));
  Judge judge(p);
  double first = 0;
  for (size_t t = 0; t < p.stream.size(); ++t) {
    trainer.learn(p.stream, t);
    if (t == 0) first = known_accuracy(trainer, p.stream.at(0).train, p.stream.seen(0));
    judge.add(trainer.model());
    for (size_t i = 0; i <= t; ++i)
      cell.point(fmt::format("found in the gallery of model {} (%)", i + 1), "model of the queries", static_cast<double>(t + 1),
                 judge.scores[t][i]);
  }
  cell.metric("AA (%)", metrics::average_multi_model_accuracy(judge.scores));
  cell.metric("across the replacement (%)", judge.across());
  cell.metric("AC", metrics::average_compatibility(judge.scores));
  cell.metric("last model alone (%)", judge.scores.back().back());
  cell.metric("first task learned (%)", first);
}

}  // namespace

Experiment experiment() {
  return {
      .title = "d-Simplex-HOC",
      .paper =
          "Biondi, Pernici, Ricci, Del Bimbo: Stationary Representations: Optimally Approximating Compatibility and Implications for "
          "Improved Model Replacements, CVPR 2024",
      .claim =
          "with class directions that never move and a higher-order tie to the previous model, queries by later models find their class "
          "in earlier models' galleries, also after the network was replaced by another one",
      .metrics =
          {{"AA (%)"}, {"across the replacement (%)"}, {"AC"}, {"last model alone (%)"}, {"first task learned (%)", Better::neither}},
      .variants = {{"independent", "each task's network from scratch, on all data so far"},
                   {"ER", "experience replay with a learnable classifier that grows"},
                   {"ER, head kept", "the classifier outlives the network's replacement"},
                   {"learnable + HOC", "and the higher-order tie"},
                   {"simplex, CE alone", "a fixed simplex of 64 classes, replay, λ = 1"},
                   {"simplex + distance", "and the squared distance to the previous features"},
                   {"d-Simplex-HOC, e⁰", "the published code's sum, where one's own class counts e⁰"},
                   {"d-Simplex-HOC", "the simplex and the higher-order tie; one's own class left out of the sum"}},
      .baseline = "ER",
      .method = "d-Simplex-HOC",
      .run = run};
}

}  // namespace plumb::methods::stationary_repr
