// Naive Bayes against logistic regression on normal mixtures (how many samples are enough, as features grow?) and on frozen features of
// images (who is better with few labels, who with many?).
#include "methods/experiment.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "engine/autograd/grad_mode.h"
#include "engine/data/digits/digits.h"
#include "engine/data/images.h"
#include "methods/classical/disc_vs_gen/mixtures.h"
#include "methods/common/image_sets.h"
#include "methods/common/logistic_regression.h"
#include "methods/common/small_cnn.h"
#include "models/metrics/line_fit.h"
#include "models/optim/adam.h"
#include "ops/index.h"
#include "ops/join.h"
#include "ops/loss.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb::methods::disc_vs_gen {
namespace {

const std::string kLr = "LR", kLrBest = "LR, best C", kLrSgd = "LR, SGD", kNb = "NB", kNbFloor = "NB, floor 1e-3",
                  kNbOwn = "NB, own variances";
constexpr double kSgdRateFeatures = 30, kSgdRateSimulation = 1;  // the paper's
constexpr double kNetworkRate = 1e-3;                            // of Adam, for the networks whose features are frozen

// -- classifiers ------------------------------------------------------------------------------------------------

Fit logistic(double c) {
  return [c](const Tensor& x, const Tensor& y) -> Predict {
    LogisticRegression fitted(x, y, max(y).item<int64_t>() + 1, {.c = c, .iterations = 300, .gradient_tolerance = 1e-5});
    return [fitted](const Tensor& rows) { return fitted.predict(rows); };
  };
}

Fit naive_bayes(const NaiveBayesOptions& options) {
  return [options](const Tensor& x, const Tensor& y) -> Predict {
    GaussianNB fitted(max(y).item<int64_t>() + 1, options);
    fitted.fit(x, y);
    return [fitted](const Tensor& rows) { return fitted.predict(rows); };
  };
}

Fit by_descent(double lr) {
  return
      [lr](const Tensor& x, const Tensor& y) { return logistic_by_sgd(x, y, max(y).item<int64_t>() + 1, {.lr = lr}, default_generator()); };
}

// One fit, or several of which the best counts at each m: more than anyone with few labels could know.
std::vector<Fit> fits_of(const Cell& cell, double sgd_rate) {
  if (cell.is(kLrSgd)) return {by_descent(sgd_rate)};
  if (cell.is(kLrBest)) {
    std::vector<Fit> fits;
    for (double c : cell.pick<std::vector<double>>({0.1, 1}, {0.01, 0.1, 1, 10}, {0.001, 0.01, 0.1, 1, 10, 100}))
      fits.push_back(logistic(c));
    return fits;
  }
  if (cell.is(kLr)) return {logistic(1)};
  if (cell.is(kNb)) return {naive_bayes({})};
  if (cell.is(kNbFloor)) return {naive_bayes({.var_smoothing = 1e-3})};
  return {naive_bayes({.shared_variance = false})};
}

// -- how many samples are enough --------------------------------------------------------------------------------

struct Simulation {
  Mixture mixture;
  LabelledRows test;
};

// The mean error over `repeats` draws of m rows, the best of the fits.
double mean_error(const Simulation& s, const std::vector<Fit>& fits, int64_t m, int64_t repeats) {
  std::vector<double> total(fits.size());
  for (int64_t r = 0; r < repeats; ++r) {
    LabelledRows train = draw(s.mixture, m, default_generator());
    for (size_t i = 0; i < fits.size(); ++i) total[i] += error_rate(fits[i](train.x, train.y), s.test.x, s.test.y);
  }
  return *std::ranges::min_element(total) / static_cast<double>(repeats);
}

// Slope of log m* over log n. NaN where some n was not learned.
double scaling(Cell& cell, int64_t classes, bool hard, const std::vector<int64_t>& widths, double from, double to) {
  std::vector<Fit> fits = fits_of(cell, kSgdRateSimulation);
  std::string name = "K = " + std::to_string(classes) + (hard ? ", correlated" : "");
  std::vector<double> x, y;
  bool all = true;
  for (size_t i = 0; i < widths.size(); ++i) {
    int64_t n = widths[i];
    auto s = cell.shared("simulation " + name + " " + std::to_string(n), [&] {
      Simulation made{hard ? gaussian_mixture_hard(n, classes, 1, default_generator()) : gaussian_mixture_easy(n, classes), {}};
      made.test = draw(made.mixture, cell.pick<int64_t>(500, 4000, 10'000), default_generator());
      return made;
    });
    std::vector<int64_t> grid = sample_grid(n, classes, 8 * n);
    int64_t m = sample_complexity_by_halves(grid, bayes_error(s->mixture) + 0.01, [&](int64_t rows) {
      cell.progress(from + (to - from) * (static_cast<double>(i) + 0.5) / static_cast<double>(widths.size()));
      return mean_error(*s, fits, rows, cell.pick<int64_t>(2, 5, 5));
    });
    all = all && m > 0;
    if (m < 0) continue;
    x.push_back(static_cast<double>(n));
    y.push_back(static_cast<double>(m));
    cell.point("samples to within 0.01 of the least error", "log10 features", std::log10(x.back()), std::log10(y.back()), name);
  }
  return all && x.size() > 1 ? power_law_fit(x, y).slope : std::numeric_limits<double>::quiet_NaN();
}

// -- frozen features --------------------------------------------------------------------------------------------

struct Source {
  LabelledRows pool, test;
};
struct Images {
  Tensor known, known_labels;  // what networks learn from: classes 0 … 4 alone
  Tensor pool, pool_labels, test, test_labels;
};

Images read_images(const data::Dataset& train, const data::Dataset& test, int64_t learned, int64_t pool, int64_t judged) {
  data::Batch first = train.take(learned).with_labels({0, 1, 2, 3, 4}).batch(learned).next(),
              rest = train.skip(learned).take(pool).batch(pool).next(), asked = test.take(judged).batch(judged).next();
  return {first.image, first.label, rest.image, rest.label, asked.image, asked.label};
}

// The digits carried inside stand in for garments where those are not there.
Images images_of(const Cell& cell) {
  data::DatasetParts digits = data::digits();
  if (cell.budget() == Budget::smoke) return read_images(digits.train(), digits.test(), 300, 400, 150);
  if (!images_there("fashion_mnist")) return read_images(digits.train(), digits.test(), 600, 838, 359);
  int64_t learned = cell.pick<int64_t>(0, 6000, 30'000), pool = cell.pick<int64_t>(0, 6000, 25'000);
  return read_images(data::fashion_mnist().train(), data::fashion_mnist().test(), learned, pool, cell.pick<int64_t>(0, 2000, 10'000));
}

// Four turns of every image, labelled by how far it was turned.
std::pair<Tensor, Tensor> turned(const Tensor& images) {
  std::vector<Tensor> parts;
  for (int turns = 0; turns < 4; ++turns) parts.push_back(rot90(images, turns, 2, 3));
  return {cat(parts), repeat_interleave(from_vector(std::vector<int64_t>{0, 1, 2, 3}), images.size(0), 0)};
}

SmallCnn trained_network(Cell& cell, const Tensor& images, const Tensor& labels, int64_t classes, int64_t steps) {
  SmallCnn net({.channels = images.size(1), .side = images.size(3), .classes = classes, .width = 8});
  optim::Adam adam(net.parameters(), {.lr = kNetworkRate});
  for (int64_t step = 0; step < steps; ++step) {
    Tensor index = randint(0, images.size(0), {64});
    adam.zero_grad();
    cross_entropy(net(index_select(images, 0, index)), index_select(labels, 0, index)).backward();
    adam.step();
    if (step % 20 == 0) cell.progress(0);
  }
  net.eval();
  return net;
}

Tensor features_of(const SmallCnn& net, const Tensor& images) {
  NoGrad off;
  std::vector<Tensor> parts;
  for (const Tensor& some : split(images, 500)) parts.push_back(net.features(some));
  return to(cat(parts), f64);
}

Source frozen(Cell& cell, const Images& images, bool supervised) {
  int64_t steps = cell.pick<int64_t>(20, 300, 3000);
  auto [x, y] = supervised ? std::pair{images.known, images.known_labels} : turned(images.known);
  SmallCnn net = trained_network(cell, x, y, supervised ? 5 : 4, steps);
  return {{features_of(net, images.pool), images.pool_labels}, {features_of(net, images.test), images.test_labels}};
}

Source raw_digits() {
  data::DatasetParts parts = data::digits();
  data::Batch train = parts.train().batch(parts.train().size()).next(), test = parts.test().batch(parts.test().size()).next();
  return {{to(flatten(train.image, 1), f64), train.label}, {to(flatten(test.image, 1), f64), test.label}};
}

Source synthetic(const Cell& cell) {
  Mixture mixture = two_regimes(60, 10, 0.2, default_generator());
  return {draw(mixture, cell.pick<int64_t>(600, 4000, 20'000), default_generator()),
          draw(mixture, cell.pick<int64_t>(500, 4000, 10'000), default_generator())};
}

struct Part {
  std::string name;
  std::vector<int64_t> ms;  // those that fit in the pool
};

std::vector<int64_t> sizes_within(int64_t rows, int64_t most) {
  std::vector<int64_t> ms;
  for (int64_t m : {20, 50, 100, 200, 500, 1000, 2000, 5000, 10'000, 20'000})
    if (m <= rows && m <= most) ms.push_back(m);
  return ms;
}

std::string few_metric(const std::string& source) { return "error at m = 50, " + source + " (%)"; }
std::string many_metric(const std::string& source) { return "error at the largest m, " + source + " (%)"; }

void compare(Cell& cell, const std::string& name, const Source& source, int64_t most) {
  std::vector<Fit> fits = fits_of(cell, kSgdRateFeatures);
  std::vector<int64_t> ms = sizes_within(source.pool.y.numel(), most);
  for (int64_t m : ms) {
    Generator start = default_generator();
    double best = 1;
    for (const Fit& fit : fits) {  // every fit sees the same draws
      default_generator() = start;
      best = std::min(best, error_curve(source.pool, source.test, 10, {m}, cell.pick<int64_t>(2, 5, 5), fit, default_generator())[0]);
    }
    cell.point("error (%), " + name, "log10 labelled samples", std::log10(static_cast<double>(m)), 100 * best);
    if (m == 50) cell.metric(few_metric(name), 100 * best);
    if (m == ms.back()) cell.metric(many_metric(name), 100 * best);
  }
}

// -----------------------------------------------------------------------------------------------------------------

const std::string kSlope2 = "exponent of m* in n, K = 2", kSlope3 = "exponent of m* in n, K = 3";
const std::vector<std::string> kSources{"synthetic", "supervised features", "rotation features", "raw digits"};

void run(Cell& cell) {
  cell.metric(kSlope2,
              scaling(cell, 2, false, cell.pick<std::vector<int64_t>>({20, 40}, {50, 100, 200, 400}, {100, 200, 400, 1000}), 0, 0.2));
  cell.metric(kSlope3, scaling(cell, 3, false, cell.pick<std::vector<int64_t>>({20, 40}, {50, 100, 200}, {100, 200, 400, 1000}), 0.2, 0.4));
  scaling(cell, 2, true, cell.pick<std::vector<int64_t>>({20}, {50, 100, 200}, {100, 200, 400, 1000}), 0.4, 0.5);  // for the chart
  int64_t most = cell.pick<int64_t>(200, 3000, 20'000);
  compare(cell, kSources[0], *cell.shared("synthetic", [&] { return synthetic(cell); }), most);
  cell.progress(0.6);
  auto images = cell.shared("images", [&] { return images_of(cell); });
  most = cell.pick<int64_t>(200, 5000, 20'000);
  compare(cell, kSources[1], *cell.shared("supervised", [&] { return frozen(cell, *images, true); }), most);
  cell.progress(0.75);
  compare(cell, kSources[2], *cell.shared("rotation", [&] { return frozen(cell, *images, false); }), most);
  cell.progress(0.9);
  compare(cell, kSources[3], *cell.shared("raw digits", [&] { return raw_digits(); }), most);
}

}  // namespace

Experiment experiment() {
  Experiment e;
  e.title = "Naive Bayes against logistic regression";
  e.paper = "Zheng, Wu, Bao, Cao, Li and Zhu, Revisiting Discriminative vs. Generative Classifiers: Theory and Implications, ICML 2023";
  e.claim = "Naive Bayes needs a number of samples that does not grow with the features, logistic regression one that grows in proportion.";
  e.metrics = {{kSlope2, Better::lower}, {kSlope3, Better::lower}};
  for (const std::string& source : kSources) {
    e.metrics.push_back({few_metric(source), Better::lower});
    e.metrics.push_back({many_metric(source), Better::lower});
  }
  e.variants = {{kLr, "multinomial logistic regression, C = 1 on the sum over samples, L-BFGS"},
                {kLrBest, "the C of 0.01, 0.1, 1, 10 that is best on the test rows at each m: better than could be chosen"},
                {kLrSgd, "batch gradient descent on the mean without a ridge, the paper's rates"},
                {kNb, "variances shared by the classes, floor 1e-9"},
                {kNbFloor, "variances shared, floor 1e-3"},
                {kNbOwn, "a variance for each class and feature: a quadratic classifier"}};
  e.baseline = kLr;
  e.method = kNb;
  e.run = run;
  return e;
}

}  // namespace plumb::methods::disc_vs_gen
