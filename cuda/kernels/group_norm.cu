// Group norm on the GPU; images with channels last are group_norm_last.cu's. The elements of a group of one example lie together: they are
// a row (row.h), whose weights change every `space` elements. Bytes: forward reads x and writes y, 2 · sizeof(T) an element (a streamed
// group is read three times, from L2 where it fits); backward reads dy and x twice, for the sums of each channel and for dx, and writes dx.
// Bound: memory.
#include <cmath>

#include "cuda/kernels/group_norm_last.h"
#include "cuda/kernels/reduce_engine.h"
#include "cuda/kernels/row.h"
#include "ops/kernels/norm.h"

namespace plumb::cuda_backend {
namespace {

/// x [examples, groups · width, space].
struct Groups {
  int64_t groups, width, space;
  int64_t length() const { return width * space; }

  /// channels[j] ← the channel within the group of the element `column` + j. A group has fewer than 2³¹ elements a channel of which
  /// division in 32 bits is enough; packs rarely meet more than two channels.
  template <int N>
  __device__ void channels_of(int64_t column, int (&channels)[N]) const {
    auto first = column < int64_t{1} << 31 && space < int64_t{1} << 31 ? static_cast<uint32_t>(column) / static_cast<uint32_t>(space)
                                                                       : column / space;
    int64_t left = (static_cast<int64_t>(first) + 1) * space - column;
#pragma unroll
    for (int j = 0; j < N; ++j) channels[j] = static_cast<int>(space >= N ? first + (j >= left) : (column + j) / space);
  }
};

template <typename S, bool kHeld>
__global__ void __launch_bounds__(kRowThreads)
    group_norm_rows(const S* x, int64_t rows, Groups g, const compute_t<S>* weight, const compute_t<S>* bias, compute_t<S> eps, S* y,
                    compute_t<S>* means, compute_t<S>* rstds, int lanes) {
  using C = compute_t<S>;
  RowTeam team(lanes);
  if (team.row >= rows) return;
  int64_t n = g.width * g.space, first_channel = team.row % g.groups * g.width;
  S* to = y + team.row * n;
  Row<S, kHeld, 1> row(team, n, {x + team.row * n}, to);
  C mean = 0, squares = 0;
  row.each([&](int64_t, auto& v) {
    for (C e : v) mean += e;
  });
  mean = team.sum(mean) / static_cast<C>(n);
  row.each([&](int64_t, auto& v) {
    for (C e : v) squares += (e - mean) * (e - mean);
  });
  C rstd = C(1) / std::sqrt(team.sum(squares) / static_cast<C>(n) + eps);
  if (team.lane == 0) {
    means[team.row] = mean;
    rstds[team.row] = rstd;
  }
  row.write(to, [&](int64_t column, auto& out, auto& v) {
    constexpr int N = sizeof(v) / sizeof(C);
    int channels[N];
    g.channels_of(column, channels);
#pragma unroll
    for (int j = 0; j < N; ++j) {
      C scale = weight ? rstd * weight[first_channel + channels[j]] : rstd, shift = bias ? bias[first_channel + channels[j]] : C(0);
      out[j] = (v[j] - mean) * scale + shift;
    }
  });
}

template <typename C>
struct GradientSums {
  C g, gx;  ///< Σ dy, Σ dy (x − mean)
};

// The sums of one channel of one example; `plane` counts these.
template <typename S>
struct ChannelSums {
  using C = compute_t<S>;
  using Value = GradientSums<C>;
  static constexpr int kPack = kPerAccess<S>;
  const S *dy, *x;
  const C* means;
  int64_t width;
  Value* sums;

  bool aligned() const { return aligned16(dy) && aligned16(x); }
  __device__ Value start() const { return {0, 0}; }
  __device__ Value join(const Value& a, const Value& b) const { return {a.g + b.g, a.gx + b.gx}; }
  __device__ Value one(C g, C v, int64_t plane) const { return {g, g * (v - means[plane / width])}; }
  __device__ Value element(int64_t at, int64_t plane, int64_t) const { return one(load(dy[at]), load(x[at]), plane); }
  __device__ void pack(int64_t at, int64_t plane, int64_t step, Value (&v)[kPack]) const {
    C g[kPack], e[kPack];
    read_pack<kPack>(dy + at, g);
    read_pack<kPack>(x + at, e);
#pragma unroll
    for (int j = 0; j < kPack; ++j) v[j] = one(g[j], e[j], plane + j * step);
  }
  __device__ void store(int64_t plane, const Value& v) const { sums[plane] = v; }
};

// x̂ = (x − m) s, g = dy · weight:  dx = s (g − mean(g) − x̂ mean(g x̂))
template <typename S>
__global__ void __launch_bounds__(kRowThreads)
    group_norm_dx(const S* dy, const S* x, int64_t rows, Groups g, const compute_t<S>* means, const compute_t<S>* rstds,
                  const compute_t<S>* weight, const GradientSums<compute_t<S>>* sums, S* dx, int lanes) {
  using C = compute_t<S>;
  RowTeam team(lanes);
  if (team.row >= rows) return;
  int64_t n = g.width * g.space, first_channel = team.row % g.groups * g.width;
  C mean = means[team.row], rstd = rstds[team.row], total_g = 0, total_gx = 0;
  for (int64_t d = team.lane; d < g.width; d += team.lanes) {
    GradientSums<C> channel = sums[team.row * g.width + d];
    C w = weight ? weight[first_channel + d] : C(1);
    total_g += w * channel.g;
    total_gx += w * channel.gx;
  }
  C shift = rstd * team.sum(total_g) / static_cast<C>(n), slope = rstd * rstd * rstd * team.sum(total_gx) / static_cast<C>(n);
  S* to = dx + team.row * n;
  Row<S, false, 2> row(team, n, {dy + team.row * n, x + team.row * n}, to);
  row.write(to, [&](int64_t column, auto& out, auto& v, auto& e) {
    constexpr int N = sizeof(v) / sizeof(C);
    int channels[N];
    g.channels_of(column, channels);
#pragma unroll
    for (int j = 0; j < N; ++j)
      out[j] = v[j] * (weight ? rstd * weight[first_channel + channels[j]] : rstd) - shift - (e[j] - mean) * slope;
  });
}

// Over examples: dweight = Σ (Σ dy (x − mean)) rstd, dbias = Σ Σ dy.
template <typename C>
struct OverExamples {
  using Value = GradientSums<C>;
  static constexpr int kPack = 1;
  const GradientSums<C>* sums;
  const C* rstds;
  int64_t width;
  C *dweight, *dbias;

