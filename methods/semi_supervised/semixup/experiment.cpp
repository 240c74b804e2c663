// Semixup on 8×8 digits with five labels and with two labels a class: is keeping predictions together in three ways better than in one?
#include <fmt/format.h>

#include <algorithm>

#include "engine/data/digits/digits.h"
#include "methods/experiment.h"
#include "methods/semi_supervised/semixup/semixup.h"
#include "models/augment/radiograph.h"
#include "models/metrics/confusion.h"
#include "models/nn/conv.h"
#include "models/nn/dropout.h"
#include "models/nn/linear.h"
#include "models/nn/norm.h"
#include "ops/activation.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb::methods::semixup {
namespace {

// The convolutional network of the family's experiments with instance norm, which does not couple the views of a batch as batch norm does,
// and with dropout.
struct GradingCnn : nn::Module {
  nn::Conv2d conv1{this, "conv1", 1, 16, 3, {.padding = 1, .bias = false}};
  nn::InstanceNorm norm1{this, "norm1", 16};
  nn::Dropout drop1{this, "drop1", 0.2};
  nn::Conv2d conv2{this, "conv2", 16, 32, 3, {.stride = 2, .padding = 1, .bias = false}};
  nn::InstanceNorm norm2{this, "norm2", 32};
  nn::Linear fc{this, "fc", 32 * 4 * 4, 64};
  nn::Dropout drop2{this, "drop2", 0.2};
  nn::Linear head{this, "head", 64, 10};

  Tensor operator()(const Tensor& images) const {
    Tensor x = drop1(leaky_relu(norm1(conv1(images)), 0.2));
    x = leaky_relu(norm2(conv2(x)), 0.2);
    return head(drop2(leaky_relu(fc(flatten(x, 1)), 0.2)));
  }
};

struct Problem {
  SemiData data;
  GradingCnn initial;
  uint64_t seed;
};

Problem make_problem(int64_t per_class) {
  Generator& g = default_generator();
  auto digits = data::digits();
  SemiData data = semi_split(digits.train(), digits.test(), per_class, g, /*with_labelled=*/true);
  return {std::move(data), GradingCnn(), g.next_u64()};
}

augment::View augmentation() { return augment::radiograph_view({.noise_low = 0.05, .noise_high = 0.05}); }

Weights weights_of(const Cell& cell) {
  Weights w;
  w.drop_in = cell.is("Semixup without in-manifold");
  w.drop_interpolated = cell.is("Semixup without interpolation");
  w.drop_out = cell.is("Semixup without out-of-manifold");
  return w;
}

// T is applied to what every variant trains on, and once more for the second view; FixMatch's second view is a strong one.
SemiBatchOptions batches_of(const Cell& cell, uint64_t seed) {
  SemiBatchOptions o{.batch = 20, .ratio = cell.pick<int64_t>(1, 2, 2), .strong_views = 0, .weak = augmentation(), .seed = seed};
  if (cell.is("supervised + mixup")) o.ratio = 0;
  if (cell.is("FixMatch")) o.strong_views = 1, o.strong = augment::rand_augment_view(augment::small_digits_policy(), augmentation());
  return o;
}

template <typename Loss>
double trained(Cell& cell, const Problem& problem, int64_t steps, double from, const char* level, Loss&& loss) {
  GradingCnn model = problem.initial;
  SemiTrainOptions training{
      .steps = steps, .adam = optim::AdamOptions{.lr = 1e-3}, .ema = 0, .evaluate_every = std::max<int64_t>(1, steps / 10)};
  auto listen = [&](const SemiProgress& p) {
    cell.point(fmt::format("test accuracy, {} (%)", level), "steps", static_cast<double>(p.step), p.accuracy);
    cell.progress(from + 0.5 * static_cast<double>(p.step) / static_cast<double>(steps));
  };
  auto last = train_semi_supervised(model, problem.data, SemiBatcher(problem.data, batches_of(cell, problem.seed)), training, loss, listen);
  NoGrad no_grad;
  return 100 * metrics::balanced_accuracy(argmax(last.model(problem.data.test), 1), problem.data.test_labels);
}

void run_level(Cell& cell, int64_t per_class, const char* level, double from) {
  auto problem = cell.shared(std::string("digits with ") + level, [&] { return make_problem(per_class); });
  int64_t steps = cell.pick<int64_t>(10, 800, 1500);
  ConsistencyCommon common{.augment = augmentation(), .seed = problem->seed};
  auto train = [&](auto&& loss) { return trained(cell, *problem, steps, from, level, loss); };
  double accuracy;
  if (cell.is("supervised + mixup"))
    accuracy = train(MixupSupervised(common));
  else if (cell.is("Pi-model"))
    accuracy = train(PiModel({.common = common}));
  else if (cell.is("ICT"))
    accuracy = train(InterpolationConsistency({.common = common}));
  else if (cell.is("MixMatch"))
    accuracy = train(MixMatch({.common = common}));
  else if (cell.is("FixMatch"))
    accuracy = train(FixMatch({}, problem->data));
  else
    accuracy = train(Semixup({.weights = weights_of(cell), .common = common}));
  cell.metric(fmt::format("balanced accuracy, {} (%)", level), accuracy);
}

void run(Cell& cell) {
  run_level(cell, 5, "5 labels a class", 0);
  run_level(cell, 2, "2 labels a class", 0.5);
}

}  // namespace

Experiment experiment() {
  return {.title = "Semixup",
          .paper =
              "Nguyen, Saarakkala, Blaschko, Tiulpin: Semixup: In- and Out-of-Manifold Regularization for Deep Semi-Supervised Knee "
              "Osteoarthritis Severity Grading from Plain Radiographs, IEEE Transactions on Medical Imaging 2020",
          .claim =
              "with few labels, in-manifold, out-of-manifold and interpolated consistency together are more accurate than the Pi-model "
              "or interpolation consistency alone",
          .metrics = {{"balanced accuracy, 5 labels a class (%)"}, {"balanced accuracy, 2 labels a class (%)"}},
          .variants = {{"supervised + mixup", "the labelled examples alone"},
                       {"Pi-model", "weight 1 on two views' predictions"},
                       {"ICT", "interpolation consistency, weight 10, with the present network"},
                       {"MixMatch", "guessed labels, weight 10"},
                       {"FixMatch", "strong views, hard labels above 0.95: for comparison, no mixup"},
                       {"Semixup", "weights 2, 4, 2"},
                       {"Semixup without in-manifold", "weights 0, 4, 2"},
                       {"Semixup without interpolation", "weights 2, 0, 2"},
                       {"Semixup without out-of-manifold", "weights 2, 4, 0"}},
          .baseline = "supervised + mixup",
          .method = "Semixup",
          .run = run};
}

}  // namespace plumb::methods::semixup
