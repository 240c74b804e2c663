// Cross-entropy on the CPU. Rows are independent and reduced in order, so the result does not depend on the number of threads.
// Bytes: forward reads the logits once; backward reads them once and writes their gradient once. Bound: exp.
#include <cmath>

#include "ops/cpu/rows.h"
#include "ops/kernels/loss.h"
#include "ops/special_functions.h"

namespace plumb::cpu_kernels {
namespace {

// What the target of a row says: q_c = hit·[c = target] + rest·w_c.
template <typename C>
struct Targets {
  const C* weight;  ///< null: 1
  CrossEntropyRow row;
  int64_t classes;
  C total_weight;

  Targets(const Tensor& class_weight, CrossEntropyRow parameters, int64_t n)
      : weight(class_weight.defined() ? class_weight.data<C>() : nullptr), row(parameters), classes(n) {
    total_weight = weight ? lane_sum<C>(n, [this](int64_t c) { return weight[c]; }) : static_cast<C>(n);
  }
  bool ignored(int64_t target) const { return target == row.ignore_index; }
  C weight_of(int64_t target) const { return ignored(target) ? C(0) : weight ? weight[target] : C(1); }
  C hit(int64_t target) const { return static_cast<C>(1 - row.smoothing) * weight_of(target); }
  C rest() const { return static_cast<C>(row.smoothing / static_cast<double>(classes)); }
};

template <typename I>
void check_targets(const I* target, int64_t n, int64_t classes, int64_t ignore_index) {
  for (int64_t i = 0; i < n; ++i)
    if ((target[i] < 0 || target[i] >= classes) && target[i] != ignore_index)
      throw IndexError("cross_entropy: target " + std::to_string(target[i]) + " is outside [0, " + std::to_string(classes) + ")");
}

// loss = hit (log Z − x_t) + rest Σ_c w_c (log Z − x_c), everything relative to the maximum so that large logits lose nothing.
template <typename C>
C row_loss(const C* x, int64_t target, const Targets<C>& q, C* statistics) {
  int64_t n = q.classes;
  C top = lane_max(x, n);
  if (!(std::abs(top) < std::numeric_limits<C>::infinity())) top = 0;  // all −∞: e^x is 0 then, and the loss infinite
  C log_total = std::log(lane_sum<C>(n, [=](int64_t c) { return special::exp(x[c] - top); }));
  statistics[0] = top;
  statistics[1] = log_total;
  if (q.ignored(target)) return 0;
  if (log_total == -std::numeric_limits<C>::infinity()) return -log_total;
  C loss = q.hit(target) * (log_total + (top - x[target]));
  if (C rest = q.rest(); rest > 0) {
    const C* w = q.weight;
    C below = w ? lane_sum<C>(n, [=](int64_t c) { return w[c] * (top - x[c]); }) : lane_sum<C>(n, [=](int64_t c) { return top - x[c]; });
    loss += rest * (q.total_weight * log_total + below);
  }
  return loss;
}

template <typename S, typename I>
void cross_entropy_typed(const Tensor& logits, const Tensor& targets, const Targets<compute_t<S>>& q, bool mean, Tensor& loss,
                         Tensor& statistics, Tensor& scale) {
  using C = compute_t<S>;
  int64_t rows = targets.numel(), n = q.classes;
  const S* x = logits.data<S>();
  const I* target = targets.data<I>();
  check_targets(target, rows, n, q.row.ignore_index);
  bool reduced = loss.rank() == 0;
  Tensor losses = reduced ? empty({rows}, loss.dtype(), {}, "cross_entropy") : loss;
  C *each = losses.data<C>(), *stats = statistics.data<C>();
  parallel_for(rows, row_grain(n), [&](int64_t begin, int64_t end) {
    RowReader<S> read(n);
    for (int64_t r = begin; r < end; ++r) each[r] = row_loss<C>(read(x + r * n), target[r], q, stats + 2 * r);
  });
  double total = 1;
  if (mean) total = lane_sum<double>(rows, [&](int64_t r) { return static_cast<double>(q.weight_of(target[r])); });
  double factor = total == 0 ? 0 : 1 / total;
  *scale.data<C>() = static_cast<C>(factor);
  if (reduced) *loss.data<C>() = static_cast<C>(factor * lane_sum<double>(rows, [&](int64_t r) { return static_cast<double>(each[r]); }));
}

template <typename C>
void row_gradient(const C* x, int64_t target, const Targets<C>& q, const C* statistics, C factor, C* dx) {
  int64_t n = q.classes;
  if (q.ignored(target)) {
    std::fill_n(dx, n, C(0));
    return;
  }
  C top = statistics[0], log_total = statistics[1], hit = q.hit(target), rest = q.rest();
  if (log_total == -std::numeric_limits<C>::infinity()) log_total = 0;
  C share = factor * (hit + rest * q.total_weight), floor = factor * rest;
  const C* w = q.weight;
  if (floor == 0) {
    for (int64_t c = 0; c < n; ++c) dx[c] = share * special::exp(x[c] - top - log_total);
  } else {
    for (int64_t c = 0; c < n; ++c) dx[c] = share * special::exp(x[c] - top - log_total) - floor * (w ? w[c] : C(1));
  }
  dx[target] -= factor * hit;
}

template <typename S, typename I>
void cross_entropy_backward_typed(const Tensor& gradient, const Tensor& logits, const Tensor& targets, const Targets<compute_t<S>>& q,
                                  const Tensor& statistics, const Tensor& scale, Tensor& dlogits) {
  using C = compute_t<S>;
  int64_t rows = targets.numel(), n = q.classes;
  const S* x = logits.data<S>();
  S* dx = dlogits.data<S>();
  const I* target = targets.data<I>();
  const C *dy = gradient.data<C>(), *stats = statistics.data<C>(), factor = *scale.data<C>();
  int64_t step = gradient.rank() == 0 ? 0 : 1;
  parallel_for(rows, row_grain(n), [&](int64_t begin, int64_t end) {
    RowReader<S> read(n);
    RowWriter<S> write(n);
    for (int64_t r = begin; r < end; ++r) {
      row_gradient<C>(read(x + r * n), target[r], q, stats + 2 * r, factor * dy[r * step], write.begin(dx + r * n));
      write.store(dx + r * n);
    }
  });
}

void cross_entropy(const Tensor& logits, const Tensor& target, const Tensor& class_weight, CrossEntropyRow row, bool mean, Tensor& loss,
                   Tensor& statistics, Tensor& scale) {
  visit_floating("cross_entropy", logits.dtype(), [&]<typename S>() {
    Targets<compute_t<S>> q(class_weight, row, logits.shape()[1]);
    visit_index("cross_entropy", target.dtype(),
                [&]<typename I>() { cross_entropy_typed<S, I>(logits, target, q, mean, loss, statistics, scale); });
  });
}

void cross_entropy_backward(const Tensor& dy, const Tensor& logits, const Tensor& target, const Tensor& class_weight, CrossEntropyRow row,
                            const Tensor& statistics, const Tensor& scale, Tensor& dlogits) {
  visit_floating("cross_entropy", logits.dtype(), [&]<typename S>() {
    Targets<compute_t<S>> q(class_weight, row, logits.shape()[1]);
    visit_index("cross_entropy", target.dtype(),
                [&]<typename I>() { cross_entropy_backward_typed<S, I>(dy, logits, target, q, statistics, scale, dlogits); });
  });
}

}  // namespace

void register_cross_entropy() {
  kernel::cross_entropy.set(DeviceType::cpu, cross_entropy);
  kernel::cross_entropy_backward.set(DeviceType::cpu, cross_entropy_backward);
}

}  // namespace plumb::cpu_kernels