  __device__ Value start() const { return {0, 0}; }
  __device__ Value join(const Value& a, const Value& b) const { return {a.g + b.g, a.gx + b.gx}; }
  __device__ Value element(int64_t plane, int64_t, int64_t) const { return {sums[plane].g, sums[plane].gx * rstds[plane / width]}; }
  __device__ void store(int64_t channel, const Value& v) const {
    if (dweight) dweight[channel] = v.gx;
    if (dbias) dbias[channel] = v.g;
  }
};

void group_norm(const Tensor& x, int64_t groups, const Tensor& weight, const Tensor& bias, double eps, Tensor& y, Tensor& mean,
                Tensor& rstd) {
  int64_t rows = rstd.numel();
  if (rows == 0 || x.numel() == 0) return;
  if (!x.is_contiguous()) return group_norm_last(x, groups, weight, bias, eps, y, mean, rstd);
  Groups g{groups, x.shape()[1] / groups, x.shape()[2]};
  visit_floating("group_norm", x.dtype(), [&]<typename S>() {
    using C = compute_t<S>;
    const S* from = x.data<S>();
    S* to = y.data<S>();
    RowPlan plan = plan_rows<S>(rows, g.length(), aligned16(from) && aligned16(to));
    launch(plan.held ? group_norm_rows<S, true> : group_norm_rows<S, false>, plan.grid, from, rows, g, data_or_null<C>(weight),
           data_or_null<C>(bias), static_cast<C>(eps), to, mean.data<C>(), rstd.data<C>(), plan.team);
  });
}

template <typename S>
void group_norm_backward_typed(const Tensor& gradient, const Tensor& input, int64_t groups, const Tensor& mean, const Tensor& rstd,
                               const Tensor& weight, Tensor& dx, Tensor& dweight, Tensor& dbias) {
  using C = compute_t<S>;
  int64_t examples = input.shape()[0], channels = input.shape()[1], rows = rstd.numel();
  Groups g{groups, channels / groups, input.shape()[2]};
  const S *dy = gradient.data<S>(), *x = input.data<S>();
  Scratch<GradientSums<C>> sums(examples * channels);
  ReduceAxes planes, space, per_channel, over_examples;
  planes.add({examples * channels, g.space, 1, 1});
  space.add({g.space, 1, 0, 0});
  reduce_axes(ChannelSums<S>{dy, x, mean.data<C>(), g.width, sums.data()}, planes, space);
  if (dx.defined() && input.numel() > 0) {
    RowPlan plan = plan_rows<S>(rows, g.length(), false);
    launch(group_norm_dx<S>, plan.grid, dy, x, rows, g, mean.data<C>(), rstd.data<C>(), data_or_null<C>(weight), sums.data(), dx.data<S>(),
           plan.team);
  }
  if (!dweight.defined() && !dbias.defined()) return;
  per_channel.add({channels, 1, 1, 0});
  over_examples.add({examples, channels, 0, 0});
  reduce_axes(OverExamples<C>{sums.data(), rstd.data<C>(), g.width, data_or_null<C>(dweight), data_or_null<C>(dbias)}, per_channel,
              over_examples);
}

void group_norm_backward(const Tensor& dy, const Tensor& x, int64_t groups, const Tensor& mean, const Tensor& rstd, const Tensor& weight,
                         Tensor& dx, Tensor& dweight, Tensor& dbias) {
  if (!x.is_contiguous()) return group_norm_last_backward(dy, x, groups, mean, rstd, weight, dx, dweight, dbias);
  visit_floating("group_norm", x.dtype(),
                 [&]<typename S>() { group_norm_backward_typed<S>(dy, x, groups, mean, rstd, weight, dx, dweight, dbias); });
}

}  // namespace

void register_group_norm() {
  kernel::group_norm.set(DeviceType::cuda, group_norm);
  kernel::group_norm_backward.set(DeviceType::cuda, group_norm_backward);
}

}  // namespace plumb::cuda_backend
