// Penalties between environments.
#include "methods/common/domain_penalties.h"

#include <fmt/format.h>

#include <algorithm>

#include "ops/elementary.h"
#include "ops/index.h"
#include "ops/join.h"
#include "ops/matmul.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "ops/softmax.h"

namespace plumb::methods {
namespace {

void check_environments(const char* penalty, const std::vector<Tensor>& environments) {
  if (environments.empty()) throw ValueError(fmt::format("{}: there are no environments", penalty));
}

}  // namespace

Tensor irm_penalty(const Tensor& logits, const Tensor& labels) {
  int64_t n = labels.numel(), classes = logits.rank() == 2 ? logits.size(1) : 1;
  if (labels.rank() != 1 || logits.rank() < 1 || logits.rank() > 2 || logits.size(0) != n)
    throw ShapeError("irm_penalty: takes logits [n, C] or [n] and labels [n], got " + to_string(logits.shape()) + " and " +
                     to_string(labels.shape()));
  if (n == 0) throw ValueError("irm_penalty: the environment's batch is empty");
  Tensor z = reshape(logits, {n, classes});
  Tensor residuals =
      classes == 1 ? sigmoid(z) - unsqueeze(to(labels, z.dtype()), 1) : softmax(z, -1) - to(one_hot(labels, classes), z.dtype());
  return square(sum(residuals * z) / static_cast<double>(n));
}

Tensor vrex_penalty(const std::vector<Tensor>& losses) {
  check_environments("vrex_penalty", losses);
  return var(stack(losses), {}, /*correction=*/0);
}

Tensor fishr_penalty(const std::vector<Tensor>& variances) {
  check_environments("fishr_penalty", variances);
  Tensor all = stack(variances);
  return sum(square(all - mean(all, {0}, /*keepdim=*/true)));
}

Tensor coral_penalty(const std::vector<Tensor>& features) {
  check_environments("coral_penalty", features);
  std::vector<Tensor> means, covariances;
  for (const Tensor& f : features) {
    if (f.rank() != 2 || f.size(1) != features[0].size(1))
      throw ShapeError("coral_penalty: takes features [n, d] with one d, got " + to_string(features[0].shape()) + " and " +
                       to_string(f.shape()));
    if (f.size(0) < 2)
      throw ValueError(fmt::format("coral_penalty: a covariance needs at least 2 examples, an environment has {}", f.size(0)));
    means.push_back(mean(f, {0}));
    Tensor centred = f - means.back();
    covariances.push_back(matmul(mT(centred), centred) / static_cast<double>(f.size(0) - 1));
  }
  Tensor total = zeros({}, features[0].dtype(), features[0].device());
  for (size_t a = 0; a < features.size(); ++a)
    for (size_t b = a + 1; b < features.size(); ++b)
      total = total + mean(square(means[a] - means[b])) + mean(square(covariances[a] - covariances[b]));
  size_t pairs = features.size() * (features.size() - 1) / 2;
  return total / static_cast<double>(std::max<size_t>(pairs, 1));
}

Tensor iga_penalty(const std::vector<std::vector<Tensor>>& gradients) {
  if (gradients.empty() || gradients[0].empty()) throw ValueError("iga_penalty: there are no environments or no parameters");
  Tensor total;
  for (size_t p = 0; p < gradients[0].size(); ++p) {
    std::vector<Tensor> of_parameter;
    for (const auto& environment : gradients) {
      if (environment.size() != gradients[0].size() || environment[p].shape() != gradients[0][p].shape())
        throw ShapeError("iga_penalty: environments have gradients of different parameters");
      of_parameter.push_back(environment[p]);
    }
    Tensor all = stack(of_parameter), part = sum(square(all - mean(all, {0}, /*keepdim=*/true)));
    total = total.defined() ? total + part : part;
  }
  return total / static_cast<double>(gradients.size());
}

Tensor PenaltyAnneal::operator()(const Tensor& loss, const Tensor& penalty, int64_t step) const {
  double w = at(step);
  Tensor total = loss + penalty * w;
  return rescale && w > 1 ? total / w : total;
}

void PenaltyAnneal::check() const {
  if (start < 0 || !(weight >= 0)) throw ValueError(fmt::format("penalty: start {} and weight {} must not be negative", start, weight));
}

}  // namespace plumb::methods
