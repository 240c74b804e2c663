// Digits 5 … 9 from a few examples, by an encoder that was pretrained on 0 … 4: which regulariser keeps fine-tuning from overfitting?
#include "methods/experiment.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "engine/autograd/grad_mode.h"
#include "engine/core/generator.h"
#include "engine/data/digits/digits.h"
#include "methods/common/staged_mlp.h"
#include "methods/common/teacher.h"
#include "methods/finetuning/dr_tune/dr_tune.h"
#include "models/augment/augment.h"
#include "models/metrics/confusion.h"
#include "models/optim/adam.h"
#include "models/optim/schedule.h"
#include "models/optim/sgd.h"
#include "ops/elementary.h"
#include "ops/index.h"
#include "ops/join.h"
#include "ops/loss.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb::methods::dr_tune {
namespace {

constexpr std::array<int64_t, 3> kShots{5, 10, 20};  // labels of each class
constexpr int64_t kClasses = 5, kBatch = 25, kFeatures = 64, kMostShots = 20, kValidation = 40;

struct Images {
  Tensor x, label;  // [n, 1, 8, 8], [n]
  Images at(const std::vector<int64_t>& places) const {
    Tensor rows = from_vector(places);
    return {index_select(x, 0, rows), index_select(label, 0, rows)};
  }
};

// -- data and the pretrained encoder ------------------------------------------------------------------

struct Problem {
  uint64_t seed;
  Images tuning;  // kMostShots of each class, class by class
  Images validation, test;
  StagedMlp pretrained;

