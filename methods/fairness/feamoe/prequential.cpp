// Prequential measures.
#include "methods/fairness/feamoe/prequential.h"

#include <cmath>
#include <string>

#include "methods/common/group_fairness.h"
#include "models/metrics/fairness.h"
#include "ops/join.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb::methods::feamoe {
namespace {

std::vector<metrics::GroupRates> rates(const Tensor& q, const Tensor& y, const Tensor& a) { return metrics::group_rates(q >= 0.5, y, a); }

}  // namespace

void PrequentialReport::add(const Tensor& q, const Tensor& distance, const Batch& batch) {
  for (const Tensor& t : {distance, batch.y, batch.a})
    if (q.rank() != 1 || t.shape() != q.shape())
      throw ShapeError("feamoe: scores " + to_string(q.shape()) + " of a batch do not fit " + to_string(t.shape()) + "; all are [B]");
  kept_.push_back({to(q.detach(), f64), to(distance.detach(), f64), batch.y, batch.a});
}

PrequentialReport::Predicted PrequentialReport::range(int64_t from, int64_t to) const {
  if (from < 0 || from >= to || to > batches())
    throw IndexError("feamoe: batches [" + std::to_string(from) + ", " + std::to_string(to) + ") of " + std::to_string(batches()));
  std::vector<Tensor> q, r, y, a;
  for (int64_t t = from; t < to; ++t) {
    const Predicted& p = kept_[static_cast<size_t>(t)];
    q.push_back(p.q);
    r.push_back(p.distance);
    y.push_back(p.y);
    a.push_back(p.a);
  }
  return {cat(q), cat(r), cat(y), cat(a)};
}

double PrequentialReport::accuracy(int64_t from, int64_t to_batch) const {
  Predicted p = range(from, to_batch);
  return mean(to((p.q >= 0.5) == (p.y == 1), f64)).item();
}

double PrequentialReport::demographic_parity(int64_t from, int64_t to_batch) const {
  Predicted p = range(from, to_batch);
  return metrics::demographic_parity_gap(rates(p.q, p.y, p.a));
}

double PrequentialReport::equalised_odds(int64_t from, int64_t to_batch) const {
  Predicted p = range(from, to_batch);
  return metrics::equalized_odds_gap(rates(p.q, p.y, p.a));
}

double PrequentialReport::recourse_gap(int64_t from, int64_t to_batch) const {
  Predicted p = range(from, to_batch);
  return std::abs(group_gap(p.distance, p.a, p.q < 0.5).item());
}

int64_t PrequentialReport::recovery(int64_t before, int64_t drift, int64_t end, double tolerance) const {
  double wanted = accuracy(before, drift) - tolerance;
  for (int64_t t = drift; t < end; ++t)
    if (accuracy(t, t + 1) >= wanted) return t - drift;
  return end - drift;
}

}  // namespace plumb::methods::feamoe
