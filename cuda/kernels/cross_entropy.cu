// Cross-entropy on the GPU, over vocabularies of any size, without storing probabilities: forward keeps two numbers a row (maximum and
// log Σ), backward computes the probabilities anew from them.
// Bytes: forward reads the logits once, sizeof(T) an element, keeping a running maximum and sum; backward reads them once and writes their
// gradient once, 2 · sizeof(T). Rows of more than 1024 logits have a block of 256 threads, 8 of which fit on an H100's multiprocessor:
// 1056 rows of 16-byte loads under way. Bound: memory; arithmetic is one exponential an element, about 16 instructions in f32, 2 in 16-bit
// types.
#include <limits>

#include "cuda/kernels/narrow_functions.h"
#include "cuda/kernels/reduce_rules.h"
#include "cuda/kernels/row.h"
#include "cuda/runtime/deferred_error.h"
#include "ops/kernels/loss.h"
#include "ops/special_functions.h"

namespace plumb::cuda_backend {
namespace {

// What the target of a row says: q_c = hit·[c = target] + rest·w_c.
template <typename C>
struct Targets {
  const void* target;
  bool wide;                ///< i64, not i32
  const C* weight;          ///< null: 1
  const C* weight_sum;      ///< null: the number of classes
  int64_t ignore_index, classes;
  C on_target, rest;

  __device__ int64_t of(int64_t row) const {
    return wide ? static_cast<const int64_t*>(target)[row] : static_cast<const int32_t*>(target)[row];
  }
  __device__ bool counts(int64_t t) const { return t != ignore_index && t >= 0 && t < classes; }
  __device__ C weight_of(int64_t t) const { return !counts(t) ? C(0) : weight ? weight[t] : C(1); }
  __device__ C hit(int64_t t) const { return on_target * weight_of(t); }
  __device__ C total_weight() const { return weight_sum ? *weight_sum : static_cast<C>(classes); }
};

template <typename C>
Targets<C> make_targets(const Tensor& target, const Tensor& class_weight, CrossEntropyRow row, int64_t classes,
                        const Scratch<C>& weight_sum) {
  const C* w = class_weight.defined() ? class_weight.data<C>() : nullptr;
  if (w) {
    ReduceAxes all;
    all.add({classes, 1, 0, 0});
    reduce_axes(RuleOp<reducing::Sum<C>, C, C>{w, nullptr, weight_sum.data(), dtype_of<C>()}, {}, all);
  }
  return {target.raw_data(),
          target.dtype() == i64,
          w,
          w ? weight_sum.data() : nullptr,
          row.ignore_index,
          classes,
          static_cast<C>(1 - row.smoothing),
          static_cast<C>(row.smoothing / static_cast<double>(classes))};
}

template <typename C> constexpr C kInfinity = std::numeric_limits<C>::infinity();
// What exponents are taken relative to: the maximum, or 0 where there is none.
template <typename C>
__device__ C base_of(C top) { return top > -kInfinity<C> && top < kInfinity<C> ? top : C(0); }

// Σ e^(x − base) as the maximum grows.
template <typename S>
struct RunningSum {
  using C = compute_t<S>;
  C top = -kInfinity<C>, base = 0, sum = 0;
  __device__ void raise(C x) {
    if (!(x > top)) return;
    top = x;
    C before = base;
    base = base_of(top);
    if (sum != 0) sum *= special::exp(before - base);  // not 0 · ∞
  }
  __device__ void add(C x) { sum += exp_for<S>(x - base); }
};

template <typename S>
__global__ void __launch_bounds__(kRowThreads) cross_entropy_rows(const S* x, int64_t rows, Targets<compute_t<S>> q, RangeCheck range,
                                                                  compute_t<S>* losses, compute_t<S>* statistics, int lanes) {
  using C = compute_t<S>;
  RowTeam team(lanes);
  if (team.row >= rows) return;
  const S* from = x + team.row * q.classes;
  C pivot = base_of(load(from[0]));  // for Σ w (pivot − x): what a sum relative to the maximum would be, but for a constant
  double below = 0;                  // in f64, for the pivot may be far from all others: a class that is masked out
  RunningSum<S> running;
  Row<S, false, 1> row(team, q.classes, {from});
  row.each([&](int64_t column, auto& v) {
    constexpr int N = sizeof(v) / sizeof(C);
    C top = v[0];
#pragma unroll
    for (int j = 1; j < N; ++j) top = std::fmax(top, v[j]);  // NaN left out
    running.raise(top);
#pragma unroll
    for (int j = 0; j < N; ++j) running.add(v[j]);
    if (q.rest > 0)
#pragma unroll
      for (int j = 0; j < N; ++j)
        below += static_cast<double>(q.weight ? q.weight[column + j] : C(1)) * (static_cast<double>(pivot) - static_cast<double>(v[j]));
  });
  C top = base_of(team.max(running.top));
  C total = team.sum(running.sum != 0 ? running.sum * special::exp(running.base - top) : C(0));
  if (q.rest > 0) below = team.sum(below) + static_cast<double>(q.total_weight()) * (static_cast<double>(top) - static_cast<double>(pivot));
  if (team.lane != 0) return;
  C log_total = special::log(total);
  statistics[2 * team.row] = top;
  statistics[2 * team.row + 1] = log_total;
  int64_t target = q.of(team.row);
  if (target == q.ignore_index || range.outside(target)) {
    losses[team.row] = 0;
  } else if (log_total == -kInfinity<C>) {
    losses[team.row] = -log_total;  // all −∞
  } else {
    C loss = q.hit(target) * (log_total + (top - load(from[target])));
    losses[team.row] = q.rest > 0 ? loss + q.rest * (q.total_weight() * log_total + static_cast<C>(below)) : loss;
  }
}

// Σ of the targets' weights and of the losses, over rows; then the factor of the mean, and the loss if it is one number.
template <typename C>
struct JoinLosses {
  struct Value {
    double weight, loss;
  };
  static constexpr int kPack = 1;
  Targets<C> q;
  const C* losses;
  bool mean, reduced;
  C *loss, *scale;

