// Orders as ranks, and what is computed along them.
#include "models/any_order/any_order.h"

#include <cmath>
#include <vector>

#include "engine/autograd/grad_mode.h"
#include "ops/create.h"
#include "ops/index.h"
#include "ops/join.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "ops/softmax.h"
#include "ops/sort.h"

namespace plumb::any_order {

void check_symbols(const std::string& op, const Tensor& x, int64_t symbols, bool may_miss) {
  if (x.rank() != 2 || x.dtype() != i64) throw ShapeError(op + ": takes symbols i64 [B, D], got " + to_string(x.shape()));
  for (int64_t s : to_vector<int64_t>(x))
    if (s < (may_miss ? 0 : 1) || s > symbols)
      throw ValueError(op + ": symbols lie in " + (may_miss ? "0" : "1") + "..." + std::to_string(symbols) + ", one is " +
                       std::to_string(s));
}

void check_ranks(const std::string& op, const Tensor& x, const Tensor& rank) {
  if (rank.shape() != x.shape() || rank.dtype() != i64)
    throw ShapeError(op + ": ranks are " + to_string(rank.shape()) + ", symbols " + to_string(x.shape()));
  std::vector<int64_t> all = to_vector<int64_t>(rank);
  auto width = static_cast<size_t>(x.size(1));
  std::vector<size_t> seen(width, SIZE_MAX);
  for (size_t i = 0; i < all.size(); ++i) {
    bool inside = all[i] >= 0 && all[i] < static_cast<int64_t>(width);
    if (!inside || seen[static_cast<size_t>(all[i])] == i / width)
      throw ValueError(op + ": ranks of row " + std::to_string(i / width) + " are no permutation: " + std::to_string(all[i]) +
                       (inside ? " occurs twice" : " is outside [0, " + std::to_string(width) + ")"));
    seen[static_cast<size_t>(all[i])] = i / width;
  }
}

Tensor random_ranks(int64_t rows, int64_t variables, Generator& generator) {
  return argsort(rand({rows, variables}, {.generator = &generator}), 1);  // a uniform permutation, as its inverse is
}

Tensor forward_ranks(int64_t rows, int64_t variables) { return contiguous(expand(arange(variables), {rows, variables})); }

Tensor ranks_from_known(const Tensor& x, Generator& generator) {
  Tensor key = rand(x.shape(), {.generator = &generator}) + to(x == 0, f32);
  return argsort(argsort(key, 1), 1);
}

namespace {

Tensor in_every_row(int64_t number, const Tensor& rank) { return full({rank.size(0)}, number, i64, rank.device()); }

// Those of x's variables whose log-probabilities are wanted: log softmax(logits)[x − 1] where x is known, 0 where it is missing. [B, D]
Tensor known_log_probabilities(const Tensor& logits, const Tensor& x) {
  Tensor known = x > 0, place = unsqueeze(where(known, x - 1, 0), 2);
  return where(known, squeeze(gather(log_softmax(logits, 2), 2, place), 2), 0.0);
}

}  // namespace

Tensor keep_first(const Tensor& x, const Tensor& rank, int64_t count) { return where(rank < count, x, 0); }
Tensor keep_first(const Tensor& x, const Tensor& rank, const Tensor& count) { return where(rank < unsqueeze(count, 1), x, 0); }

Tensor variable_at(const Tensor& rank, const Tensor& place) { return squeeze(gather(argsort(rank, 1), 1, unsqueeze(place, 1)), 1); }
Tensor variable_at(const Tensor& rank, int64_t place) { return variable_at(rank, in_every_row(place, rank)); }

Tensor log_probability_at(const Tensor& logits, const Tensor& x, const Tensor& variable) {
  int64_t rows = x.size(0), symbols = logits.size(2);
  Tensor row = select(gather(logits, 1, expand(reshape(variable, {rows, 1, 1}), {rows, 1, symbols})), 1, 0);
  Tensor symbol = gather(x, 1, unsqueeze(variable, 1)) - 1;
  return squeeze(gather(log_softmax(row, 1), 1, symbol), 1);
}

Tensor losses(const Conditionals& model, const Tensor& x, const Tensor& rank, const Tensor& t) {
  check_ranks("any_order losses", x, rank);
  int64_t variables = x.size(1);
  if (t.shape() != Shape{x.size(0)})
    throw ShapeError("any_order losses: t is " + to_string(t.shape()) + " for " + std::to_string(x.size(0)) + " rows");
  for (int64_t step : to_vector<int64_t>(t))
    if (step < 0 || step >= variables)
      throw ValueError("any_order losses: t must lie in [0, " + std::to_string(variables) + "), one is " + std::to_string(step));
  Tensor logits = model(keep_first(x, rank, t));
  check_symbols("any_order losses", x, logits.size(2), false);
  Tensor asked = rank >= unsqueeze(t, 1);
  Tensor total = sum(where(asked, known_log_probabilities(logits, x), 0.0), {1});
  return total * -static_cast<double>(variables) / to(variables - t, total.dtype());
}

Tensor log_likelihood(const Conditionals& model, const Tensor& x, const Tensor& rank) {
  check_ranks("any_order log_likelihood", x, rank);
  Tensor total;
  for (int64_t d = 0; d < x.size(1); ++d) {
    Tensor logits = model(keep_first(x, rank, d));
    if (d == 0) check_symbols("any_order log_likelihood", x, logits.size(2), false);
    Tensor next = log_probability_at(logits, x, variable_at(rank, d));
    total = total.defined() ? total + next : next;
  }
  return total;
}

Tensor log_likelihood(const Conditionals& model, const Tensor& x, int64_t orders, Generator& generator) {
  if (orders < 1) throw ValueError("any_order log_likelihood: orders must be at least 1, they are " + std::to_string(orders));
  NoGrad off;
  std::vector<Tensor> each;
  for (int64_t m = 0; m < orders; ++m) each.push_back(log_likelihood(model, x, random_ranks(x.size(0), x.size(1), generator)));
  return logsumexp(stack(each, 0), {0}) - std::log(static_cast<double>(orders));
}

Filled fill(const Conditionals& model, const Tensor& start, const Tensor& rank, Generator& generator) {
  check_ranks("any_order fill", start, rank);
  NoGrad off;
  Tensor x = start, log_prob;
  for (int64_t d = 0; d < x.size(1); ++d) {
    Tensor variable = variable_at(rank, d), place = unsqueeze(variable, 1), symbol = squeeze(gather(x, 1, place), 1);
    if (min(symbol).item<int64_t>() > 0) continue;  // no row misses it
    Tensor logits = model(x);
    if (!log_prob.defined()) {
      check_symbols("any_order fill", start, logits.size(2));
      log_prob = zeros({x.size(0)}, logits.dtype());
    }
    int64_t symbols = logits.size(2);
    Tensor row = select(gather(logits, 1, expand(unsqueeze(place, 2), {x.size(0), 1, symbols})), 1, 0);
    Tensor missing = symbol == 0;
    symbol = where(missing, categorical(row, &generator) + 1, symbol);
    x = scatter(x, 1, place, unsqueeze(symbol, 1));
    log_prob = log_prob + where(missing, log_probability_at(logits, x, variable), 0.0);
  }
  return {x, log_prob.defined() ? log_prob : zeros({x.size(0)})};
}

Tensor redraw(const Conditionals& model, const Tensor& x, const Tensor& rank, int64_t count, Generator& generator) {
  if (count < 0 || count > x.size(1))
    throw ValueError("any_order redraw: " + std::to_string(count) + " variables cannot be redrawn of " + std::to_string(x.size(1)));
  return fill(model, keep_first(x, rank, x.size(1) - count), rank, generator).x;
}

}  // namespace plumb::any_order
