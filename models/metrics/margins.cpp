// Margins and attacks by them, on the host in f64.
#include "models/metrics/margins.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "models/metrics/roc.h"
#include "ops/index.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"

namespace plumb::metrics {
namespace {

constexpr double kLeastDeviation = 1e-6;

void check_rows(const char* op, const Tensor& a, const Tensor& b) {
  if (a.rank() != 2 || b.rank() != 2 || a.size(0) != b.size(0))
    throw ShapeError(std::string(op) + ": takes margins [N, ..] of N models each, got " + to_string(a.shape()) + " and " +
                     to_string(b.shape()));
  if (a.numel() == 0 || b.numel() == 0) throw ValueError(std::string(op) + ": there are no margins");
}

/// log N(v; μ, σ²) up to a constant, of column `i` of margins [N, n], with moments of the even rows.
class Normal {
 public:
  Normal(const std::vector<double>& margins, size_t n, size_t i) {
    size_t count = 0;
    for (size_t at = i; at < margins.size(); at += 2 * n, ++count) mean_ += margins[at];
    mean_ /= static_cast<double>(count);
    double squares = 0;
    for (size_t at = i; at < margins.size(); at += 2 * n) squares += (margins[at] - mean_) * (margins[at] - mean_);
    deviation_ = std::max(kLeastDeviation, std::sqrt(squares / static_cast<double>(count - 1)));
  }
  double log_density(double v) const {
    double z = (v - mean_) / deviation_;
    return -0.5 * z * z - std::log(deviation_);
  }

 private:
  double mean_ = 0, deviation_ = 0;
};

}  // namespace

Tensor margin(const Tensor& logits, const Tensor& labels) {
  if (logits.rank() < 2 || labels.shape() != Shape{logits.size(-2)})
    throw ShapeError("margin: logits " + to_string(logits.shape()) + " and labels " + to_string(labels.shape()) +
                     " must be [.., n, C] and [n]");
  int64_t classes = logits.size(-1);
  if (classes < 2) throw ValueError("margin: takes at least 2 classes, got " + std::to_string(classes));
  for (int64_t y : to_vector<int64_t>(labels))
    if (y < 0 || y >= classes) throw IndexError("margin: label " + std::to_string(y) + " is outside [0, " + std::to_string(classes) + ")");
  Tensor own = one_hot(labels, classes) != 0;
  Tensor others = masked_fill(logits, own, -std::numeric_limits<double>::infinity());
  return sum(where(own, logits, 0.0), {-1}) - logsumexp(others, {-1});
}

double margin_attack(const Tensor& members, const Tensor& others) {
  check_rows("margin_attack", members, others);
  auto in = to_vector(members), out = to_vector(others);
  auto models = static_cast<size_t>(members.size(0));
  size_t a = in.size() / models, b = out.size() / models;
  Tensor positive = zeros({static_cast<int64_t>(a + b)}, DType::boolean);
  std::fill_n(positive.data<bool>(), a, true);
  double total = 0;
  for (size_t k = 0; k < models; ++k) {
    std::vector<double> scores(in.begin() + static_cast<int64_t>(k * a), in.begin() + static_cast<int64_t>((k + 1) * a));
    scores.insert(scores.end(), out.begin() + static_cast<int64_t>(k * b), out.begin() + static_cast<int64_t>((k + 1) * b));
    total += roc_auc(from_vector(scores), positive);
  }
  return total / static_cast<double>(models);
}

LikelihoodAttack likelihood_attack(const Tensor& unlearned, const Tensor& retrained) {
  check_rows("likelihood_attack", unlearned, retrained);
  if (unlearned.shape() != retrained.shape())
    throw ShapeError("likelihood_attack: margins " + to_string(unlearned.shape()) + " and " + to_string(retrained.shape()) +
                     " must have one shape");
  if (unlearned.size(0) < 4) throw ValueError("likelihood_attack: takes at least 4 models, got " + std::to_string(unlearned.size(0)));
  auto a = to_vector(unlearned), b = to_vector(retrained);
  auto n = static_cast<size_t>(unlearned.size(1));
  std::vector<double> ratios;
  std::vector<int64_t> positive;
  double right = 0;
  for (size_t i = 0; i < n; ++i) {
    Normal of_a(a, n, i), of_b(b, n, i);
    for (const auto* side : {&a, &b})
      for (size_t at = n + i; at < side->size(); at += 2 * n) {
        double ratio = of_a.log_density((*side)[at]) - of_b.log_density((*side)[at]);
        bool is_a = side == &a;
        ratios.push_back(ratio);
        positive.push_back(is_a ? 1 : 0);
        right += ratio == 0 ? 0.5 : (ratio > 0) == is_a ? 1 : 0;
      }
  }
  return {roc_auc(from_vector(ratios), from_vector(positive)), right / static_cast<double>(ratios.size())};
}

}  // namespace plumb::metrics
