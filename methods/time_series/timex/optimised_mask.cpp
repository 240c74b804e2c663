// Masks by descent.
#include "methods/time_series/timex/optimised_mask.h"

#include <cmath>
#include <string>

#include "engine/autograd/grad_mode.h"
#include "models/optim/adam.h"
#include "ops/elementary.h"
#include "ops/loss.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "ops/softmax.h"
#include "ops/sort.h"

namespace plumb::methods::timex {

Tensor optimised_mask(const SeriesClassifier& classifier, const Tensor& x, const Tensor& times, const Tensor& baseline,
                      const OptimisedMaskOptions& o) {
  if (!(o.area > 0 && o.area < 1) || o.steps < 1)
    throw ValueError("optimised_mask: the area must lie in (0, 1) and steps be at least 1, they are " + decimal(o.area) + " and " +
                     std::to_string(o.steps));
  GradMode on(true);
  Tensor wanted;
  {
    NoGrad off;
    wanted = softmax(classifier(x, times), -1);
  }
  int64_t n = x.size(0), elements = x.numel() / n, kept = std::llround(o.area * static_cast<double>(elements));
  std::vector<double> ladder(static_cast<size_t>(elements), 0.0);
  for (int64_t i = elements - kept; i < elements; ++i) ladder[static_cast<size_t>(i)] = 1;
  Tensor target = to(from_vector(ladder), x.dtype()), logits = zeros_like(x).requires_grad_();
  optim::Adam adam({logits}, {.lr = o.lr});
  for (int64_t step = 0; step < o.steps; ++step) {
    Tensor m = sigmoid(logits);
    Tensor fit = cross_entropy(classifier(m * x + (1 - m) * baseline, times), wanted);
    Tensor size = mean(square(sort(reshape(m, {n, elements}), -1).values - target));
    Tensor rough = mean(abs(narrow(m, 1, 1, m.size(1) - 1) - narrow(m, 1, 0, m.size(1) - 1)));
    double weight = o.size_weight * std::pow(o.size_growth, static_cast<double>(step) / static_cast<double>(o.steps));
    adam.zero_grad();
    ((fit + size * weight + rough * o.connect_weight) * static_cast<double>(n)).backward();
    adam.step();
    if (o.progress) o.progress();
  }
  return sigmoid(logits.detach());
}

}  // namespace plumb::methods::timex
