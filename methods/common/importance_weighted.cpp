// Importance-weighted bounds.
#include "methods/common/importance_weighted.h"

#include <cmath>
#include <string>

#include "engine/core/error.h"
#include "ops/elementary.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "ops/softmax.h"

namespace plumb::methods {
namespace {

void check(const char* name, const Tensor& term, const Tensor& like) {
  if (!term.defined()) return;
  if (term.shape() != like.shape())
    throw ShapeError(std::string("importance_weighted: ") + name + " is " + to_string(term.shape()) + ", log_p_x " +
                     to_string(like.shape()));
}

}  // namespace

Tensor log_importance(const ImportanceTerms& t) {
  if (t.log_p_x.rank() < 1 || t.log_p_x.size(0) < 1) throw ValueError("importance_weighted: there are no samples of the latent");
  check("log_p_z", t.log_p_z, t.log_p_x);
  check("log_q", t.log_q, t.log_p_x);
  check("log_p_m", t.log_p_m, t.log_p_x);
  Tensor log_r = t.log_p_x + t.log_p_z - t.log_q;
  return t.log_p_m.defined() ? log_r + t.log_p_m : log_r;
}

Tensor importance_weighted_loss(const ImportanceTerms& t) {
  Tensor all = log_importance(t);
  check("log_p_y", t.log_p_y, t.log_p_x);
  check("log_p_s", t.log_p_s, t.log_p_x);
  if (t.log_p_y.defined()) all = all + t.log_p_y;
  if (t.log_p_s.defined()) all = all + t.log_p_s;
  return std::log(static_cast<double>(all.size(0))) - logsumexp(all, {0});
}

Tensor importance_weights(const Tensor& log_r) { return softmax(log_r, 0); }

Tensor importance_predict(const Tensor& log_r, const Tensor& p) { return sum(unsqueeze(importance_weights(log_r), -1) * p, {0}); }

Tensor effective_sample_size(const Tensor& log_r) { return 1.0 / sum(square(importance_weights(log_r)), {0}); }

}  // namespace plumb::methods
