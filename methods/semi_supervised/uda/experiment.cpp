// UDA on 8×8 digits with two labels a class: the objective stays, the noise changes. Which noise is worth how much?
#include <fmt/format.h>

#include <cmath>

#include "engine/data/digits/digits.h"
#include "methods/common/consistency_baselines.h"
#include "methods/common/small_cnn.h"
#include "methods/experiment.h"
#include "methods/semi_supervised/uda/uda.h"
#include "models/augment/augment.h"

namespace plumb::methods::uda {
namespace {

struct Problem {
  SemiData data;
  SmallCnn initial;
  uint64_t seed;
};

// The labelled images are among the unlabelled ones, as in the official data.
Problem make_problem() {
  Generator& g = default_generator();
  auto digits = data::digits();
  SemiData data = semi_split(digits.train(), digits.test(), 2, g, /*with_labelled=*/true);
  return {std::move(data), SmallCnn(), g.next_u64()};
}

augment::View rand_augment() { return augment::rand_augment_view(augment::small_digits_policy()); }
augment::View cutout_view(int64_t side) {
  return [side](const Tensor& images, Generator& g) { return augment::cutout(images, side, g); };
}

// What is done to an unlabelled image before the weak augmentation, which every copy gets a draw of its own of.
augment::View noise_of(const Cell& cell) {
  if (cell.is("UDA, Gaussian noise")) return augment::gaussian_view(0.1);
  if (cell.is("UDA, cutout")) return cutout_view(2);
  if (cell.is("UDA, weak") || cell.is("Mean Teacher")) return [](const Tensor& images, Generator&) { return images; };
  return rand_augment();
}

SemiBatchOptions batches_of(const Cell& cell, uint64_t seed) {
  SemiBatchOptions o{.batch = 16, .ratio = cell.pick<int64_t>(2, 4, 4), .seed = seed};
  o.strong = strong_then_weak(noise_of(cell), o.weak);
  o.strong_labelled = cell.is("supervised, strong");
  if (cell.variant().starts_with("supervised")) o.ratio = 0;
  return o;
}

// The settings of the official image code; T of the annealing is the length of training.
UdaOptions options_of(const Cell& cell, int64_t steps) {
  UdaOptions o{.lambda = 1, .consistency = {.tau = 0.4, .beta = 0.8}, .steps = steps};
  if (cell.is("UDA, strong, linear TSA")) o.annealing = Annealing::linear;
  return o;
}

// The last accuracy; of the other numbers means over the second half of training, when the network has settled.
class Run {
 public:
  Run(Cell& cell, int64_t steps) : cell_(cell), steps_(steps) {}
  void operator()(const SemiProgress& p) {
    draw("test accuracy (%)", p.step, p.accuracy);
    if (!cell_.variant().starts_with("supervised")) {
      draw("unlabelled examples used (%)", p.step, p.used);
      draw("labels of used examples right (%)", p.step, p.label_accuracy);
    }
    accuracy_ = p.accuracy;
    if (2 * p.step > steps_) used_ += p.used, ++late_;
    cell_.progress(static_cast<double>(p.step) / static_cast<double>(steps_));
  }
  void report() {
    cell_.metric("test accuracy (%)", accuracy_);
    cell_.metric("unlabelled used (%)", late_ > 0 ? used_ / late_ : 0);
  }

 private:
  void draw(const char* chart, int64_t step, double value) {
    if (std::isfinite(value)) cell_.point(chart, "steps", static_cast<double>(step), value);
  }
  Cell& cell_;
  int64_t steps_;
  double accuracy_ = 0, used_ = 0;
  int late_ = 0;
};

void run(Cell& cell) {
  auto problem = cell.shared("digits with 2 labels a class", make_problem);
  SemiTrainOptions training = uda_training(cell.pick<int64_t>(20, 1000, 5000));
  training.ema = cell.pick(0.9, 0.99, 0.999);
  training.evaluate_every = cell.pick<int64_t>(10, 50, 250);
  SmallCnn model = problem->initial;
  SemiBatcher batches(problem->data, batches_of(cell, problem->seed));
  Run listen(cell, training.steps);
  auto train = [&](auto&& loss) { train_semi_supervised(model, problem->data, batches, training, loss, listen); };
  if (cell.variant().starts_with("supervised"))
    train(Supervised());
  else if (cell.is("FixMatch"))
    train(FixMatch({}, problem->data));
  else if (cell.is("Mean Teacher"))
    train(MeanTeacher<SmallCnn>(model, {.decay = 0.99, .weight = 1, .ramp = training.steps / 5}));
  else
    train(Uda(options_of(cell, training.steps)));
  listen.report();
}

}  // namespace

Experiment experiment() {
  return {.title = "UDA",
          .paper = "Xie, Dai, Hovy, Luong, Le: Unsupervised Data Augmentation for Consistency Training, NeurIPS 2020",
          .claim =
              "with the same objective, consistency under strong augmentation is worth more than under weak noise, and more than the "
              "same augmentation of the labelled examples",
          .metrics = {{"test accuracy (%)"}, {"unlabelled used (%)", Better::neither}},
          .variants = {{"supervised, weak", "the labelled examples alone, moved by a pixel"},
                       {"supervised, strong", "the labelled examples alone, strongly augmented"},
                       {"Mean Teacher", "an average's predictions as targets, weak noise"},
                       {"FixMatch", "hard labels above 0.95, the same strong views as UDA"},
                       {"UDA, Gaussian noise", "the noise is normal, σ = 0.1"},
                       {"UDA, weak", "the noise is the weak augmentation alone, drawn twice"},
                       {"UDA, cutout", "the noise is a 2×2 square cut out"},
                       {"UDA, strong", "RandAugment: two of seven changes, and a square cut out"},
                       {"UDA, strong, linear TSA", "and labelled examples released as training goes on"}},
          .baseline = "UDA, weak",
          .method = "UDA, strong",
          .run = run};
}

}  // namespace plumb::methods::uda
