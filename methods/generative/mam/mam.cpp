// The two heads, what they say about subsets, and the losses that make them agree.
#include "methods/generative/mam/mam.h"

#include <string>
#include <vector>

#include "engine/autograd/grad_mode.h"
#include "ops/create.h"
#include "ops/elementary.h"
#include "ops/index.h"
#include "ops/join.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "ops/softmax.h"

namespace plumb::methods::mam {

using namespace any_order;

MarginalModel::MarginalModel(const MarginalModelConfig& c)
    : config_(c),
      conditional_(
          this, "conditional",
          {.variables = c.variables, .symbols = c.symbols, .width = c.width, .layers = c.layers, .outputs = c.variables * c.symbols}),
      marginal_(this, "marginal", {.variables = c.variables, .symbols = c.symbols, .width = c.width, .layers = c.layers}) {}

Tensor MarginalModel::log_marginal(const Tensor& x) const { return squeeze(marginal_(x), 1); }

Tensor MarginalModel::conditionals(const Tensor& x) const { return unflatten(conditional_(x), 1, {config_.variables, config_.symbols}); }

Heads MarginalModel::heads() const {
  return {[this](const Tensor& x) { return log_marginal(x); }, [this](const Tensor& x) { return conditionals(x); }};
}

Tensor log_marginal(const Heads& heads, const Tensor& x) {
  NoGrad off;
  return heads.log_marginal(x) - heads.log_marginal(zeros({1, x.size(1)}, i64));
}

Tensor log_block_conditional(const Heads& heads, const Tensor& x, const Tensor& known) {
  NoGrad off;
  Tensor both = heads.log_marginal(cat({x, known}, 0));
  return narrow(both, 0, 0, x.size(0)) - narrow(both, 0, x.size(0), x.size(0));
}

Conditionals conditionals_of_marginals(std::function<Tensor(const Tensor& x)> log_marginal, int64_t symbols) {
  return [log_marginal = std::move(log_marginal), symbols](const Tensor& x) {
    int64_t rows = x.size(0), variables = x.size(1);
    std::vector<Tensor> asked;
    for (int64_t j = 0; j < variables; ++j)
      for (int64_t k = 1; k <= symbols; ++k) asked.push_back(slice_assign(x, full({rows, 1}, k, i64), 1, j, j + 1));
    Tensor all = log_marginal(flatten(stack(asked, 1), 0, 1));  // row by row, variable by variable
    return reshape(all, {rows, variables, symbols});
  };
}

Tensor conditional_sample(const Heads& heads, const Tensor& x, Generator& generator) {
  return fill(heads.conditionals, x, ranks_from_known(x, generator), generator).x;
}

Tensor residuals(const Tensor& previous, const Tensor& logits, const Tensor& label, const Tensor& current) {
  return current - (previous + squeeze(gather(log_softmax(logits, 1), 1, unsqueeze(label, 1)), 1));
}

SelfConsistency self_consistency(const Heads& heads, const Tensor& x, const Tensor& rank, const Tensor& d) {
  check_ranks("self_consistency", x, rank);
  int64_t rows = x.size(0), variables = x.size(1);
  if (d.shape() != Shape{rows})
    throw ShapeError("self_consistency: d is " + to_string(d.shape()) + " for " + std::to_string(rows) + " rows");
  for (int64_t step : to_vector<int64_t>(d))
    if (step < 1 || step > variables)
      throw ValueError("self_consistency: d must lie in [1, " + std::to_string(variables) + "], one is " + std::to_string(step));
  Tensor before = keep_first(x, rank, d - 1), variable = variable_at(rank, d - 1), logits = heads.conditionals(before);
  check_symbols("self_consistency", x, logits.size(2), false);
  Tensor row = select(gather(logits, 1, expand(reshape(variable, {rows, 1, 1}), {rows, 1, logits.size(2)})), 1, 0);
  Tensor label = squeeze(gather(x, 1, unsqueeze(variable, 1)), 1) - 1;
  Tensor both = heads.log_marginal(cat({before, keep_first(x, rank, d)}, 0));
  Tensor residual = residuals(narrow(both, 0, 0, rows), row, label, narrow(both, 0, rows, rows));
  return {mean(square(residual)), residual};
}

Tensor boundary_loss(const Heads& heads, int64_t variables, const Tensor& log_z) {
  Tensor nothing = sum(heads.log_marginal(zeros({1, variables}, i64)));
  return square(nothing - to(sum(log_z), nothing.dtype()));
}

Tensor random_steps(int64_t rows, int64_t variables, Generator& generator) {
  return randint(1, variables + 1, {rows}, {.dtype = i64, .generator = &generator});
}

Tensor likelihood_loss(const Heads& heads, const Tensor& data, const Tensor& samples, Generator& generator) {
  Heads frozen{heads.log_marginal, [&](const Tensor& x) {
                 NoGrad off;
                 return heads.conditionals(x);
               }};
  auto consistency = [&](const Tensor& x) {
    return self_consistency(frozen, x, random_ranks(x.size(0), x.size(1), generator), random_steps(x.size(0), x.size(1), generator)).loss;
  };
  auto variables = static_cast<double>(data.size(1));
  Tensor boundary = boundary_loss(heads, data.size(1), scalar_tensor(0.0, f32));
  return (consistency(data) + consistency(samples)) * (variables / 2) + boundary;
}

}  // namespace plumb::methods::mam