  Images few(int64_t shots) const {
    std::vector<int64_t> places;
    for (int64_t c = 0; c < kClasses; ++c)
      for (int64_t i = 0; i < shots; ++i) places.push_back(c * kMostShots + i);
    return tuning.at(places);
  }
};

Images all_digits() {
  data::Dataset digits = data::digits().all();
  data::Batch batch = digits.batch(digits.size()).next();
  return {batch.image, batch.label};
}

// The places of each digit, in random order.
std::array<std::vector<int64_t>, 10> by_digit(const Tensor& label) {
  std::array<std::vector<int64_t>, 10> places;
  std::vector<int64_t> values = to_vector<int64_t>(label);
  for (int64_t i : data::random_order(static_cast<int64_t>(values.size()), default_generator()))
    places[static_cast<size_t>(values[static_cast<size_t>(i)])].push_back(i);
  return places;
}

// Which digit of 0 … 4, and how often it was turned by 90°: two heads on one encoder.
StagedMlp pretrained_on(const Images& digits, int64_t epochs) {
  StagedMlp net({.inputs = 64, .hidden = {128, kFeatures}, .classes = kClasses});
  nn::Linear turns(kFeatures, 4);
  std::vector<Tensor> parameters = net.parameters();
  for (const Tensor& p : turns.parameters()) parameters.push_back(p);
  optim::AdamW adamw(parameters, {.lr = 2e-3, .weight_decay = 1e-2});
  int64_t n = digits.label.size(0), steps = epochs * ((n + 63) / 64), step = 0;
  optim::Schedule schedule = optim::cosine(steps);
  for (int64_t e = 0; e < epochs; ++e) {
    std::vector<int64_t> order = data::random_order(n, default_generator());
    for (int64_t from = 0; from < n; from += 64) {
      Images batch = digits.at({order.begin() + from, order.begin() + std::min(n, from + 64)});
      int64_t rows = batch.label.size(0);
      std::vector<Tensor> views;
      std::vector<int64_t> turned;
      for (int k = 0; k < 4; ++k) {
        views.push_back(rot90(batch.x, k, 2, 3));
        turned.insert(turned.end(), static_cast<size_t>(rows), k);
      }
      Tensor features = net.features(cat(views));
      adamw.zero_grad();
      (cross_entropy(net.head(narrow(features, 0, 0, rows)), batch.label) + cross_entropy(turns(features), from_vector(turned))).backward();
      adamw.set_lr_scale(schedule(step++));
      adamw.step();
    }
  }
  return net;
}

Problem make_problem(uint64_t seed, int64_t pretraining_epochs) {
  manual_seed(seed);
  Images digits = all_digits();
  auto places = by_digit(digits.label);
  std::vector<int64_t> first, tuning, validation, test;
  for (size_t d = 0; d < 5; ++d) first.insert(first.end(), places[d].begin(), places[d].end());
  for (size_t d = 5; d < 10; ++d) {
    auto begin = places[d].begin();
    tuning.insert(tuning.end(), begin, begin + kMostShots);
    validation.insert(validation.end(), begin + kMostShots, begin + kMostShots + kValidation);
    test.insert(test.end(), begin + kMostShots + kValidation, places[d].end());
  }
  auto moved = [](Images images) { return Images{images.x, images.label - 5}; };
  return {seed, moved(digits.at(tuning)), moved(digits.at(validation)), moved(digits.at(test)),
          pretrained_on(digits.at(first), pretraining_epochs)};
}

// -- fine-tuning ----------------------------------------------------------------------------------------

enum class Kind { probe, plain, l2_sp, features, distribution };

struct Recipe {
  Kind kind = Kind::plain;
  double encoder_rate = 0.03, head_rate = 0.3;
  double strength = 0;  // of L2-SP and feature matching
  Calibration calibration{.rotate_every = 1};
};

Kind kind_of(const std::string& variant) {
  if (variant == "linear probe") return Kind::probe;
  if (variant == "cross-entropy") return Kind::plain;
  if (variant == "L2-SP") return Kind::l2_sp;
  if (variant == "feature matching") return Kind::features;
  return Kind::distribution;
}

// The features are small: they are turned in every step.
Calibration calibration_of(const std::string& variant) {
  bool full = variant == "DR-Tune";
  return {.rotate_every = full || variant == "DR, rotation" ? 1 : 0, .shift = full || variant == "DR, class shift"};
}

Tensor distance_from_start(const StagedMlp& net, const std::vector<Tensor>& start) {
  std::vector<Tensor> now = net.layers.parameters();
  Tensor total = sum(square(now[0] - start[0]));
  for (size_t i = 1; i < now.size(); ++i) total = total + sum(square(now[i] - start[i]));
  return total;
}

struct Tuned {
  StagedMlp net;
  double cosine = 0;  // between the class centres of (calibrated) pretrained and current features, at the end
};

// The head that the loss and the queue need, on an encoder with the pretrained layers.
StagedMlp fresh_head(const StagedMlp& pretrained) {
  StagedMlp net({.inputs = 64, .hidden = {128, kFeatures}, .classes = kClasses, .head_std = 0.01});
  StateDict state = net.state();
  for (auto& [name, value] : pretrained.state())
    if (name.starts_with("layers.")) state[name] = value;
  net.load_state(state);
  return net;
}

class FineTuning {
  // The two encoders as functions.
  auto encoder() const {
    return [this](const Tensor& x) { return net_.features(x); };
  }
  auto before() const {
    return [this](const Tensor& x) { return frozen_.model().features(x); };
  }

 public:
  FineTuning(const Problem& problem, const Recipe& recipe, int64_t shots)
      : recipe_(recipe),
        train_(problem.few(shots)),
        random_(problem.seed + 1),
        frozen_(problem.pretrained),
        net_(start(problem)),
        queue_(std::max<int64_t>(2 * kBatch, train_.label.size(0)), kFeatures, kClasses) {
    for (const Tensor& p : frozen_.model().layers.parameters()) anchor_.push_back(p);
    if (recipe_.kind == Kind::probe) net_.layers.requires_grad_(false);
  }

  Tuned operator()(int64_t epochs) {
    double encoder_rate = recipe_.kind == Kind::probe ? 0 : recipe_.encoder_rate;
    optim::SgdOptions options{.lr = encoder_rate, .momentum = 0.9, .weight_decay = 1e-4, .nesterov = true}, fast = options;
    fast.lr = recipe_.head_rate;
    optim::SGD sgd({{net_.layers.parameters(), options}, {net_.head.parameters(), fast}});
    if (recipe_.kind == Kind::distribution)
      while (!queue_.full())
        each_batch([&](const Images& b, int64_t) {
          if (!queue_.full()) fill(queue_, before(), b.x, b.label);
        });
    optim::Schedule schedule = optim::cosine(epochs);
    for (int64_t e = 0; e < epochs; ++e) {
      sgd.set_lr_scale(schedule(e));
      each_batch([&](const Images& batch, int64_t step) {
        sgd.zero_grad();
        loss(batch, step).backward();
        sgd.step();
      });
    }
    return {net_, center_agreement()};
  }

