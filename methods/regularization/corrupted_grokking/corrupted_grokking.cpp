// Corrupted tables, the network with squares, its phases, and the pruning of its neurons.
#include "methods/regularization/corrupted_grokking/corrupted_grokking.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numbers>
#include <numeric>

#include "engine/autograd/grad_mode.h"
#include "engine/core/generator.h"
#include "models/metrics/confusion.h"
#include "models/metrics/participation.h"
#include "models/nn/init.h"
#include "ops/dropout.h"
#include "ops/elementary.h"
#include "ops/embedding.h"
#include "ops/index.h"
#include "ops/loss.h"
#include "ops/matmul.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb::methods::corrupted_grokking {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

void check(const CorruptedOptions& o) {
  if (o.modulus < 2 || o.modulus > 65535) throw ValueError(fmt::format("corrupted_table: the modulus {} is outside [2, 65535]", o.modulus));
  if (!(o.train > 0 && o.train < 1)) throw ValueError(fmt::format("corrupted_table: the training share {} is outside (0, 1)", o.train));
  if (!(o.corruption >= 0 && o.corruption <= 1))
    throw ValueError(fmt::format("corrupted_table: the corrupted share {} is outside [0, 1]", o.corruption));
}

// ⌊share · n⌋, where a share such as 0.29 of 100 means 29 although it is stored as a little less.
int64_t part_of(double share, int64_t n) { return static_cast<int64_t>(std::floor(share * static_cast<double>(n) + 1e-9)); }

PairExamples examples(const std::vector<int64_t>& pairs, const std::vector<int64_t>& labels, size_t from, size_t to) {
  auto at = [](size_t i) { return static_cast<std::ptrdiff_t>(i); };
  std::vector<int64_t> some(pairs.begin() + at(2 * from), pairs.begin() + at(2 * to));
  return {from_vector(some, {static_cast<int64_t>(to - from), 2}),
          from_vector(std::vector<int64_t>(labels.begin() + at(from), labels.begin() + at(to)))};
}

double share_equal(const Tensor& predicted, const Tensor& labels) {
  return labels.numel() == 0 ? kNaN : metrics::accuracy(predicted, labels);
}

}  // namespace

CorruptedTable corrupted_table(const CorruptedOptions& o) {
  check(o);
  int64_t p = o.modulus, first = o.operation == data::ModularOperation::divide, columns = p - first, n = p * columns;
  Generator generator(o.seed);
  std::vector<int64_t> pairs, labels;
  for (int64_t place : data::random_order(n, generator)) {
    int64_t a = place / columns, b = first + place % columns;
    pairs.push_back(a);
    pairs.push_back(p + b);
    labels.push_back(data::modular(o.operation, a, b, p));
  }
  int64_t train = part_of(o.train, n);
  if (train == 0 || train == n)
    throw ValueError(fmt::format("corrupted_table: the training share {} leaves a part of {} entries empty", o.train, n));
  CorruptedTable table{.modulus = p, .corrupted = part_of(o.corruption, train)};
  table.train = examples(pairs, labels, 0, static_cast<size_t>(train));
  table.test = examples(pairs, labels, static_cast<size_t>(train), static_cast<size_t>(n));
  table.truth = table.train.labels;
  for (int64_t i = 0; i < table.corrupted; ++i)
    labels[static_cast<size_t>(i)] = static_cast<int64_t>(generator.next_below(static_cast<uint64_t>(p)));
  table.train.labels = from_vector(std::vector<int64_t>(labels.begin(), labels.begin() + train));
  return table;
}

QuadraticMlp::QuadraticMlp(const QuadraticMlpConfig& c) : dropout_(c.dropout) {
  if (c.modulus < 2) throw ValueError(fmt::format("quadratic_mlp: the modulus {} is below 2", c.modulus));
  if (c.width < 1) throw ValueError(fmt::format("quadratic_mlp: {} neurons", c.width));
  if (!(c.dropout >= 0 && c.dropout < 1)) throw ValueError(fmt::format("quadratic_mlp: dropout {} is outside [0, 1)", c.dropout));
  register_parameter("first", first, empty({2 * c.modulus, c.width}, c.dtype));
  register_parameter("second", second, empty({c.width, c.modulus}, c.dtype));
  double spread = 0.5 / std::cbrt(2.0 * static_cast<double>(c.width));
  nn::init::normal(first, 0, spread);
  nn::init::normal(second, 0, spread);
  if (c.batch_norm) norm.emplace(this, "norm", c.width, nn::BatchNormOptions{.dtype = c.dtype});
}

Tensor QuadraticMlp::operator()(const Tensor& pairs) const {
  Tensor h = embedding_bag(first, pairs, {}, {.mode = BagMode::sum});  // a product with two one-hot vectors is the sum of two rows
  if (training() && dropout_ > 0) h = dropout(h, dropout_);
  h = square(h);
  if (norm) h = (*norm)(h);
  return matmul(h, second);
}

