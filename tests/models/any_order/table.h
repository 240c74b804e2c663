// A joint distribution of a few discrete variables as a table: exact marginals and conditionals for tests.
#pragma once
#include <cmath>
#include <vector>

#include "engine/core/generator.h"
#include "models/any_order/any_order.h"

namespace plumb::test {

/// p[state] of D variables with symbols 1 … K; variable j is digit j of the state, lowest first: state Σ (x_j − 1) K^j. f64 throughout.
struct Table {
  int64_t variables, symbols;
  std::vector<double> p;

  Table(int64_t d, int64_t k, uint64_t seed) : variables(d), symbols(k) {
    Generator g(seed);
    double total = 0;
    for (int64_t n = static_cast<int64_t>(std::pow(k, d) + 0.5); n > 0; --n) total += p.emplace_back(0.1 + g.next_double());
    for (double& v : p) v /= total;
  }

  Tensor row(int64_t state) const {
    std::vector<int64_t> x;
    for (int64_t j = 0; j < variables; ++j, state /= symbols) x.push_back(state % symbols + 1);
    return from_vector(x, {1, variables});
  }
  int64_t state_of(const Tensor& x) const {
    std::vector<int64_t> values = to_vector<int64_t>(x);
    int64_t state = 0;
    for (int64_t j = variables; j-- > 0;) state = state * symbols + values[static_cast<size_t>(j)] - 1;
    return state;
  }
  /// Σ p over the states that agree with the known variables.
  double marginal(const int64_t* x) const {
    double total = 0;
    for (size_t state = 0; state < p.size(); ++state) {
      auto rest = static_cast<int64_t>(state);
      bool agrees = true;
      for (int64_t j = 0; j < variables; ++j, rest /= symbols) agrees = agrees && (x[j] == 0 || x[j] == rest % symbols + 1);
      total += agrees ? p[state] : 0;
    }
    return total;
  }
  std::function<Tensor(const Tensor&)> log_marginal() const {
    return [this](const Tensor& x) {
      std::vector<int64_t> all = to_vector<int64_t>(x);
      std::vector<double> result;
      for (int64_t b = 0; b < x.size(0); ++b) result.push_back(std::log(marginal(all.data() + b * variables)));
      return from_vector(result);
    };
  }
  /// log p(x_j = k | known) of unknown variables; zeros for known ones.
  any_order::Conditionals conditionals() const {
    return [this](const Tensor& x) {
      std::vector<int64_t> all = to_vector<int64_t>(x);
      std::vector<double> logits;
      for (int64_t b = 0; b < x.size(0); ++b) {
        int64_t* row = all.data() + b * variables;
        double known = marginal(row);
        for (int64_t j = 0; j < variables; ++j)
          for (int64_t k = 1; k <= symbols; ++k) {
            if (row[j] != 0) {
              logits.push_back(0);
              continue;
            }
            row[j] = k;
            logits.push_back(std::log(marginal(row) / known));
            row[j] = 0;
          }
      }
      return from_vector(logits, {x.size(0), variables, symbols});
    };
  }
};

}  // namespace plumb::test
