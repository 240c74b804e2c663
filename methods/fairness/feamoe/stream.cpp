// The generated stream.
#include "methods/fairness/feamoe/stream.h"

#include <string>

#include "engine/autograd/grad_mode.h"
#include "models/require.h"
#include "ops/elementary.h"
#include "ops/index.h"
#include "ops/join.h"
#include "ops/matmul.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/shape.h"

namespace plumb::methods::feamoe {
namespace {

// −w, but for a third of the places, chosen at random.
Tensor turned(const Tensor& w) {
  Tensor same = slice(randperm(w.size(0)), 0, 0, w.size(0) / 3);
  return w * scatter(full(w.shape(), -1.0), 0, same, 1.0);
}

// `amount` added to column `column` of x.
Tensor shifted(const Tensor& x, int64_t column, const Tensor& amount) {
  return slice_assign(x, unsqueeze(select(x, 1, column) + amount, 1), 1, column, column + 1);
}

}  // namespace

void DriftStreamOptions::check() const {
  require_positive("feamoe", {{"batches", batches}, {"rows", rows}});
  require(inputs >= 3, "feamoe: the stream needs at least 3 inputs, not " + std::to_string(inputs));
  require(0 <= accuracy_drift && accuracy_drift <= fairness_drift, "feamoe: the drifts must come in order, they are at batches " +
                                                                       std::to_string(accuracy_drift) + " and " +
                                                                       std::to_string(fairness_drift));
}

std::vector<Batch> drift_stream(const DriftStreamOptions& o) {
  o.check();
  NoGrad off;
  Tensor w = randn({o.inputs}) * 1.5, other = turned(w);
  std::vector<Batch> stream;
  for (int64_t t = 0; t < o.batches; ++t) {
    Tensor a = bernoulli({o.rows}, 0.4, {.dtype = f32}), x = shifted(randn({o.rows, o.inputs}), 1, a * 0.6 - 0.3);
    Tensor logits = matmul(x, w);
    if (t >= o.accuracy_drift) logits = where(select(x, 1, 0) > 0, matmul(x, other), logits);
    if (t >= o.fairness_drift) logits = logits + (a - 0.4) * 1.2;
    Tensor y = to(bernoulli(sigmoid(logits)), i64);
    if (t >= o.fairness_drift) x = shifted(x, 2, a);
    stream.push_back({x, y, to(a, i64)});
  }
  return stream;
}

}  // namespace plumb::methods::feamoe