QuadraticMlp analytic_solution(int64_t modulus, int64_t width, uint64_t seed, DType dtype) {
  QuadraticMlp network({.modulus = modulus, .width = width, .dtype = dtype});
  Generator generator(seed);
  auto p = static_cast<size_t>(modulus), n = static_cast<size_t>(width);
  std::vector<double> first(2 * p * n), second(n * p);
  for (size_t k = 0; k < n; ++k) {
    double turn = 2 * std::numbers::pi / static_cast<double>(p), frequency = static_cast<double>(1 + k % (p - 1));
    double a = 2 * std::numbers::pi * generator.next_double(), b = 2 * std::numbers::pi * generator.next_double();
    for (size_t m = 0; m < p; ++m) {
      double angle = turn * frequency * static_cast<double>(m);
      first[m * n + k] = std::cos(angle + a);
      first[(p + m) * n + k] = std::cos(angle + b);
      second[k * p + m] = std::cos(angle + a + b);
    }
  }
  NoGrad off;
  copy_data(from_vector(first, network.first.shape()), network.first);
  copy_data(from_vector(second, network.second.shape()), network.second);
  return network;
}

Tensor one_hot_error(const Tensor& outputs, const Tensor& labels) {
  return mse_loss(outputs, to(one_hot(labels, outputs.size(-1)), outputs.dtype()));
}

GrokReport report(QuadraticMlp& network, const CorruptedTable& table) {
  NoGrad off;
  bool training = network.training();
  network.eval();
  Tensor train = argmax(network(table.train.pairs), -1), test = argmax(network(table.test.pairs), -1);
  network.train(training);
  int64_t n = table.train.size(), c = table.corrupted;
  auto first = [c](const Tensor& x) { return narrow(x, 0, 0, c); };
  auto rest = [n, c](const Tensor& x) { return narrow(x, 0, c, n - c); };
  return {.train = share_equal(train, table.train.labels),
          .corrupted = share_equal(first(train), first(table.train.labels)),
          .clean = share_equal(rest(train), rest(table.train.labels)),
          .test = share_equal(test, table.test.labels),
          .corrupted_true = share_equal(first(train), first(table.truth))};
}

Phase classify(const GrokReport& r) {
  double c = std::isnan(r.corrupted) ? r.train : r.corrupted;
  if (r.test >= 0.9) return c >= 0.9 ? Phase::coexistence : c <= 0.1 ? Phase::full_inversion : Phase::partial_inversion;
  if (r.train >= 0.9) return Phase::memorisation;
  return r.train <= 0.1 && r.test <= 0.1 ? Phase::forgetting : Phase::confusion;
}

const std::string& name(Phase phase) {
  static const std::array<std::string, 6> names{"memorisation",   "coexistence", "partial inversion",
                                                "full inversion", "forgetting",  "confusion"};
  return names[static_cast<size_t>(phase)];
}

std::vector<double> neuron_ipr(const QuadraticMlp& network) {
  int64_t p = network.modulus();
  Tensor both = transpose(network.first.detach(), 0, 1);
  std::vector<double> u = inverse_participation_ratios(narrow(both, 1, 0, p)), v = inverse_participation_ratios(narrow(both, 1, p, p)),
                      w = inverse_participation_ratios(network.second);
  for (size_t k = 0; k < u.size(); ++k) u[k] = (u[k] + v[k] + w[k]) / 3;
  return u;
}

std::vector<int64_t> ascending(const std::vector<double>& scores) {
  std::vector<int64_t> order(scores.size());
  std::iota(order.begin(), order.end(), 0);
  auto key = [&](int64_t i) {
    double s = scores[static_cast<size_t>(i)];
    return std::isnan(s) ? -std::numeric_limits<double>::infinity() : s;
  };
  std::ranges::stable_sort(order, {}, key);
  return order;
}

QuadraticMlp pruned(const QuadraticMlp& network, const std::vector<int64_t>& order, int64_t count) {
  if (count < 0 || count > static_cast<int64_t>(order.size()))
    throw ValueError(fmt::format("pruned: cannot prune {} of {} neurons", count, order.size()));
  QuadraticMlp copy = network;
  if (count == 0) return copy;
  NoGrad off;
  Tensor gone = from_vector(std::vector<int64_t>(order.begin(), order.begin() + count));
  auto zero = [&](Tensor& weight, int dim) {
    copy_data(index_copy(weight, dim, gone, zeros_like(index_select(weight, dim, gone))), weight);
  };
  zero(copy.first, 1);
  zero(copy.second, 0);
  return copy;
}

PruneCurve prune_curve(const QuadraticMlp& network, const std::vector<int64_t>& order, const CorruptedTable& table, int64_t points) {
  if (points < 1) throw ValueError(fmt::format("prune_curve: needs at least one point, got {}", points));
  PruneCurve curve;
  auto all = static_cast<int64_t>(order.size());
  for (int64_t i = 0; i <= points; ++i) {
    int64_t count = i * all / points;
    QuadraticMlp left = pruned(network, order, count);
    curve.share.push_back(static_cast<double>(count) / static_cast<double>(network.width()));
    curve.reports.push_back(report(left, table));
  }
  return curve;
}

}  // namespace plumb::methods::corrupted_grokking
