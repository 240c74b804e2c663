// TimeX's losses, masks and measures.
#include "methods/time_series/timex/timex.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>
#include <vector>

#include "engine/autograd/backward.h"
#include "engine/autograd/grad_mode.h"
#include "methods/common/masked_contrastive.h"
#include "models/metrics/roc.h"
#include "ops/elementary.h"
#include "ops/index.h"
#include "ops/join.h"
#include "ops/loss.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "ops/softmax.h"
#include "ops/sort.h"

namespace plumb::methods::timex {
namespace {

void check_pair(const char* op, const Tensor& a, const Tensor& b) {
  if (a.rank() != 2 || a.shape() != b.shape() || a.size(0) < 1)
    throw ShapeError(std::string(op) + ": rows " + to_string(a.shape()) + " and " + to_string(b.shape()) + " must be of one shape [B, D]");
}

// The places of all pairs i < j.
std::pair<Tensor, Tensor> pairs_of(int64_t rows) {
  std::vector<int64_t> first, second;
  for (int64_t i = 0; i < rows; ++i)
    for (int64_t j = i + 1; j < rows; ++j) first.push_back(i), second.push_back(j);
  return {from_vector(first), from_vector(second)};
}

// The released code's divergence: KL of the middle from both, over classes and pairs averaged.
Tensor reverse_js_mean(const Tensor& a, const Tensor& b) {
  Tensor log_m = logaddexp(a, b) - std::log(2.0), m = exp(log_m);
  return mean(m * (log_m - a) + m * (log_m - b)) * 0.5;
}

}  // namespace

Tensor mbc_loss(const Tensor& z, const Tensor& z_e) {
  check_pair("mbc_loss", z, z_e);
  return mean(square(cosine_similarities(z, 1) - cosine_similarities(z_e, 1)));
}

Tensor label_consistency_loss(const Tensor& y, const Tensor& y_e, LabelForm form) {
  check_pair("label_consistency_loss", y, y_e);
  if (y.size(0) < 2) return sum(y_e) * 0;
  auto [i, j] = pairs_of(y.size(0));
  Tensor log_y = log_softmax(y, -1), log_e = log_softmax(y_e, -1);
  auto at = [](const Tensor& x, const Tensor& rows) { return index_select(x, 0, rows); };
  if (form == LabelForm::released) return square(reverse_js_mean(at(log_y, i), at(log_y, j)) - reverse_js_mean(at(log_e, i), at(log_e, j)));
  JsOptions each{.reduction = Reduction::none};
  return mean(square(js_divergence(at(log_y, i), at(log_y, j), each) - js_divergence(at(log_e, i), at(log_e, j), each)));
}

Tensor gsat_loss(const Tensor& p, double r) {
  if (!(r > 0 && r < 1)) throw ValueError("gsat_loss: the prior must lie in (0, 1), it is " + decimal(r));
  constexpr double kEps = 1e-6;
  Tensor q = 1 - p;
  return mean(p * log(p / r + kEps) + q * log(q / (1 - r + kEps) + kEps));
}

Tensor connect_loss(const Tensor& p) {
  if (p.rank() < 2 || p.size(1) < 2)
    throw ShapeError("connect_loss: takes [B, T] or [B, T, d] with T at least 2, got " + to_string(p.shape()));
  Tensor step = narrow(p, 1, 1, p.size(1) - 1) - narrow(p, 1, 0, p.size(1) - 1);
  return norm(step) / static_cast<double>(step.numel());
}

Tensor poly1_loss(const Tensor& logits, const Tensor& labels, double epsilon) {
  Tensor of_truth = gather(softmax(logits, -1), -1, unsqueeze(labels, -1));
  return cross_entropy(logits, labels) + mean(1 - of_truth) * epsilon;
}

// hard + (soft − soft): exactly hard, and the gradient goes to the first soft.
Tensor straight_through(const Tensor& soft) {
  Tensor hard = to(one_hot(argmax(soft.detach(), -1), soft.size(-1)), soft.dtype());
  return hard + (soft - soft.detach());
}

Tensor relaxed_sample(const Tensor& log_p, const Tensor& noise, double tau) { return softmax(log_p + noise, -1, tau); }

Tensor gumbel_softmax_st(const Tensor& log_p, double tau, Generator& g) {
  return straight_through(relaxed_sample(log_p, gumbel(log_p.shape(), {.dtype = log_p.dtype(), .generator = &g}), tau));
}

Tensor sample_mask(const Tensor& p, double tau, Generator& g, bool hard) {
  Tensor log_p = log(stack({1 - p, p}, -1) + 1e-9);
  Tensor soft = relaxed_sample(log_p, gumbel(log_p.shape(), {.dtype = p.dtype(), .generator = &g}), tau);
  return select(hard ? straight_through(soft) : soft, -1, 1);
}

namespace {

Tensor input_gradient(const Score& f, const Tensor& x) {
  GradMode on(true);
  Tensor leaf = clone(x.detach()).requires_grad_();
  return grad({sum(f(leaf))}, {leaf})[0].detach();
}

}  // namespace

Tensor gradient_times_input(const Score& f, const Tensor& x) { return x.detach() * input_gradient(f, x); }

Tensor integrated_gradients(const Score& f, const Tensor& x, const Tensor& baseline, int64_t steps) {
  if (steps < 1) throw ValueError("integrated_gradients: needs at least 1 step, got " + std::to_string(steps));
  Tensor way = x.detach() - baseline.detach(), total = zeros_like(way);
  for (int64_t k = 0; k < steps; ++k) {
    double at = (static_cast<double>(k) + 0.5) / static_cast<double>(steps);
    total = total + input_gradient(f, baseline.detach() + way * at);
  }
  return way * total / static_cast<double>(steps);
}

SaliencyMetrics saliency_metrics(const Tensor& score, const Tensor& truth) {
  if (score.shape() != truth.shape())
    throw ShapeError("saliency_metrics: scores " + to_string(score.shape()) + " and truth " + to_string(truth.shape()) + " differ");
  std::vector<double> s = to_vector(score), wanted = to_vector(truth);
  auto [low, high] = std::ranges::minmax(s);
  for (double& v : s) v = (v - low) / (high - low + 1e-9);
  SaliencyMetrics m;
  m.auprc = metrics::average_precision(from_vector(s), from_vector(wanted));  // checks both
  std::vector<size_t> order(s.size());
  std::iota(order.begin(), order.end(), 0);
  std::ranges::sort(order, [&](size_t a, size_t b) { return s[a] > s[b]; });
  double all = std::accumulate(wanted.begin(), wanted.end(), 0.0), hits = 0, before = 0, precision_before = 0, recall_before = 0;
  bool first = true;
  if (all == static_cast<double>(s.size())) throw ValueError("saliency_metrics: the truth is everything");
  for (size_t i = 0; i < order.size(); ++i) {  // from the highest threshold down; equal scores are one
    hits += wanted[order[i]];
    if (i + 1 < order.size() && s[order[i + 1]] == s[order[i]]) continue;
    double threshold = s[order[i]], precision = hits / static_cast<double>(i + 1), recall = hits / all;
    if (!first) {
      m.aup += (before - threshold) * (precision + precision_before) / 2;
      m.aur += (before - threshold) * (recall + recall_before) / 2;
    }
    before = threshold, precision_before = precision, recall_before = recall, first = false;
  }
  return m;
}

SaliencyMetrics mean_saliency_metrics(const Tensor& score, const Tensor& truth) {
  SaliencyMetrics total;
  auto n = static_cast<double>(score.size(0));
  for (int64_t i = 0; i < score.size(0); ++i) {
    SaliencyMetrics m = saliency_metrics(select(score, 0, i), select(truth, 0, i));
    total.auprc += m.auprc / n, total.aup += m.aup / n, total.aur += m.aur / n;
  }
  return total;
}

Tensor occlude_lowest(const Tensor& x, const Tensor& score, double share, const Tensor& baseline) {
  if (!(share >= 0 && share <= 1)) throw ValueError("occlude_lowest: the share must lie in [0, 1], it is " + decimal(share));
  if (x.shape() != score.shape())
    throw ShapeError("occlude_lowest: series " + to_string(x.shape()) + " and scores " + to_string(score.shape()) + " differ");
  Tensor flat = reshape(score, {x.size(0), -1}), place = argsort(argsort(flat, -1), -1);  // of each element from the lowest, 0 on
  auto count = static_cast<int64_t>(std::llround(share * static_cast<double>(flat.size(1))));
  return where(reshape(place < count, x.shape()), expand(baseline, x.shape()), x);
}

}  // namespace plumb::methods::timex
