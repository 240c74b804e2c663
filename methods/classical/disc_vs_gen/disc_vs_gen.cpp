// Naive Bayes, and what it is compared by.
#include "methods/classical/disc_vs_gen/disc_vs_gen.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <string>

#include "engine/autograd/grad_mode.h"
#include "methods/common/class_rows.h"
#include "models/optim/schedule.h"
#include "models/optim/sgd.h"
#include "ops/elementary.h"
#include "ops/index.h"
#include "ops/join.h"
#include "ops/loss.h"
#include "ops/matmul.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "ops/softmax.h"

namespace plumb::methods::disc_vs_gen {

GaussianNB::GaussianNB(int64_t classes, const NaiveBayesOptions& options) : options_(options), classes_(classes) {
  if (classes < 2) throw ValueError("naive_bayes: needs at least 2 classes, got " + std::to_string(classes));
  if (!(options.var_smoothing >= 0))
    throw ValueError("naive_bayes: var_smoothing must not be negative, it is " + decimal(options.var_smoothing));
}

GaussianNB& GaussianNB::fit(const Tensor& x, const Tensor& labels) {
  check_class_rows("naive_bayes", x, labels, classes_);
  count_ = mean_ = squares_ = {};
  return partial_fit(x, labels);
}

// Per class, of the parts a (seen before) and b (new): μ = (m_a μ_a + m_b μ_b) / (m_a + m_b),
// Σ (x − μ)² = S_a + S_b + m_a m_b / (m_a + m_b) (μ_a − μ_b)².
GaussianNB& GaussianNB::partial_fit(const Tensor& x, const Tensor& labels) {
  check_class_rows("naive_bayes", x, labels, classes_, /*missing_allowed=*/true);
  if (mean_.defined() && x.size(1) != mean_.size(1))
    throw ShapeError("naive_bayes: features " + to_string(x.shape()) + " must be [m, " + std::to_string(mean_.size(1)) + "]");
  Tensor wide = to(x.detach(), f64), member = to(one_hot(labels, classes_), f64);  // [m, K]
  Tensor count = sum(mT(member), {1}, true), mean = matmul(mT(member), wide) / clamp_min(count, 1);
  Tensor squares = matmul(mT(member), square(wide - index_select(mean, 0, labels)));
  if (!mean_.defined()) {
    count_ = count, mean_ = mean, squares_ = squares;
    return *this;
  }
  Tensor total = clamp_min(count_ + count, 1);
  squares_ = squares_ + squares + count_ * count / total * square(mean_ - mean);
  mean_ = (count_ * mean_ + count * mean) / total;
  count_ = count_ + count;
  return *this;
}

void GaussianNB::check_ready() const {
  if (!mean_.defined()) throw ValueError("naive_bayes: nothing was fitted yet");
  for (int64_t c = 0; c < classes_; ++c)
    if (count_.data<double>()[c] == 0) throw ValueError("naive_bayes: class " + std::to_string(c) + " has no sample");
}

Tensor GaussianNB::priors() const {
  check_ready();
  return reshape(count_, {classes_}) / sum(count_);
}
Tensor GaussianNB::class_variances() const {
  check_ready();
  return squares_ / count_ + options_.var_smoothing;
}
Tensor GaussianNB::pooled_variance() const { return matmul(priors(), class_variances()); }

// Rows and means are taken from the overall mean, so that numbers far from 0 do not cancel.
Tensor GaussianNB::scores(const Tensor& x) const {
  check_ready();
  check_feature_rows("naive_bayes", x, mean_.size(1));
  Tensor center = matmul(priors(), mean_), rows = to(x.detach(), f64) - center, mean = mean_ - center;
  Tensor variance = options_.shared_variance ? expand(unsqueeze(pooled_variance(), 0), mean.shape()) : class_variances();
  Tensor constant = plumb::log(priors()) - sum(square(mean) / variance, {1}) * 0.5;
  if (!options_.shared_variance) constant = constant - sum(plumb::log(variance), {1}) * 0.5;
  return matmul(rows, mT(mean / variance)) - matmul(square(rows), mT(0.5 / variance)) + constant;
}

Tensor GaussianNB::predict(const Tensor& x) const { return argmax(scores(x), -1); }
Tensor GaussianNB::probabilities(const Tensor& x) const { return softmax(scores(x), -1); }

GaussianNB::Linear GaussianNB::as_linear() const {
  if (!options_.shared_variance) throw ValueError("naive_bayes: with a variance for each class the scores are not linear");
  Tensor weight = mean_ / pooled_variance();
  return {weight, plumb::log(priors()) - sum(weight * mean_, {1}) * 0.5};
}

MinMaxScaler::MinMaxScaler(const Tensor& x) {
  if (x.rank() != 2 || x.size(0) < 1) throw ShapeError("min_max_scaler: takes rows [m, n], got " + to_string(x.shape()));
  Tensor wide = to(x.detach(), f64);
  low_ = amin(wide, {0});
  Tensor span = amax(wide, {0}) - low_;
  span_ = where(span > 0, span, 1.0);
}

Tensor MinMaxScaler::operator()(const Tensor& x) const { return (to(x, f64) - low_) / span_; }

double logistic_h_consistency(double t) {
  if (!(t >= 0 && t <= 1)) throw ValueError("logistic_h_consistency: t must lie in [0, 1], it is " + std::to_string(t));
  double falling = t < 1 ? (1 - t) * std::log1p(-t) : 0;
  return ((1 + t) * std::log1p(t) + falling) / 2;
}

double zero_one_bound(double logistic_excess) { return std::sqrt(2 * logistic_excess); }

Tensor draw_all_classes(const Tensor& labels, int64_t classes, int64_t count, Generator& generator) {
  int64_t rows = labels.numel();
  if (count < classes || count > rows)
    throw ValueError("draw_all_classes: " + std::to_string(count) + " rows must be at least the " + std::to_string(classes) +
                     " classes and at most the " + std::to_string(rows) + " rows that there are");
  std::vector<int64_t> label = to_vector<int64_t>(labels);
  for (int64_t c = 0; c < classes; ++c)
    if (std::ranges::find(label, c) == label.end()) throw ValueError("draw_all_classes: class " + std::to_string(c) + " has no sample");
  for (int64_t attempt = 0; attempt < 100'000; ++attempt) {
    Tensor drawn = narrow(randperm(rows, {.dtype = i64, .generator = &generator}), 0, 0, count);
    std::set<int64_t> seen;
    for (int64_t i : to_vector<int64_t>(drawn)) seen.insert(label[static_cast<size_t>(i)]);
    if (static_cast<int64_t>(seen.size()) >= classes) return drawn;
  }
  throw ValueError("draw_all_classes: 100000 draws of " + std::to_string(count) + " rows missed a class each");
}

Predict logistic_by_sgd(const Tensor& x, const Tensor& labels, int64_t classes, const SgdLogisticOptions& o, Generator& g) {
  check_class_rows("logistic_by_sgd", x, labels, classes);
  if (!(o.lr > 0) || o.epochs < 1 || o.batch < 1) throw ValueError("logistic_by_sgd: the rate, epochs and batch must be positive");
  GradMode on(true);
  Tensor rows = to(x.detach(), f64), weight = normal({classes, x.size(1)}, 0, 0.01, {.dtype = f64, .generator = &g}).requires_grad_(),
         bias = zeros({classes}, f64).requires_grad_();
  optim::SGD sgd({weight, bias}, {.lr = o.lr, .momentum = o.momentum});
  optim::Schedule rate = optim::milestones({o.epochs * 6 / 10, o.epochs * 8 / 10}, 0.1);
  for (int64_t epoch = 0; epoch < o.epochs; ++epoch) {
    sgd.set_lr_scale(rate(epoch));
    Tensor order = randperm(x.size(0), {.dtype = i64, .generator = &g});
    for (const Tensor& some : plumb::split(order, o.batch)) {
      sgd.zero_grad();
      cross_entropy(linear(index_select(rows, 0, some), weight, bias), index_select(labels, 0, some)).backward();
      sgd.step();
    }
  }
  return [w = weight.detach(), b = bias.detach()](const Tensor& asked) { return argmax(linear(to(asked, f64), w, b), -1); };
}

double error_rate(const Predict& predict, const Tensor& x, const Tensor& labels) { return 1 - mean(to(predict(x) == labels, f64)).item(); }

std::vector<double> error_curve(const LabelledRows& pool, const LabelledRows& test, int64_t classes, const std::vector<int64_t>& ms,
                                int64_t repeats, const Fit& fit, Generator& generator) {
  if (repeats < 1) throw ValueError("error_curve: needs at least 1 draw, got " + std::to_string(repeats));
  std::vector<double> curve;
  for (int64_t m : ms) {
    double total = 0;
    for (int64_t r = 0; r < repeats; ++r) {
      Tensor drawn = draw_all_classes(pool.y, classes, m, generator), x = index_select(pool.x, 0, drawn);
      MinMaxScaler scale(x);
      total += error_rate(fit(scale(x), index_select(pool.y, 0, drawn)), scale(test.x), test.y);
    }
    curve.push_back(total / static_cast<double>(repeats));
  }
  return curve;
}

std::vector<int64_t> sample_grid(int64_t features, int64_t classes, int64_t most) {
  if (features < 2 || classes < 2)
    throw ValueError("sample_grid: needs 2 features and 2 classes, got " + std::to_string(features) + " and " + std::to_string(classes));
  auto step = static_cast<int64_t>(std::ceil(std::log(static_cast<double>(features))));
  std::vector<int64_t> grid;
  for (int64_t m = 2 * classes; m <= most; m += step) grid.push_back(m);
  return grid;
}

int64_t sample_complexity(const std::vector<int64_t>& grid, double target, const std::function<double(int64_t m)>& error) {
  for (int64_t m : grid)
    if (error(m) < target) return m;
  return -1;
}

int64_t sample_complexity_by_halves(const std::vector<int64_t>& grid, double target, const std::function<double(int64_t m)>& error) {
  if (grid.empty()) return -1;
  auto good = [&](size_t i) { return error(grid[i]) < target; };
  size_t above = 0, last = grid.size() - 1, below = 0;  // the answer lies in [below, above]
  while (!good(above)) {
    if (above == last) return -1;
    below = above + 1;
    above = std::min(2 * above + 1, last);
  }
  while (below < above) {
    size_t middle = (below + above) / 2;
    if (good(middle))
      above = middle;
    else
      below = middle + 1;
  }
  return grid[above];
}

}  // namespace plumb::methods::disc_vs_gen