  __device__ Value start() const { return {0, 0}; }
  __device__ Value join(const Value& a, const Value& b) const { return {a.weight + b.weight, a.loss + b.loss}; }
  __device__ Value element(int64_t row, int64_t, int64_t) const {
    return {mean ? static_cast<double>(q.weight_of(q.of(row))) : 0, reduced ? static_cast<double>(losses[row]) : 0};
  }
  __device__ void store(int64_t, const Value& v) const {
    double factor = !mean ? 1 : v.weight == 0 ? 0 : 1 / v.weight;
    *scale = static_cast<C>(factor);
    if (reduced) *loss = static_cast<C>(factor * v.loss);
  }
};

template <typename S>
__global__ void __launch_bounds__(kRowThreads)
    cross_entropy_backward_rows(const compute_t<S>* dy, int step, const S* x, int64_t rows, Targets<compute_t<S>> q,
                                const compute_t<S>* statistics, const compute_t<S>* scale, S* dx, int lanes) {
  using C = compute_t<S>;
  RowTeam team(lanes);
  if (team.row >= rows) return;
  int64_t target = q.of(team.row);
  bool counts = q.counts(target);
  C factor = *scale * dy[team.row * step], top = statistics[2 * team.row], log_total = statistics[2 * team.row + 1];
  if (log_total == -kInfinity<C>) log_total = 0;
  C hit = q.hit(target), share = factor * (hit + q.rest * q.total_weight()), floor = factor * q.rest;
  S* to = dx + team.row * q.classes;
  Row<S, false, 1> row(team, q.classes, {x + team.row * q.classes}, to);
  row.write(to, [&](int64_t column, auto& out, auto& v) {
    constexpr int N = sizeof(v) / sizeof(C);
#pragma unroll
    for (int j = 0; j < N; ++j) out[j] = share * exp_for<S>(v[j] - top - log_total);
    if (floor != 0)
#pragma unroll
      for (int j = 0; j < N; ++j) out[j] -= floor * (q.weight ? q.weight[column + j] : C(1));
    if (static_cast<uint64_t>(target - column) < N)
#pragma unroll
      for (int j = 0; j < N; ++j) out[j] -= column + j == target ? factor * hit : C(0);
    if (!counts)
#pragma unroll
      for (int j = 0; j < N; ++j) out[j] = 0;
  });
}

void cross_entropy(const Tensor& logits, const Tensor& target, const Tensor& class_weight, CrossEntropyRow row, bool mean, Tensor& loss,
                   Tensor& statistics, Tensor& scale) {
  visit_floating("cross_entropy", logits.dtype(), [&]<typename S>() {
    using C = compute_t<S>;
    int64_t rows = target.numel(), classes = logits.shape()[1];
    bool reduced = loss.rank() == 0;
    Scratch<C> weight_sum(class_weight.defined() ? 1 : 0), each(reduced ? rows : 0);
    Targets<C> q = make_targets<C>(target, class_weight, row, classes, weight_sum);
    C* losses = reduced ? each.data() : loss.data<C>();
    if (rows > 0 && classes > 0) {
      RowPlan plan = plan_rows<S>(rows, classes, false);
      launch(cross_entropy_rows<S>, plan.grid, logits.data<S>(), rows, q, range_check("cross_entropy", "target", 0, classes), losses,
             statistics.data<C>(), plan.team);
    }
    ReduceAxes all;
    all.add({rows, 1, 0, 0});
    reduce_axes(JoinLosses<C>{q, losses, mean, reduced, reduced ? loss.data<C>() : nullptr, scale.data<C>()}, {}, all);
  });
}

void cross_entropy_backward(const Tensor& dy, const Tensor& logits, const Tensor& target, const Tensor& class_weight, CrossEntropyRow row,
                            const Tensor& statistics, const Tensor& scale, Tensor& dlogits) {
  visit_floating("cross_entropy", logits.dtype(), [&]<typename S>() {
    using C = compute_t<S>;
    int64_t rows = target.numel(), classes = logits.shape()[1];
    if (rows == 0 || classes == 0) return;
    Scratch<C> weight_sum(class_weight.defined() ? 1 : 0);
    Targets<C> q = make_targets<C>(target, class_weight, row, classes, weight_sum);
    RowPlan plan = plan_rows<S>(rows, classes, false);
    launch(cross_entropy_backward_rows<S>, plan.grid, dy.data<C>(), dy.rank() == 0 ? 0 : 1, logits.data<S>(), rows, q, statistics.data<C>(),
           scale.data<C>(), dlogits.data<S>(), plan.team);
  });
}

}  // namespace

void register_cross_entropy() {
  kernel::cross_entropy.set(DeviceType::cuda, cross_entropy);
  kernel::cross_entropy_backward.set(DeviceType::cuda, cross_entropy_backward);
}

}  // namespace plumb::cuda_backend
