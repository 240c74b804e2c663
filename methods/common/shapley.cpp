// Shapley values. Coalitions become rows of one matrix, so that the model is called a few times with many rows.
#include "methods/common/shapley.h"

#include <algorithm>
#include <bit>
#include <numeric>
#include <string>

#include "engine/autograd/grad_mode.h"
#include "ops/shape.h"

namespace plumb::methods {
namespace {

constexpr size_t kMostInputs = 15;
constexpr size_t kRowsPerCall = 1 << 14;

// The explained row and the background, on the host.
struct Explained {
  size_t inputs, rows;
  std::vector<double> x, background;
  DType dtype;
};

Explained checked(const char* op, const Tensor& x, const Tensor& background) {
  if (x.rank() != 1 || (background.rank() != 1 && background.rank() != 2) || background.size(-1) != x.size(0) || background.numel() == 0)
    throw ShapeError(std::string(op) + ": takes x [d] and a background [m, d] or [d], not " + to_string(x.shape()) + " and " +
                     to_string(background.shape()));
  if (!is_floating(x.dtype())) throw DTypeError(std::string(op) + ": x is " + std::string(name(x.dtype())) + ", not floating");
  auto d = static_cast<size_t>(x.size(0));
  return {d, static_cast<size_t>(background.numel()) / d, to_vector(x), to_vector(background), x.dtype()};
}

// f of rows given as plain numbers.
std::vector<double> evaluate(const char* op, const RowFunction& f, const Explained& e, const std::vector<double>& rows) {
  auto n = static_cast<int64_t>(rows.size() / e.inputs);
  Tensor y = f(to(from_vector(rows, {n, static_cast<int64_t>(e.inputs)}), e.dtype));
  if (y.shape() != Shape{n})
    throw ShapeError(std::string(op) + ": the function gave " + to_string(y.shape()) + " for " + std::to_string(n) + " rows, not [" +
                     std::to_string(n) + "]");
  return to_vector(y);
}

// v(S) for every S, bit j of S standing for input j.
std::vector<double> coalition_values(const RowFunction& f, const Explained& e) {
  size_t coalitions = size_t{1} << e.inputs;
  std::vector<double> value(coalitions), rows;
  size_t first = 0;  // the pair (coalition, background row) that rows[0] stands for
  auto flush = [&] {
    std::vector<double> y = evaluate("exact_shapley", f, e, rows);
    for (size_t i = 0; i < y.size(); ++i) value[(first + i) / e.rows] += y[i] / static_cast<double>(e.rows);
    first += y.size();
    rows.clear();
  };
  for (size_t s = 0; s < coalitions; ++s)
    for (size_t b = 0; b < e.rows; ++b) {
      for (size_t j = 0; j < e.inputs; ++j) rows.push_back(s >> j & 1 ? e.x[j] : e.background[b * e.inputs + j]);
      if (rows.size() >= kRowsPerCall * e.inputs) flush();
    }
  if (!rows.empty()) flush();
  return value;
}

}  // namespace

std::vector<double> exact_shapley(const RowFunction& f, const Tensor& x, const Tensor& background) {
  NoGrad off;
  Explained e = checked("exact_shapley", x, background);
  if (e.inputs > kMostInputs)
    throw ValueError("exact_shapley: " + std::to_string(e.inputs) + " inputs have too many coalitions; at most 15 (see sampled_shapley)");
  std::vector<double> value = coalition_values(f, e), weight(e.inputs), phi(e.inputs);
  for (size_t size = 0; size < e.inputs; ++size) {  // |S|! (d − |S| − 1)! / d! = 1 / (d · C(d − 1, |S|))
    double choose = 1;
    for (size_t k = 1; k <= size; ++k) choose *= static_cast<double>(e.inputs - k) / static_cast<double>(k);
    weight[size] = 1 / (static_cast<double>(e.inputs) * choose);
  }
  for (size_t j = 0; j < e.inputs; ++j)
    for (size_t s = 0; s < value.size(); ++s)
      if (!(s >> j & 1)) phi[j] += weight[static_cast<size_t>(std::popcount(s))] * (value[s | size_t{1} << j] - value[s]);
  return phi;
}

std::vector<double> sampled_shapley(const RowFunction& f, const Tensor& x, const Tensor& background, int64_t permutations,
                                    Generator& generator) {
  if (permutations < 1) throw ValueError("sampled_shapley: permutations must be at least 1, it is " + std::to_string(permutations));
  NoGrad off;
  Explained e = checked("sampled_shapley", x, background);
  size_t d = e.inputs, count = static_cast<size_t>(permutations);
  std::vector<size_t> orders(count * d);
  std::vector<double> rows;
  rows.reserve(count * (d + 1) * d);
  for (size_t p = 0; p < count; ++p) {
    auto order = orders.begin() + static_cast<std::ptrdiff_t>(p * d);
    std::iota(order, order + static_cast<std::ptrdiff_t>(d), size_t{0});
    for (size_t j = d; j > 1; --j)
      std::swap(order[static_cast<std::ptrdiff_t>(j - 1)], order[static_cast<std::ptrdiff_t>(generator.next_below(j))]);
    auto from = e.background.begin() + static_cast<std::ptrdiff_t>(generator.next_below(e.rows) * d);
    std::vector<double> row(from, from + static_cast<std::ptrdiff_t>(d));
    rows.insert(rows.end(), row.begin(), row.end());
    for (size_t j = 0; j < d; ++j) {
      size_t input = orders[p * d + j];
      row[input] = e.x[input];
      rows.insert(rows.end(), row.begin(), row.end());
    }
  }
  std::vector<double> y = evaluate("sampled_shapley", f, e, rows), phi(d);
  for (size_t p = 0; p < count; ++p)
    for (size_t j = 0; j < d; ++j) phi[orders[p * d + j]] += (y[p * (d + 1) + j + 1] - y[p * (d + 1) + j]) / static_cast<double>(count);
  return phi;
}

}  // namespace plumb::methods