 private:
  static StagedMlp start(const Problem& problem) {
    manual_seed(problem.seed + 1);  // the same head for every recipe
    return fresh_head(problem.pretrained);
  }

  // One pass in random order, each image moved by up to one pixel: f(batch, step within the epoch). A multiple of kBatch by their numbers.
  template <typename F>
  void each_batch(F&& f) {
    int64_t n = train_.label.size(0);
    std::vector<int64_t> order = data::random_order(n, random_);
    for (int64_t from = 0; from + kBatch <= n; from += kBatch) {
      Images batch = train_.at({order.begin() + from, order.begin() + from + kBatch});
      f(Images{augment::random_crop(batch.x, 1, random_), batch.label}, from / kBatch);
    }
  }

  Tensor loss(const Images& b, int64_t step) {
    if (recipe_.kind == Kind::distribution)
      return step_loss(encoder(), before(), net_.head, queue_, b.x, b.label, step, recipe_.calibration);
    Tensor z = net_.features(b.x), loss = cross_entropy(net_.head(z), b.label);
    if (recipe_.kind == Kind::l2_sp) return loss + distance_from_start(net_, anchor_) * recipe_.strength;
    if (recipe_.kind != Kind::features) return loss;
    NoGrad off;
    Tensor z0 = before()(b.x);
    GradMode on(true);
    return loss + mse_loss(z, z0, Reduction::sum) * (recipe_.strength / static_cast<double>(kBatch));
  }

  double center_agreement() const {
    NoGrad off;
    Tensor z = net_.features(train_.x), z0 = frozen_.model().features(train_.x);
    Tensor calibrated = calibrate({z, z0, train_.label}, net_.head.weight, mean_norm(z), 0, recipe_.calibration);
    return center_cosine(calibrated, z, train_.label, kClasses);
  }

