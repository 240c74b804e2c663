// The four levels of contrast.
#include "methods/time_series/comet/comet.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "engine/core/error.h"
#include "ops/create.h"
#include "ops/elementary.h"
#include "ops/index.h"
#include "ops/join.h"
#include "ops/matmul.h"
#include "ops/normalize.h"
#include "ops/pointwise.h"
#include "ops/pool.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb::methods::comet {
namespace {

constexpr double kTiny = 1e-12;

void check_views(const char* op, const Tensor& z, const Tensor& z2) {
  if (z.rank() != 3 || z.shape() != z2.shape() || z.numel() == 0)
    throw ShapeError(
        fmt::format("{}: the views must both be [B, T, C], they are {} and {}", op, to_string(z.shape()), to_string(z2.shape())));
}

// u [G, 2n, C] holds n vectors and their other views; agreement is the mean of ⟨u_i, u_i'⟩ over all of them.
Tensor contrast(const Tensor& u, const Tensor& agreement) {
  int64_t all = u.size(1);
  Tensor products = matmul(u, mT(u)), self = logical_and(tril_mask(all, all, 0, u.device()), triu_mask(all, all, 0, u.device()));
  return mean(logsumexp(masked_fill(products, self, -std::numeric_limits<double>::infinity()), {-1})) - agreement;
}

Tensor agreement_of(const Tensor& z, const Tensor& z2) { return mean(sum(z * z2, {-1})); }

// Halved by the maximum of pairs of steps.
Tensor halved(const Tensor& z) { return mT(max_pool1d(mT(z), 2)); }

Tensor flat_directions(const Tensor& z) { return normalize(flatten(normalize(z, 2, 1, kTiny), 1), 2, 1, kTiny); }

struct Views {
  Tensor first, second;
};

Views views_of(const temporal::DilatedEncoder& encoder, const Tensor& x, TimeMask kind, Generator& g) {
  auto view = [&] { return encoder(x, kind == TimeMask::all_true ? Tensor() : time_mask(kind, x.size(0), x.size(1), g)); };
  Tensor first = view();
  return {first, view()};
}

void check_weights(const CometWeights& w) {
  if (!(w.patient >= 0 && w.trial >= 0 && w.sample >= 0 && w.observation >= 0 && w.patient + w.trial + w.sample + w.observation > 0))
    throw ValueError(fmt::format("comet: weights must not be negative, nor all 0; they are {}, {}, {} and {}", w.patient, w.trial, w.sample,
                                 w.observation));
}

}  // namespace

Tensor instance_contrast(const Tensor& z, const Tensor& z2) {
  check_views("instance_contrast", z, z2);
  return contrast(transpose(cat({z, z2}, 0), 0, 1), agreement_of(z, z2));
}

Tensor temporal_contrast(const Tensor& z, const Tensor& z2) {
  check_views("temporal_contrast", z, z2);
  return contrast(cat({z, z2}, 1), agreement_of(z, z2));
}

Tensor hierarchical(const StepContrast& loss, const Tensor& z, const Tensor& z2) {
  check_views("hierarchical", z, z2);
  if (z.size(1) < 2) throw ShapeError("hierarchical: needs at least 2 steps, the views are " + to_string(z.shape()));
  Tensor a = z, b = z2, total;
  int64_t scales = 0;
  for (; a.size(1) > 1; a = halved(a), b = halved(b), ++scales) {
    Tensor here = loss(a, b);
    total = total.defined() ? total + here : here;
  }
  return total / static_cast<double>(scales);
}

Tensor group_contrast(const Tensor& z, const Tensor& z2, const Tensor& ids, double tau) {
  check_views("group_contrast", z, z2);
  int64_t n = z.size(0);
  if (ids.shape() != Shape{n}) throw ShapeError(fmt::format("group_contrast: ids {} for {} windows", to_string(ids.shape()), n));
  if (ids.dtype() != i64) throw DTypeError("group_contrast: ids must be i64, not " + std::string(name(ids.dtype())));
  if (!(tau > 0)) throw ValueError(fmt::format("group_contrast: tau must be positive, it is {}", tau));
  Tensor s = matmul(flat_directions(z), mT(flat_directions(z2))) / tau;
  Tensor same = unsqueeze(ids, 1) == unsqueeze(ids, 0);
  Tensor above = to(logical_and(same, triu_mask(n, n, 1, ids.device())), s.dtype()),
         below = to(logical_and(same, tril_mask(n, n, -1, ids.device())), s.dtype());
  double pairs = std::max(1.0, sum(above).item());
  Tensor by_rows = above * (logsumexp(s, {1}, true) - s), by_columns = below * (logsumexp(s, {0}, true) - s);
  return (sum(by_rows) + sum(by_columns)) / (2 * pairs);
}

Tensor time_mask(TimeMask kind, int64_t windows, int64_t steps, Generator& g) {
  if (windows < 1 || steps < 1) throw ValueError(fmt::format("time_mask: needs windows and steps, there are {} and {}", windows, steps));
  if (kind == TimeMask::binomial) return to(bernoulli({windows, steps}, 0.5, {.dtype = boolean, .generator = &g}), f32);
  Tensor keep = ones({windows, steps});
  if (kind == TimeMask::all_true) return keep;
  int64_t runs = std::max<int64_t>(1, std::min<int64_t>(5, steps / 2)), length = std::max<int64_t>(1, steps / 10);
  float* row = keep.data<float>();
  for (int64_t w = 0; w < windows; ++w, row += steps)
    for (int64_t k = 0; k < runs; ++k) {
      auto start = static_cast<int64_t>(g.next_below(static_cast<uint64_t>(steps - length + 1)));
      std::fill(row + start, row + start + length, 0.0f);
    }
  return keep;
}

Tensor comet_loss(const temporal::DilatedEncoder& encoder, const CometBatch& batch, const CometOptions& o, Generator& g) {
  const CometWeights& w = o.weights;
  check_weights(w);
  Tensor total;
  Views upper, lower;
  auto fresh = [&](Views& views, TimeMask kind) -> const Views& {
    if (o.own_views || !views.first.defined()) views = views_of(encoder, batch.series, kind, g);
    return views;
  };
  auto add = [&](double weight, auto&& loss) {
    if (weight == 0) return;
    Tensor part = weight * loss();
    total = total.defined() ? total + part : part;
  };
  auto of_group = [&](const Tensor& ids) {
    const Views& v = fresh(upper, TimeMask::all_true);
    return group_contrast(v.first, v.second, ids, o.tau);
  };
  auto of_steps = [&](const StepContrast& loss) {
    const Views& v = fresh(lower, TimeMask::continuous);
    return hierarchical(loss, v.first, v.second);
  };
  add(w.of_patient(), [&] { return of_group(batch.patients); });
  add(w.of_trial(), [&] { return of_group(batch.trials); });
  add(w.sample, [&] { return of_steps(instance_contrast); });
  add(w.observation, [&] { return of_steps(temporal_contrast); });
  return total;
}

}  // namespace plumb::methods::comet
