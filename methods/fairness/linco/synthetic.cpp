// The generator with a known truth.
#include "methods/fairness/linco/synthetic.h"

#include <cmath>
#include <string>

#include "engine/autograd/grad_mode.h"
#include "ops/elementary.h"
#include "ops/index.h"
#include "ops/matmul.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb::methods::linco {
namespace {

void check(const SyntheticOptions& o) {
  if (o.groups < 1 || o.factors < 1 || o.train < 1 || o.evaluation < 1 || !(o.noise >= 0) || !(o.rate > 0 && o.rate < 1))
    throw ValueError("linco: synthetic cases need groups, factors and cases >= 1, noise >= 0 and a rate in (0, 1)");
  if (!o.shares.empty() && static_cast<int64_t>(o.shares.size()) != o.groups)
    throw ValueError("linco: " + std::to_string(o.shares.size()) + " shares for " + std::to_string(o.groups) + " groups");
}

// −1 … 1 in equal steps; one group is at 0.
std::vector<double> stances(int64_t groups) {
  std::vector<double> s;
  for (int64_t k = 0; k < groups; ++k) s.push_back(groups == 1 ? 0 : 2.0 * static_cast<double>(k) / static_cast<double>(groups - 1) - 1);
  return s;
}

std::vector<int64_t> drawn_groups(const SyntheticOptions& o, int64_t n, Generator& g) {
  std::vector<int64_t> group;
  for (int64_t i = 0; i < n; ++i) {
    if (o.shares.empty()) {
      group.push_back(i % o.groups);
      continue;
    }
    double total = 0, at = 0;
    for (double s : o.shares) total += s;
    double u = g.next_double() * total;
    int64_t k = 0;
    for (; k + 1 < o.groups; ++k) {
      at += o.shares[static_cast<size_t>(k)];
      if (u < at) break;
    }
    group.push_back(k);
  }
  return group;
}

}  // namespace

SyntheticJudgments make_synthetic(const SyntheticOptions& o, uint64_t seed) {
  check(o);
  NoGrad off;
  Generator g(seed);
  RandomOptions with{.dtype = f64, .generator = &g};
  int64_t d = o.factors, n = o.train + o.evaluation;
  Tensor w = randn({d}, with) * 0.3, all = randn({d, d}, with) * 0.05, above = zeros({d, d}, f64);
  for (int64_t i = 0; i < d; ++i)
    for (int64_t j = i + 1; j < d; ++j) above.data<double>()[i * d + j] = all.data<double>()[i * d + j];
  Tensor x = bernoulli({n, d}, o.rate, with);
  std::vector<double> s = stances(o.groups), eta = to_vector(matmul(x, w) + sum(matmul(x, above) * x, {1}) + o.start),
                      first = to_vector(select(x, 1, 0)), noise = to_vector(randn({n}, with) * o.noise);
  std::vector<int64_t> group = drawn_groups(o, n, g);
  std::vector<double> months;
  for (size_t i = 0; i < eta.size(); ++i) {
    double own = o.beta * s[static_cast<size_t>(group[i])] * (o.interaction ? first[i] : 1);
    months.push_back(std::expm1(std::max(0.0, eta[i] + own + noise[i])));
  }
  double squares = 0;
  for (double v : s) squares += v * v / static_cast<double>(s.size());
  SyntheticJudgments out;
  out.truth = o.beta * std::sqrt(squares) * (o.interaction ? o.rate : 1);
  Tensor features = to(x, f32);
  auto part = [&](int64_t from, int64_t to_row) {
    return JudgmentDataset{
        slice(features, 0, from, to_row), {group.begin() + from, group.begin() + to_row}, {months.begin() + from, months.begin() + to_row}};
  };
  out.train = part(0, o.train), out.evaluation = part(o.train, n);
  return out;
}

}  // namespace plumb::methods::linco