  Recipe recipe_;
  Images train_;
  Generator random_;
  FrozenSnapshot<StagedMlp> frozen_;
  StagedMlp net_;
  AlignedQueue queue_;
  std::vector<Tensor> anchor_;
};

double accuracy(const StagedMlp& net, const Images& images) {
  NoGrad off;
  return 100 * metrics::accuracy(argmax(net(images.x), 1), images.label);
}

// -- choosing settings ------------------------------------------------------------------------------------

struct Work {
  int64_t pretraining_epochs, epochs, tuning_problems;
  std::vector<double> encoder_rates, head_rates, strengths;
};

Work work_of(const Cell& cell) {
  if (cell.budget() == Budget::smoke) return {4, 8, 1, {0.03}, {0.3}, {0.01}};
  return {30, cell.pick<int64_t>(0, 40, 100), cell.pick<int64_t>(0, 2, 6), {0.01, 0.03, 0.1}, {0.03, 0.1, 0.3}, {1e-3, 1e-2, 1e-1, 1}};
}

// Problems of seeds that no result is measured on.
std::shared_ptr<const std::vector<Problem>> tuning_problems(Cell& cell) {
  return cell.shared("problems of other seeds", [&] {
    Work work = work_of(cell);
    std::vector<Problem> problems;
    for (int64_t i = 0; i < work.tuning_problems; ++i)
      problems.push_back(make_problem(static_cast<uint64_t>(1'000'000 + i), work.pretraining_epochs));
    return problems;
  });
}

// The recipe with the highest mean validation accuracy on the tuning problems; the first of equals.
Recipe best(Cell& cell, int64_t shots, const std::vector<Recipe>& recipes) {
  if (recipes.size() == 1) return recipes.front();
  auto problems = tuning_problems(cell);
  Recipe chosen = recipes.front();
  double most = -1;
  for (const Recipe& recipe : recipes) {
    double total = 0;
    for (const Problem& p : *problems) total += accuracy(FineTuning(p, recipe, shots)(work_of(cell).epochs).net, p.validation);
    if (total > most) most = total, chosen = recipe;
  }
  return chosen;
}

// Learning rates of every variant by itself: the share of the loss that reaches the encoder differs. Strengths at the cross-entropy's rates
// first, then the rates at the strength.
Recipe recipe_of(Cell& cell, int64_t shots) {
  Work work = work_of(cell);
  Recipe recipe{.kind = kind_of(cell.variant()), .calibration = calibration_of(cell.variant())};
  if (recipe.kind == Kind::l2_sp || recipe.kind == Kind::features) {
    std::vector<Recipe> strengths;
    for (double s : work.strengths) strengths.push_back(recipe), strengths.back().strength = s;
    recipe = best(cell, shots, strengths);
  }
  std::vector<Recipe> rates;
  for (double encoder : recipe.kind == Kind::probe ? std::vector<double>{0.03} : work.encoder_rates)
    for (double head : work.head_rates) {
      rates.push_back(recipe);
      rates.back().encoder_rate = encoder;
      rates.back().head_rate = head;
    }
  return best(cell, shots, rates);
}

// -- measuring --------------------------------------------------------------------------------------------

std::string at_shots(int64_t shots) { return fmt::format("test accuracy, {} labels a class (%)", shots); }

void run(Cell& cell) {
  Work work = work_of(cell);
  auto problem = cell.shared("digits and the pretrained encoder", [&] { return make_problem(cell.seed(), work.pretraining_epochs); });
  double mean_accuracy = 0, cosine = 0, share = 1.0 / kShots.size();
  for (size_t i = 0; i < kShots.size(); ++i) {
    cell.progress(static_cast<double>(i) * share);
    Recipe recipe = recipe_of(cell, kShots[i]);
    Tuned tuned = FineTuning(*problem, recipe, kShots[i])(work.epochs);
    double a = accuracy(tuned.net, problem->test);
    auto x = static_cast<double>(kShots[i]);
    cell.metric(at_shots(kShots[i]), a);
    cell.point("Test accuracy (%)", "labels a class", x, a);
    cell.point("Learning rates that were chosen", "labels a class", x, recipe.head_rate, "head");
    if (recipe.kind != Kind::probe) cell.point("Learning rates that were chosen", "labels a class", x, recipe.encoder_rate, "encoder");
    if (recipe.strength > 0) cell.point("Strengths that were chosen", "labels a class", x, recipe.strength);
    mean_accuracy += share * a;
    cosine += share * tuned.cosine;
  }
  cell.metric("test accuracy (%)", mean_accuracy);
  cell.metric("cosine of class centres", cosine);
}

}  // namespace

Experiment experiment() {
  Experiment e;
  e.title = "DR-Tune";
  e.paper =
      "Zhou, Chen, Huang: DR-Tune: Improving Fine-tuning of Pretrained Visual Models by Distribution Regularization with Semantic "
      "Calibration, ICCV 2023";
  e.claim = "a head that must also classify calibrated pretrained features overfits less, and most so with few labels";
  e.metrics = {{"test accuracy (%)", Better::higher}};
  for (int64_t shots : kShots) e.metrics.push_back({at_shots(shots), Better::higher});
  e.metrics.push_back({"cosine of class centres", Better::neither});
  e.variants = {{"linear probe", "the encoder stays as it was pretrained"},
                {"cross-entropy", "everything is trained, nothing held"},
                {"L2-SP", "and the encoder's weights are drawn to the pretrained ones"},
                {"feature matching", "and its features to the pretrained ones"},
                {"DR, no calibration", "the head also classifies the pretrained features as they are"},
                {"DR, rotation", "turned onto the current ones"},
                {"DR, class shift", "moved to the current class centres"},
                {"DR-Tune", "turned and moved"}};
  e.baseline = "cross-entropy";
  e.method = "DR-Tune";
  e.run = run;
  return e;
}

}  // namespace plumb::methods::dr_tune
