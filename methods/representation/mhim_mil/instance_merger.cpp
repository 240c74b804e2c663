// Cross-attention of global queries over the instances that were left out.
#include "methods/representation/mhim_mil/instance_merger.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "engine/autograd/grad_mode.h"
#include "engine/data/dataset.h"
#include "ops/index.h"
#include "ops/join.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/shape.h"

namespace plumb::methods::mhim_mil {

static const MergeOptions& checked(const MergeOptions& o) {
  if (o.tokens < 1) throw ValueError(fmt::format("mhim_mil: {} merged tokens", o.tokens));
  if (!(o.keep > 0 && o.keep <= 1)) throw ValueError(fmt::format("mhim_mil: the share kept must lie in (0, 1], it is {:g}", o.keep));
  if (!(o.momentum >= 0 && o.momentum <= 1))
    throw ValueError(fmt::format("mhim_mil: the queries' momentum must lie in [0, 1], it is {:g}", o.momentum));
  return o;
}

static Tensor start_of_queries(int64_t tokens, int64_t width) {
  double bound = std::sqrt(6.0 / static_cast<double>(768 + width));
  return uniform({1, tokens, width}, -bound, bound);
}

InstanceMerger::InstanceMerger(int64_t width, const MergeOptions& options)
    : options_(checked(options)),
      norm_(this, "norm", width),
      attention_(this, "attention", width, options.heads, {.bias = false, .out_bias = true, .dropout = options.dropout}),
      queries_(this, "queries", start_of_queries(options.tokens, width)) {}

Tensor InstanceMerger::merged(const Tensor& instances) {
  // Of a copy: the queries move before the backward pass.
  Tensor tokens = attention_(norm_(clone(queries_)), norm_(instances));
  if (training()) {
    NoGrad no_grad;
    Tensor queries = queries_;
    copy_(queries, lerp(queries, tokens.detach(), 1 - options_.momentum));
  }
  return tokens;
}

Tensor InstanceMerger::operator()(const Tensor& h, Generator& g) {
  int64_t n = h.size(1), keep = std::max<int64_t>(1, static_cast<int64_t>(std::floor(static_cast<double>(n) * options_.keep + 1e-9)));
  if (keep >= n) return h;
  std::vector<int64_t> order = data::random_order(n, g), kept(order.begin(), order.begin() + keep),
                       others(order.begin() + keep, order.end());
  std::sort(kept.begin(), kept.end());
  std::sort(others.begin(), others.end());
  return cat({index_select(h, 1, from_vector(kept)), merged(index_select(h, 1, from_vector(others)))}, 1);
}

}  // namespace plumb::methods::mhim_mil
