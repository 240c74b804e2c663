// MHIM-MIL on bags of digits whose nines are easy or hard to tell, against the same network without masks, with other masks, and poolings.
#include <algorithm>
#include <memory>
#include <string>

#include "engine/autograd/grad_mode.h"
#include "engine/data/digits/digits.h"
#include "engine/data/images.h"
#include "methods/experiment.h"
#include "methods/representation/mhim_mil/digit_bags.h"
#include "methods/representation/mhim_mil/mhim_mil.h"
#include "models/autoencoder/principal_components.h"
#include "models/metrics/confusion.h"
#include "models/metrics/roc.h"
#include "models/mil/attention_pool.h"
#include "models/optim/schedule.h"
#include "ops/activation.h"
#include "ops/join.h"
#include "ops/reduce.h"
#include "ops/softmax.h"

namespace plumb::methods::mhim_mil {
namespace {

constexpr int64_t kWidth = 64, kAttention = 32;
constexpr double kDropout = 0.1, kRate = 1e-3, kDecay = 1e-5;     // Adam, the same for every variant
constexpr double kHigh = 0.05, kHighRandom = 0.5, kRandom = 0.5;  // β_h and rr, β_r
constexpr double kAlpha = 0.1, kMomentum = 0.999;

// relu(projection), the mean or the largest of each number over the instances, a linear classifier.
struct PoolMil : nn::Module {
  bool largest;
  nn::Linear projection, classifier;
  nn::Dropout dropout;
  struct Answer {
    Tensor logits, bag;
  };
  PoolMil(int64_t inputs, bool of_largest)
      : largest(of_largest),
        projection(this, "projection", inputs, kWidth),
        classifier(this, "classifier", kWidth, 2),
        dropout(this, "dropout", kDropout) {}
  Tensor instances(const Tensor& x) const { return dropout(relu(projection(x))); }
  Answer pooled(const Tensor& h) const {
    Tensor z = largest ? amax(h, {1}) : mean(h, {1});
    return {classifier(z), z};
  }
};

struct Problem {
  std::vector<Bag> train, test;
  mil::Abmil fresh;  // the start of every network with attention
};

struct Rows {
  Tensor train, train_labels, test, test_labels;
};

Tensor flat(const Tensor& images) { return flatten(images, 1); }

// The digits carried inside, one half for training bags and the other for test bags; in the full budget 32 components of MNIST.
Rows rows_of(const Cell& cell, Generator& g) {
  auto all = [](const data::Dataset& set) { return set.batch(set.size()).next(); };
  if (cell.budget() == Budget::full) {
    auto train = all(data::mnist().train().take(10'000)), test = all(data::mnist().test());
    autoencoder::PrincipalComponents components(flat(train.image), 32);
    return {components.encode(flat(train.image)), train.label, components.encode(flat(test.image)), test.label};
  }
  auto parts = data::digits().all().split({0.5, 0.5}, {.seed = g.next_u64(), .stratified = true});
  auto train = all(parts[0]), test = all(parts[1]);
  return {flat(train.image), train.label, flat(test.image), test.label};
}

Problem make_problem(const Cell& cell) {
  Generator& g = default_generator();
  Rows rows = rows_of(cell, g);
  BagOptions bags;
  if (cell.budget() == Budget::smoke) bags.min_size = 12, bags.max_size = 20;
  if (cell.budget() == Budget::full) bags = {.min_size = 300, .max_size = 500, .min_nines = 10, .max_nines = 30, .noise = 3};
  int64_t count = cell.pick<int64_t>(16, 300, 500);
  BagOptions judged = bags;
  judged.hard = 0.5;  // as many hard as easy ones, so that both are measured well
  mil::Abmil fresh({.inputs = rows.train.size(1),
                    .width = kWidth,
                    .attention = kAttention,
                    .gated = false,
                    .activation = "relu",
                    .attention_bias = false,
                    .dropout = kDropout,
                    .classes = 2});
  xavier_start(fresh);
  return {digit_bags(count, rows.train, rows.train_labels, bags, g), digit_bags(count, rows.test, rows.test_labels, judged, g), fresh};
}

struct Judged {
  double all = 0, hard = 0, easy = 0, f1 = 0;  // per cent
};

// Areas under the ROC curve of all positive bags, and of the hard and the easy ones against the same negatives.
template <typename Model>
Judged judge(Model& model, const std::vector<Bag>& bags) {
  NoGrad no_grad;
  model.eval();
  std::vector<double> score, positive, hard_score, hard, easy_score, easy;
  for (const Bag& bag : bags) {
    double p = select(softmax(model.pooled(model.instances(one_bag(bag.x))).logits, 1), 1, 1).item();
    bool negative = bag.kind == BagKind::negative;
    score.push_back(p), positive.push_back(negative ? 0 : 1);
    if (bag.kind != BagKind::easy) hard_score.push_back(p), hard.push_back(negative ? 0 : 1);
    if (bag.kind != BagKind::hard) easy_score.push_back(p), easy.push_back(negative ? 0 : 1);
  }
  model.train();
  auto area = [](const std::vector<double>& s, const std::vector<double>& y) {
    return 100 * metrics::roc_auc(from_vector(s), from_vector(y));
  };
  Tensor truth = to(from_vector(positive), i64), said = to(from_vector(score) > 0.5, i64);
  return {area(score, positive), area(hard_score, hard), area(easy_score, easy), 100 * metrics::f1_score(said, truth)};
}

class Training {
 public:
  Training(Cell& cell, const Problem& problem, int64_t epochs) : cell_(cell), p_(problem), epochs_(epochs) {}

  /// Visits every bag once an epoch; step(bag, rate scale) makes the step, after each epoch `model` is judged now and then.
  template <typename Model, typename Step>
  Judged operator()(Model& model, Generator& g, Step&& step) {
    auto schedule = optim::cosine(epochs_);
    for (int64_t epoch = 0; epoch < epochs_; ++epoch) {
      for (int64_t i : data::random_order(static_cast<int64_t>(p_.train.size()), g))
        step(p_.train[static_cast<size_t>(i)], schedule(epoch));
      cell_.progress(static_cast<double>(epoch + 1) / static_cast<double>(epochs_));
      if (noted_ && (epoch + 1) % std::max<int64_t>(1, epochs_ / 5) == 0 && epoch + 1 < epochs_) note(epoch + 1, judge(model, p_.test));
    }
    Judged last = judge(model, p_.test);
    if (noted_) note(epochs_, last);
    return last;
  }
  int64_t steps() const { return epochs_ * static_cast<int64_t>(p_.train.size()); }
  void quiet() { noted_ = false; }

 private:
  void note(int64_t epoch, const Judged& j) {
    cell_.point("AUC, hard positives (%)", "epochs", static_cast<double>(epoch), j.hard);
    cell_.point("AUC (%)", "epochs", static_cast<double>(epoch), j.all);
  }
  Cell& cell_;
  const Problem& p_;
  int64_t epochs_;
  bool noted_ = true;
};

// Without masks.
template <typename Model>
Judged train_plain(Training& training, Model& model, Generator& g) {
  optim::Adam adam(model.parameters(), {.lr = kRate, .weight_decay = kDecay});
  return training(model, g, [&](const Bag& bag, double scale) {
    adam.set_lr_scale(scale);
    adam.zero_grad();
    cross_entropy(model.pooled(model.instances(one_bag(bag.x))).logits, bag.label()).backward();
    adam.step();
  });
}

// What a variant hides, and whether a teacher is followed.
struct Recipe {
  MaskOptions mask = {.beta_h = kHigh, .rr = kHighRandom, .beta_r = kRandom};
  double alpha = kAlpha;
  Scores scores = Scores::attention;
  bool merge = false, own_attention = false;
};

Recipe recipe_of(const Cell& cell) {
  Recipe r;
  if (cell.is("random instance dropout")) r.mask.beta_h = 0, r.mask.beta_r = kRandom + kHigh, r.alpha = 0;
  if (cell.is("own attention masked")) r.alpha = 0, r.own_attention = true;
  if (cell.is("random mask + consistency")) r.mask.beta_h = 0;
  if (cell.is("MHIM, high attention only")) r.mask.beta_r = 0;
  if (cell.is("MHIM v2")) r.mask.beta_r = 0, r.scores = Scores::class_aware, r.merge = true;
  return r;
}

// The projection is the trained model's, the rest fresh.
mil::Abmil student_of(const Problem& p, const mil::Abmil& trained) {
  mil::Abmil student = p.fresh;
  take_parameters(student, trained, "projection.");
  return student;
}

Judged train_masked(Training& training, const Recipe& r, const Problem& p, const mil::Abmil& trained, Generator& g) {
  MhimOptions o{.mask = r.mask, .loss = {.alpha = r.alpha, .scores = r.scores}, .momentum = kMomentum, .steps = training.steps()};
  o.adam = {.lr = kRate, .weight_decay = kDecay};
  if (r.merge) o.merge = MergeOptions{.tokens = 5, .keep = 0.85, .heads = 4};
  MhimTrainer<mil::Abmil> trainer(student_of(p, trained), trained, o);
  return training(trainer.student(), g, [&](const Bag& bag, double scale) {
    trainer.adam().set_lr_scale(scale);
    trainer.step(bag.x, bag.label(), g);
  });
}

// The student's own attention says what to hide; no teacher, no consistency.
Judged train_own_attention(Training& training, const Recipe& r, const Problem& p, const mil::Abmil& trained, Generator& g) {
  mil::Abmil student = student_of(p, trained);
  InstanceMasker masker(r.mask);
  optim::Adam adam(student.parameters(), {.lr = kRate, .weight_decay = kDecay});
  int64_t step = 0;
  return training(student, g, [&](const Bag& bag, double scale) {
    double progress = static_cast<double>(step++) / static_cast<double>(training.steps());
    adam.set_lr_scale(scale);
    adam.zero_grad();
    mhim_loss(student, student, bag.x, bag.label(), masker, progress, {.alpha = 0}, g).loss.backward();
    adam.step();
  });
}

void report(Cell& cell, const Judged& j) {
  cell.metric("AUC, hard positives (%)", j.hard);
  cell.metric("AUC (%)", j.all);
  cell.metric("AUC, easy positives (%)", j.easy);
  cell.metric("F1 (%)", j.f1);
}

void run(Cell& cell) {
  auto problem = cell.shared("bags", [&] { return make_problem(cell); });
  int64_t epochs = cell.pick<int64_t>(1, 40, 100);
  Generator g(cell.seed() + 1);
  auto trained = cell.shared("AB-MIL", [&] {
    mil::Abmil model = problem->fresh;
    Training training(cell, *problem, epochs);
    training.quiet();  // what is shared belongs to no variant's chart
    train_plain(training, model, default_generator());
    return model;
  });
  if (cell.is("AB-MIL")) {
    mil::Abmil model = *trained;
    return report(cell, judge(model, problem->test));
  }
  Training training(cell, *problem, cell.is("AB-MIL, twice the epochs") ? 2 * epochs : epochs);
  if (cell.is("AB-MIL, twice the epochs")) {
    mil::Abmil model = problem->fresh;
    return report(cell, train_plain(training, model, g));
  }
  if (cell.is("mean pool") || cell.is("max pool")) {
    PoolMil model(problem->train[0].x.size(1), cell.is("max pool"));
    xavier_start(model);
    return report(cell, train_plain(training, model, g));
  }
  Recipe r = recipe_of(cell);
  report(cell,
         r.own_attention ? train_own_attention(training, r, *problem, *trained, g) : train_masked(training, r, *problem, *trained, g));
}

}  // namespace

Experiment experiment() {
  return {.title = "MHIM-MIL",
          .paper =
              "Tang, Huang, Zhang, Zhou, Zhang, Liu: Multiple Instance Learning Framework with Masked Hard Instance Mining for Whole Slide "
              "Image Classification, ICCV 2023",
          .claim =
              "a student that does not see the instances its teacher attends to most tells bags with hard positives better than the same "
              "network trained as long without masks",
          .metrics = {{"AUC, hard positives (%)"}, {"AUC (%)"}, {"AUC, easy positives (%)"}, {"F1 (%)"}},
          .variants = {{"mean pool", "no attention: the mean of the projected instances"},
                       {"max pool", "no attention: the largest of each number"},
                       {"AB-MIL", "attention pooling, all instances; the teacher that the others begin with"},
                       {"AB-MIL, twice the epochs", "as much computation as with a teacher"},
                       {"random instance dropout", "β_r = 0.55 hidden at random, no teacher"},
                       {"own attention masked", "MHIM's masks by the student's own attention, no teacher"},
                       {"random mask + consistency", "β_r = 0.5 hidden at random, held to the teacher's embedding"},
                       {"MHIM, high attention only", "β_h = 0.05 falling to 0, rr = 0.5"},
                       {"MHIM v2", "class-aware scores, and 15 % merged into 5 tokens"},
                       {"MHIM", "β_h = 0.05 falling to 0, rr = 0.5, and β_r = 0.5"}},
          .baseline = "AB-MIL, twice the epochs",
          .method = "MHIM",
          .run = run};
}

}  // namespace plumb::methods::mhim_mil
