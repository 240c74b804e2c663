// sLCT's recipe.
#include "methods/generative/slct/slct.h"

#include <cmath>
#include <string>

namespace plumb::methods::slct {

using namespace diffusion;

double adaptive_c(int64_t levels, double first, int64_t s0, double a, double b) {
  if (levels < 2) throw ValueError("adaptive_c: a grid has at least 2 levels, not " + std::to_string(levels));
  if (!(first > 0)) throw ValueError("adaptive_c: the first c must be positive, it is " + decimal(first));
  if (levels == s0 + 1) return first;
  return std::exp(-a * std::log(static_cast<double>(levels - 1)) - b);
}

ConsistencyRecipe recipe(int64_t steps, int64_t d, const Options& o) {
  if (!(o.share >= 0 && o.share <= 1)) throw ValueError("slct: share must lie in [0, 1], it is " + decimal(o.share));
  if (!(o.factor >= 0)) throw ValueError("slct: factor must not be negative, it is " + decimal(o.factor));
  double first = o.first_c == 0 ? pseudo_huber_scale(d) : o.first_c;
  if (!(first > 0)) throw ValueError("slct: first_c must be positive, it is " + decimal(first));
  ConsistencyRecipe recipe{.pairs = {.steps = steps, .s0 = o.s0, .s1 = o.s1, .coupling = o.coupling},  // the other defaults are iCT's
                           .metric = o.metric,
                           .c = first,
                           .low_noise_share = o.share,
                           .low_noise_factor = o.share > 0 ? o.factor : 0};
  if (o.adaptive) recipe.c_of_levels = [first, s0 = o.s0](int64_t levels) { return adaptive_c(levels, first, s0); };
  if (o.average_from >= 0) {
    recipe.target = ConsistencyTarget::average;
    recipe.average_from = o.average_from;
    recipe.decay = 0.9999;
  }
  recipe.check();
  return recipe;
}

bool FiniteSteps::learnable(const Tensor& loss) {
  if (std::isfinite(loss.item())) return true;
  ++skipped_;
  return false;
}

}  // namespace plumb::methods::slct
